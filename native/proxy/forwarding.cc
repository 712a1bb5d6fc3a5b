// Order of this file: the client's identity, the request's fields, the response's fields, edits.
#include "proxy/forwarding.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/byte_set.h"
#include "proxy/query_edit.h"

namespace tidegate {

namespace {

constexpr std::size_t kMaxRequestId = 128;

constexpr std::string_view kEarlyDataField = "Early-Data";

constexpr std::string_view kHstsField = "Strict-Transport-Security";

bool isTrusted(const IpAddress& address, const ListenerConfig& listener) {
  return std::any_of(listener.trustedProxies.begin(), listener.trustedProxies.end(),
                     [&](const IpPrefix& p) { return p.contains(address); });
}

// Takes the last element of a comma-separated list off `list`.
std::string_view takeLast(std::string_view& list) {
  const std::size_t comma = list.rfind(',');
  const std::string_view last = comma == std::string_view::npos ? list : list.substr(comma + 1);
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(0, comma);
  return trimOws(last);
}

// "1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:80", "::1"; with or without quotes.
std::optional<IpAddress> parseNode(std::string_view node) {
  if (node.size() >= 2 && node.front() == '"' && node.back() == '"')
    node = node.substr(1, node.size() - 2);
  if (node.starts_with('[')) {
    const std::size_t end = node.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    return IpAddress::parse(node.substr(1, end - 1));
  }
  if (std::count(node.begin(), node.end(), ':') == 1) node = node.substr(0, node.find(':'));
  return IpAddress::parse(node);
}

// The `for` of one element of Forwarded (RFC 7239 4); empty when it has none.
std::string_view forwardedFor(std::string_view element) {
  while (!element.empty()) {
    const std::size_t semicolon = element.find(';');
    const std::string_view pair = trimOws(element.substr(0, semicolon));
    if (pair.size() > 4 && equalsIgnoreCase(pair.substr(0, 4), "for=")) return pair.substr(4);
    if (semicolon == std::string_view::npos) break;
    element.remove_prefix(semicolon + 1);
  }
  return {};
}

// Walks the fields of that id from the last to the first and each of them from the right, as long
// as the addresses are trusted proxies; the first that is not (or the leftmost) is the client.
bool walkForwarded(const HeadFields& fields, FieldId id, const ListenerConfig& listener,
                   IpAddress& client) {
  bool found = false;
  const auto all = fields.fields();
  for (std::size_t i = all.size(); i-- > 0;) {
    if (all[i].id != id) continue;
    std::string_view list = fields.value(all[i]);
    while (!list.empty()) {
      std::string_view element = takeLast(list);
      if (id == FieldId::Forwarded) element = forwardedFor(element);
      const auto address = parseNode(element);
      // What cannot be read ends the chain: nothing to its left can be believed.
      if (!address) return found;
      client = *address;
      found = true;
      if (!isTrusted(*address, listener)) return true;
    }
  }
  return found;
}

bool isUriByteForPath(char c) { return c > 0x20 && c < 0x7f && c != '#' && c != '?'; }

constexpr ByteSet kHostBytes =
    ByteSet("-._~!$&'()*+,;=:[]%").with('a', 'z').with('A', 'Z').with('0', '9');

// Whether a segment of `path` is "." or "..".
bool hasDotSegment(std::string_view path) {
  for (std::size_t at = path.find("/."); at != std::string_view::npos;
       at = path.find("/.", at + 1)) {
    const std::string_view segment = path.substr(at + 1, path.find('/', at + 1) - at - 1);
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

std::string_view joinValues(const HeadFields& fields, FieldId id, std::string_view last,
                            TextArena& arena) {
  std::string_view joined;
  for (const Field& f : fields.fields()) {
    if (f.id != id) continue;
    joined = joined.empty() ? fields.value(f) : arena.join({joined, ", ", fields.value(f)});
  }
  return joined.empty() ? last : arena.join({joined, ", ", last});
}

// All values of one field, joined by ", " (RFC 9110 5.3), with `last` behind them. Most heads have
// no such field.
inline std::string_view joinWith(const HeadFields& fields, FieldId id, std::string_view last,
                                 TextArena& arena) {
  return fields.has(bitOf(id)) ? joinValues(fields, id, last, arena) : last;
}

std::string_view firstValue(const HeadFields& fields, FieldId id) {
  const Field* f = fields.find(id);
  return f != nullptr ? fields.value(*f) : std::string_view{};
}

// What a client says in them is never passed on: upstreams take them for verified (RFC 9440 4).
bool isClientCertificateField(std::string_view name) {
  constexpr std::string_view kOne = "client-cert";
  constexpr std::string_view kChain = "client-cert-chain";
  return (name.size() == kOne.size() && equalsIgnoreCase(name, kOne)) ||
         (name.size() == kChain.size() && equalsIgnoreCase(name, kChain));
}

void add(ThreadServices& services, std::string_view name, std::string_view value) {
  services.fields.add(name, value);
}

// X-Forwarded-For, -Proto and -Host. What an untrusted client says in them is dropped, except by
// `keep`.
void addXForwarded(const HeadFields& head, const ForwardedRequest& what, std::string_view peerText,
                   ThreadServices& services) {
  const ForwardMode mode = what.listener.xForwarded;
  if (mode == ForwardMode::Keep || mode == ForwardMode::Off) return;
  const bool believe = mode == ForwardMode::Append && what.trustedPeer;
  add(services, "X-Forwarded-For",
      believe ? joinWith(head, FieldId::XForwardedFor, peerText, services.arena) : peerText);
  const std::string_view proto =
      believe ? firstValue(head, FieldId::XForwardedProto) : std::string_view{};
  add(services, "X-Forwarded-Proto", proto.empty() ? what.peer.scheme() : proto);
  const std::string_view host =
      believe ? firstValue(head, FieldId::XForwardedHost) : std::string_view{};
  if (!host.empty() || !what.originalHost.empty()) {
    add(services, "X-Forwarded-Host", host.empty() ? what.originalHost : host);
  }
}

void addForwarded(const HeadFields& head, const ForwardedRequest& what, std::string_view peerText,
                  ThreadServices& services) {
  const ForwardMode mode = what.listener.forwarded;
  if (mode == ForwardMode::Keep || mode == ForwardMode::Off) return;
  // IPv6 addresses, and hosts with a port, are not tokens: they go in quotes (RFC 7239 4 and 6).
  const bool v6 = peerText.find(':') != std::string_view::npos;
  TextArena& arena = services.arena;
  const std::string_view node = what.peer.isUnix ? "unknown"
                                : v6             ? arena.join({"\"[", peerText, "]\""})
                                                 : peerText;
  std::string_view element = arena.join({"for=", node, ";proto=", what.peer.scheme()});
  if (!what.originalHost.empty())
    element = arena.join({element, ";host=\"", what.originalHost, "\""});
  const bool believe = mode == ForwardMode::Append && what.trustedPeer;
  add(services, "Forwarded",
      believe ? joinWith(head, FieldId::Forwarded, element, arena) : element);
}

void addPeer(const HeadFields& head, const ForwardedRequest& what, ThreadServices& services) {
  std::string_view peerText = what.clientText;
  if (what.peer.isUnix) {
    peerText = "unknown";
  } else if (what.trustedPeer) {
    char* text = services.arena.allocate(IpAddress::kMaxText);
    peerText = {text, what.peer.address.format(text)};
  }
  addXForwarded(head, what, peerText, services);
  addForwarded(head, what, peerText, services);
}

std::string_view viaHop(const ListenerConfig& listener, std::uint8_t majorVersion,
                        std::uint8_t minorVersion) {
  if (majorVersion == 2) return listener.viaHops[2];
  return listener.viaHops[minorVersion == 0 ? 0 : 1];
}

bool rewritePath(const ForwardedRequest& what, ThreadServices& services, OutgoingRequest& out) {
  if (!what.plan.has(PlanStep::RewritePath)) return true;
  const TemplateValues values = what.values.templateValues();
  const RouteConfig& route = *values.route;
  if (!route.stripPrefix.empty()) {
    std::string_view rest = out.path;
    std::string_view prefix = route.stripPrefix;
    if (prefix.ends_with('/')) prefix.remove_suffix(1);
    if (rest.starts_with(prefix) && (rest.size() == prefix.size() || rest[prefix.size()] == '/')) {
      rest.remove_prefix(prefix.size());
      out.path = rest.empty() ? "/" : rest;
    }
    return true;
  }
  std::string_view path =
      renderTemplate(route.rewritePath, values, TemplateUse::Uri, services.arena);
  // A template may end in a query of its own: `/find?id={id}`.
  if (const std::size_t mark = path.find('?'); mark != std::string_view::npos) {
    out.query = path.substr(mark + 1);
    out.hasQuery = true;
    path = path.substr(0, mark);
  }
  out.path = path;
  // What a variable brought must not lead out of where the template points.
  return path.starts_with('/') && !hasDotSegment(path) &&
         std::all_of(path.begin(), path.end(), isUriByteForPath) &&
         std::all_of(out.query.begin(), out.query.end(),
                     [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

bool composePath(const ForwardedRequest& what, ThreadServices& services, OutgoingRequest& out) {
  if (!rewritePath(what, services, out)) return false;
  if (!what.verdict.path.empty()) out.path = what.verdict.path;
  if (what.verdict.queryEdits.empty()) return true;
  out.query = editQuery(out.query, what.verdict.queryEdits, services.arena);
  out.hasQuery = !out.query.empty();
  return out.query.size() <= kMaxHeadBytes;
}

bool composeHost(const ForwardedRequest& what, ThreadServices& services, OutgoingRequest& out) {
  if (what.plan.has(PlanStep::RewriteHost)) {
    const TemplateValues values = what.values.templateValues();
    out.host = renderTemplate(values.route->rewriteHost, values, TemplateUse::Text, services.arena);
  } else if (what.upstream.hostHeader == HostHeader::Literal) {
    out.host = what.upstream.hostLiteral;
  } else if (what.upstream.hostHeader == HostHeader::Endpoint || what.own) {
    out.host = std::string_view(what.endpoint.address).starts_with("unix:")
                   ? "localhost"
                   : std::string_view(what.endpoint.address);
  } else {
    // HTTP/1.0 clients may send none, and HTTP/1.1 upstreams must get one. What a client sends has
    // passed its codec, which allows fewer bytes than this does.
    out.host = what.originalHost.empty() ? "localhost" : what.originalHost;
    return true;
  }
  return !out.host.empty() && kHostBytes.holds(out.host);
}

// Fields that are not sent on: the gateway has its own in their place, or none.
FieldIds replacedFields(const RequestLine& line, const ListenerConfig& listener, bool own) {
  constexpr FieldIds kXForwarded = bitOf(FieldId::XForwardedFor) | bitOf(FieldId::XForwardedHost) |
                                   bitOf(FieldId::XForwardedProto);
  FieldIds ids = 0;
  if (!own && listener.xForwarded != ForwardMode::Keep) ids |= kXForwarded;
  if (!own && listener.forwarded != ForwardMode::Keep) ids |= bitOf(FieldId::Forwarded);
  if (!listener.via.empty()) ids |= bitOf(FieldId::Via);
  // RFC 9110 10.1.1: HTTP/1.0 knows no expectations.
  if (line.minorVersion == 0 || !line.expectContinue) ids |= bitOf(FieldId::Expect);
  if (listener.requestIdField != FieldId::Other) ids |= bitOf(listener.requestIdField);
  return ids;
}

// The same for a field that only its name tells apart.
void markByName(const HeadFields& head, Field& f, const ListenerConfig& listener, bool own) {
  const std::string_view name = head.name(f);
  if (listener.requestIdField == FieldId::Other && !listener.requestIdHeader.empty() &&
      equalsIgnoreCase(name, listener.requestIdHeader)) {
    f.dropped = true;
  }
  // RFC 8470 5.1: whoever names it there does not get rid of it.
  if (f.hopByHop && equalsIgnoreCase(name, kEarlyDataField)) f.hopByHop = false;
  if (!own && isClientCertificateField(name)) f.dropped = true;
}

void markForwardingFields(HeadFields& head, const RequestLine& line, const ListenerConfig& listener,
                          bool own) {
  const FieldIds replaced = replacedFields(line, listener, own);
  for (Field& f : head.fields()) {
    f.dropped = (replaced & bitOf(f.id)) != 0;
    if (f.id == FieldId::Other) markByName(head, f, listener, own);
  }
}

// Client-Cert, with the listener's own certificate facts as the one source (RFC 9440 2.2).
void addClientCertificate(const ForwardedRequest& what, ThreadServices& services) {
  if (!what.listener.clientCertificate || what.peer.tls == nullptr) return;
  const std::string_view der = what.peer.tls->certificate;
  if (der.empty()) return;
  char* const text = services.arena.allocate(der.size() / 3 * 4 + 6);
  // A byte sequence of RFC 8941: base64 between colons.
  text[0] = ':';
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text + 1),
                                     reinterpret_cast<const unsigned char*>(der.data()),
                                     static_cast<int>(der.size()));
  text[length + 1] = ':';
  add(services, "Client-Cert", {text, static_cast<std::size_t>(length) + 2});
}

bool matches(const HeadFields& fields, const Field& f, FieldId id, std::string_view name) {
  return id != FieldId::Other ? f.id == id
                              : f.id == FieldId::Other && f.name.length == name.size() &&
                                    equalsIgnoreCase(fields.name(f), name);
}

// One of 64 for each name, whatever its case, by its length and the letter in the middle: two that
// differ share it seldom.
std::uint64_t nameBit(const char* name, std::size_t size) {
  const auto middle = static_cast<unsigned char>(size == 0 ? 0 : name[size / 2] | 0x20);
  return std::uint64_t{1} << ((8 * size + middle) % 64);
}

// From a head on its way, and from what was added to it.
void dropField(HeadFields* fields, FieldId id, std::string_view name, ThreadServices& services) {
  if (fields != nullptr) {
    for (Field& f : fields->fields()) {
      if (matches(*fields, f, id, name)) f.dropped = true;
    }
  }
  services.fields.remove(name);
}

}  // namespace

ClientIdentity identifyClient(const HeadFields& fields, const PeerInfo& peer,
                              const ListenerConfig& listener) {
  ClientIdentity identity{peer.address, peer.port, false};
  if (listener.trustedProxies.empty() || peer.isUnix || !isTrusted(peer.address, listener))
    return identity;
  identity.trustedPeer = true;
  IpAddress client;
  if (walkForwarded(fields, FieldId::XForwardedFor, listener, client) ||
      walkForwarded(fields, FieldId::Forwarded, listener, client)) {
    identity.address = client;
    identity.port = 0;
  }
  return identity;
}

std::string_view acceptedRequestId(const HeadFields& fields, const ListenerConfig& listener,
                                   bool trustedPeer) {
  if (listener.requestIdHeader.empty() || listener.requestIdAccept == RequestIdAccept::Never)
    return {};
  if (listener.requestIdAccept == RequestIdAccept::Trusted && !trustedPeer) return {};
  if (!fields.has(bitOf(listener.requestIdField))) return {};
  for (const Field& f : fields.fields()) {
    if (!equalsIgnoreCase(fields.name(f), listener.requestIdHeader)) continue;
    const std::string_view id = fields.value(f);
    const bool valid =
        !id.empty() && id.size() <= kMaxRequestId &&
        std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    return valid ? id : std::string_view{};
  }
  return {};
}

bool upgradesToHttp(const HeadFields& fields) {
  for (const Field& f : fields.fields()) {
    if (f.id != FieldId::Upgrade) continue;
    std::string_view list = fields.value(f);
    while (!list.empty()) {
      const std::string_view protocol = takeLast(list);
      const std::string_view name = trimOws(protocol.substr(0, protocol.find('/')));
      if (equalsIgnoreCase(name, "h2c") || equalsIgnoreCase(name, "h2") ||
          equalsIgnoreCase(name, "http")) {
        return true;
      }
    }
  }
  return false;
}

bool saysEarlyData(const HeadFields& fields) {
  return std::ranges::any_of(fields.fields(), [&](const Field& f) {
    return f.id == FieldId::Other && equalsIgnoreCase(fields.name(f), kEarlyDataField);
  });
}

bool composeRequest(HeadFields& head, const RequestLine& line, const ForwardedRequest& what,
                    ThreadServices& services, OutgoingRequest& out) {
  services.fields.clear();
  out.method = what.method;
  out.body = line.body;
  out.contentLength = line.contentLength;
  out.teTrailers = line.teTrailers;
  out.path = what.path;
  out.query = head.view(line.query);
  out.hasQuery = line.hasQuery;
  if (line.serverWide) {
    // About the server and no resource of it: no rewrite applies (RFC 9112 3.2.4).
    out.path = "*";
    out.query = {};
    out.hasQuery = false;
  } else if (!composePath(what, services, out)) {
    return false;
  }
  if (!composeHost(what, services, out)) return false;

  markForwardingFields(head, line, what.listener, what.own);
  if (!what.own) {
    addPeer(head, what, services);
    addClientCertificate(what, services);
  }
  if (what.early && !saysEarlyData(head)) add(services, kEarlyDataField, "1");
  if (!what.listener.via.empty()) {
    const std::string_view hop = viaHop(what.listener, line.majorVersion, line.minorVersion);
    add(services, "Via", joinWith(head, FieldId::Via, hop, services.arena));
  }
  if (!what.listener.requestIdHeader.empty())
    add(services, what.listener.requestIdHeader, what.requestId);
  // Then the route's own: what the operator wrote stands.
  applyEdits(what.verdict.requestEdits, &head, services);
  if (what.plan.has(PlanStep::EditRequest)) {
    const TemplateValues values = what.values.templateValues();
    applyEdits(values.route->requestEdits, &head, values, services);
  }
  out.fields = {&head, services.fields.all()};
  return true;
}

void composeResponse(const PassedResponse& what, ThreadServices& services, OutgoingResponse& out) {
  const auto& [head, line, listener, plan, source, verdict, charges, review] = what;
  services.fields.clear();
  if (review != nullptr && review->status != 0) {
    out.status = review->status;
  } else {
    out.status = line.status;
    out.reason = head.view(line.reason);
  }
  FieldIds replaced = 0;
  if (!listener.via.empty()) replaced |= bitOf(FieldId::Via);
  if (listener.server != ServerField::Pass) replaced |= bitOf(FieldId::Server);
  if (head.has(replaced)) {
    for (Field& f : head.fields()) {
      if ((replaced & bitOf(f.id)) != 0) f.dropped = true;
    }
  }
  if (!listener.via.empty()) {
    const std::string_view hop = viaHop(listener, line.majorVersion, line.minorVersion);
    add(services, "Via", joinWith(head, FieldId::Via, hop, services.arena));
  }
  // RFC 9110 6.6.1: who forwards a response without Date adds when it was received.
  if (!head.has(bitOf(FieldId::Date)) && line.status >= 200)
    add(services, "Date", services.date.at(services.loop.wallMillis()));
  if (head.has(bitOf(FieldId::Server)) && listener.server == ServerField::Overwrite)
    add(services, "Server", "tidegate");
  if (!listener.hsts.empty()) {
    dropField(&head, FieldId::Other, kHstsField, services);
    add(services, kHstsField, listener.hsts);
  }
  applyEdits(verdict.responseEdits, &head, services);
  if (review != nullptr) applyEdits(review->responseEdits, &head, services);
  if (charges != nullptr) charges->addFields(&head, services.arena, services.fields);
  if (plan.has(PlanStep::EditResponse)) {
    const TemplateValues values = source.templateValues();
    applyEdits(values.route->responseEdits, &head, values, services);
  }
  out.fields = {&head, services.fields.all()};
}

void applyEdits(const HeaderEdits& edits, HeadFields* fields, const TemplateValues& values,
                ThreadServices& services) {
  const auto drop = [&](FieldId id, std::string_view name) {
    dropField(fields, id, name, services);
  };
  for (const std::string& name : edits.remove) drop(fieldIdOf(name), name);
  for (const FieldEdit& edit : edits.set) {
    const std::string_view value =
        renderTemplate(edit.value, values, TemplateUse::Text, services.arena);
    drop(edit.id, edit.name);
    add(services, edit.name, value);
  }
  for (const FieldEdit& edit : edits.add) {
    add(services, edit.name, renderTemplate(edit.value, values, TemplateUse::Text, services.arena));
  }
}

void applyEdits(const VerdictEdits& edits, HeadFields* fields, ThreadServices& services) {
  if (edits.empty()) return;
  // Most edits name what is not there.
  std::uint64_t names = 0;
  if (fields != nullptr) {
    for (const Field& f : fields->fields())
      names |= nameBit(fields->base() + f.name.offset, f.name.length);
  }
  for (const OutgoingField& f : services.fields.all())
    names |= nameBit(f.name.data(), f.name.size());
  edits.each([&](const VerdictEdit& edit) {
    const std::uint64_t bit = nameBit(edit.name.data(), edit.name.size());
    if (edit.op != EditOp::Add && (names & bit) != 0)
      dropField(fields, edit.id, edit.name, services);
    if (edit.op == EditOp::Remove) return;
    add(services, edit.name, edit.value);
    names |= bit;
  });
}

}  // namespace tidegate
