// The keys of each struct of the snapshot, then what the structs must be to each other.
#include "snapshot/decode.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "http/field_id.h"
#include "http/media_type.h"
#include "snapshot/decode_tls.h"
#include "snapshot/limits.h"
#include "snapshot/text_rules.h"
#include "snapshot/value_reader.h"

namespace tidegate {
namespace {

using Reader = ValueReader;

// ---- texts

bool anyText(std::string_view) { return true; }

bool isRootedPath(std::string_view text) { return text.starts_with('/') && isPathText(text); }

bool isNetwork(std::string_view text) { return IpPrefix::parse(text).has_value(); }

bool hasNoNul(std::string_view text) { return text.find('\0') == std::string_view::npos; }

constexpr TextRule kName = {1, limits::kNameBytes, isPlainText,
                            "a name without control characters"};
constexpr TextRule kBind = {1, limits::kNameBytes, isSocketAddress,
                            "\"ip:port\", \"[ip]:port\" or \"unix:/path\""};
constexpr TextRule kConnectTo = {1, limits::kNameBytes, isConnectAddress,
                                 "\"ip:port\", \"[ip]:port\" or \"unix:/path\", port 1..65535"};
constexpr TextRule kFieldName = {1, limits::kNameBytes, isToken, "a header name"};
constexpr TextRule kLowerFieldName = {1, limits::kNameBytes, isLowerCaseToken,
                                      "a lower-case header name"};
constexpr TextRule kMethodToken = {1, limits::kNameBytes, isToken, "a method"};
constexpr TextRule kViaName = {1, limits::kNameBytes, isViaName, "a pseudonym or a host"};
constexpr TextRule kHostPattern = {1, limits::kHostBytes, isHostPattern,
                                   "a lower-case host, \"*.suffix\" or \"*\""};
constexpr TextRule kHostLiteral = {1, limits::kHostBytes, isHostText, "a host"};
constexpr TextRule kPattern = {0, limits::kPatternBytes, isPlainText,
                               "text without control characters"};
constexpr TextRule kStripPrefix = {1, limits::kPatternBytes, isRootedPath,
                                   "a path that begins with \"/\""};
constexpr TextRule kFilePath = {1, limits::kFilePathBytes, hasNoNul, "a path"};
constexpr TextRule kNetwork = {1, limits::kNameBytes, isNetwork, "a network such as 10.0.0.0/8"};
constexpr TextRule kNothing = {0, 0, anyText, "an empty text"};

// ---- templates

using Variables = std::uint32_t;  // a bit each

constexpr Variables bitOf(Variable variable) { return 1u << static_cast<unsigned>(variable); }

constexpr Variables setOf(std::initializer_list<Variable> list) {
  Variables set = 0;
  for (const Variable variable : list) set |= bitOf(variable);
  return set;
}

constexpr Variables kEveryVariable = ~Variables{0};

struct TemplateRule {
  TextRule literal;
  Variables variables;
};

constexpr TemplateRule kFieldValue = {
    {1, limits::kLiteralBytes, isFieldText, "text without control characters"}, kEveryVariable};
constexpr TemplateRule kLocation = {{1, limits::kLiteralBytes, isLocationText, "part of a URL"},
                                    kEveryVariable};
constexpr TemplateRule kBody = {{1, limits::kBodyLiteralBytes, anyText, "text"}, kEveryVariable};

// Only variables that never hold a space, or another byte that would end the request target.
constexpr TemplateRule kRewritePath = {
    {1, limits::kLiteralBytes, isTargetText, "part of a path"},
    setOf({Variable::ClientAddress, Variable::ClientPort, Variable::Host, Variable::Scheme,
           Variable::Method, Variable::Path, Variable::Query, Variable::QuestionQuery,
           Variable::Param, Variable::Tail})};

// Not those that always hold a slash.
constexpr TemplateRule kRewriteHost = {
    {1, limits::kHostBytes, isHostText, "part of a host"},
    kEveryVariable &
        ~setOf({Variable::Path, Variable::Query, Variable::QuestionQuery, Variable::Tail})};

template <Variable V>
bool variable(Reader& reader, TemplatePart& part) {
  if (part.variable != Variable::Literal) return reader.wrong("expected one variable a part");
  part.variable = V;
  if (V == Variable::Param) return reader.text(part.text, kName);
  if (V == Variable::Header) return reader.text(part.text, kLowerFieldName);
  return reader.text(part.text, kNothing);
}

constexpr Member<TemplatePart> kVariables[] = {
    {"clientAddress", variable<Variable::ClientAddress>},
    {"clientPort", variable<Variable::ClientPort>},
    {"host", variable<Variable::Host>},
    {"scheme", variable<Variable::Scheme>},
    {"method", variable<Variable::Method>},
    {"path", variable<Variable::Path>},
    {"query", variable<Variable::Query>},
    {"questionQuery", variable<Variable::QuestionQuery>},
    {"routeName", variable<Variable::RouteName>},
    {"upstreamName", variable<Variable::UpstreamName>},
    {"endpointAddress", variable<Variable::EndpointAddress>},
    {"requestId", variable<Variable::RequestId>},
    {"param", variable<Variable::Param>},
    {"header", variable<Variable::Header>},
    {"tail", variable<Variable::Tail>},
};

bool templatePart(Reader& reader, TemplatePart& part, const TemplateRule& rule) {
  if (reader.peek() == MsgpackType::Text) return reader.text(part.text, rule.literal);
  if (reader.peek() != MsgpackType::Map) return reader.expected("a text or a map of one variable");
  if (!reader.members(part, kVariables)) return false;
  if (part.variable == Variable::Literal) return reader.wrong("expected one variable");
  if ((rule.variables & bitOf(part.variable)) == 0) {
    return reader.wrong(
        "this variable cannot stand here: its value may hold bytes that do not "
        "belong there");
  }
  return true;
}

bool textTemplate(Reader& reader, TextTemplate& target, const TemplateRule& rule) {
  return reader.list(target, limits::kTemplateParts, [&rule](Reader& r, TemplatePart& part) {
    return templatePart(r, part, rule);
  });
}

// ---- header edits

bool editableName(Reader& reader, std::string& name, const TextRule& rule) {
  if (!reader.text(name, rule)) return false;
  return isEditableField(name) ||
         reader.wrong("header edits cannot touch " + quotedForMessage(name) +
                      ", which the gateway itself is responsible for");
}

constexpr Member<FieldEdit> kFieldEdit[] = {
    {"name",
     [](Reader& r, FieldEdit& edit) {
       if (!editableName(r, edit.name, kFieldName)) return false;
       edit.id = fieldIdOf(edit.name);
       return true;
     }},
    {"value", [](Reader& r, FieldEdit& e) { return textTemplate(r, e.value, kFieldValue); }},
};

bool fieldEdits(Reader& reader, std::vector<FieldEdit>& edits) {
  return reader.list(edits, limits::kEdits, [](Reader& r, FieldEdit& edit) {
    return r.members(edit, kFieldEdit) && (!edit.name.empty() || r.wrongAt("name", "is missing"));
  });
}

constexpr Member<HeaderEdits> kHeaderEdits[] = {
    {"set", [](Reader& r, HeaderEdits& e) { return fieldEdits(r, e.set); }},
    {"add", [](Reader& r, HeaderEdits& e) { return fieldEdits(r, e.add); }},
    {"remove",
     [](Reader& r, HeaderEdits& e) {
       return r.list(e.remove, limits::kEdits, [](Reader& element, std::string& name) {
         return editableName(element, name, kLowerFieldName);
       });
     }},
};

// ---- listeners

bool network(Reader& reader, IpPrefix& prefix) {
  std::string text;
  if (!reader.text(text, kNetwork)) return false;
  prefix = *IpPrefix::parse(text);
  return true;
}

bool networks(Reader& reader, std::vector<IpPrefix>& target) {
  return reader.list(target, limits::kNetworks, network);
}

constexpr std::array<std::string_view, 3> kEscapedSlashes = {"reject", "keep", "decode"};
constexpr std::array<std::string_view, 4> kForwardModes = {"off", "append", "replace", "keep"};
constexpr std::array<std::string_view, 3> kRequestIdAccepts = {"never", "trusted", "always"};
constexpr std::array<std::string_view, 3> kServerFields = {"pass", "overwrite", "remove"};

constexpr Member<PathRules> kPathRules[] = {
    {"mergeSlashes", [](Reader& r, PathRules& p) { return r.boolean(p.mergeSlashes); }},
    {"escapedSlashes",
     [](Reader& r, PathRules& p) { return r.oneOf(p.escapedSlashes, kEscapedSlashes); }},
};

using Listener = ListenerConfig;

constexpr Member<Listener> kListener[] = {
    {"name", [](Reader& r, Listener& l) { return r.text(l.name, kName); }},
    {"bind", [](Reader& r, Listener& l) { return r.text(l.bind, kBind); }},
    {"requestLineBytes",
     [](Reader& r, Listener& l) {
       return r.number(l.requestLineBytes, limits::kRequestLineBytes);
     }},
    {"headerBytes",
     [](Reader& r, Listener& l) { return r.number(l.headerBytes, limits::kHeaderBytes); }},
    {"headerCount",
     [](Reader& r, Listener& l) { return r.number(l.headerCount, limits::kHeaderCount); }},
    {"bodyBytes",
     [](Reader& r, Listener& l) { return r.numberOrUnlimited(l.bodyBytes, limits::kBodyBytes); }},
    {"headTimeout",
     [](Reader& r, Listener& l) { return r.numberOrUnlimited(l.headTimeout, limits::kTimeout); }},
    {"bodyTimeout",
     [](Reader& r, Listener& l) { return r.numberOrUnlimited(l.bodyTimeout, limits::kTimeout); }},
    {"idleTimeout",
     [](Reader& r, Listener& l) { return r.numberOrUnlimited(l.idleTimeout, limits::kTimeout); }},
    {"writeTimeout",
     [](Reader& r, Listener& l) { return r.numberOrUnlimited(l.writeTimeout, limits::kTimeout); }},
    {"maxRequests",
     [](Reader& r, Listener& l) {
       return r.numberOrUnlimited(l.maxRequests, limits::kMaxRequests);
     }},
    {"http1", [](Reader& r, Listener& l) { return r.boolean(l.http1); }},
    {"http2", [](Reader& r, Listener& l) { return r.boolean(l.http2); }},
    {"streams", [](Reader& r, Listener& l) { return r.number(l.streams, limits::kStreams); }},
    {"paths", [](Reader& r, Listener& l) { return r.members(l.paths, kPathRules); }},
    {"trace", [](Reader& r, Listener& l) { return r.boolean(l.trace); }},
    {"trustedProxies", [](Reader& r, Listener& l) { return networks(r, l.trustedProxies); }},
    {"xForwarded", [](Reader& r, Listener& l) { return r.oneOf(l.xForwarded, kForwardModes); }},
    {"forwarded", [](Reader& r, Listener& l) { return r.oneOf(l.forwarded, kForwardModes); }},
    {"via", [](Reader& r, Listener& l) { return r.textOrNone(l.via, kViaName); }},
    {"requestIdHeader",
     [](Reader& r, Listener& l) {
       return r.textOrNone(l.requestIdHeader, kLowerFieldName) &&
              (l.requestIdHeader.empty() || isEditableField(l.requestIdHeader) ||
               r.wrong(quotedForMessage(l.requestIdHeader) + " cannot carry a request id"));
     }},
    {"requestIdAccept",
     [](Reader& r, Listener& l) { return r.oneOf(l.requestIdAccept, kRequestIdAccepts); }},
    {"server", [](Reader& r, Listener& l) { return r.oneOf(l.server, kServerFields); }},
    {"tls", decodeListenerTls},
    {"hsts", [](Reader& r, Listener& l) { return r.textOrNone(l.hsts, kPattern); }},
    {"redirect", [](Reader& r, Listener& l) { return textTemplate(r, l.redirect, kLocation); }},
    {"clientCertificate", [](Reader& r, Listener& l) { return r.boolean(l.clientCertificate); }},
    {"handshakeTimeout",
     [](Reader& r, Listener& l) { return r.number(l.handshakeTimeout, limits::kTimeout); }},
    {"handshakes",
     [](Reader& r, Listener& l) { return r.number(l.handshakes, limits::kHandshakes); }},
};

bool listener(Reader& reader, Listener& target) {
  if (!reader.members(target, kListener)) return false;
  if (target.name.empty()) return reader.wrongAt("name", "is missing");
  if (target.bind.empty()) return reader.wrongAt("bind", "is missing");
  target.viaHops = {"1.0 " + target.via, "1.1 " + target.via, "2.0 " + target.via};
  target.requestIdField = fieldIdOf(target.requestIdHeader);
  return buildListenerTls(reader, target);
}

// ---- policies

// In the order of InputKind.
constexpr std::array<std::string_view, 18> kInputKinds = {
    "body",          "header", "headers",        "cookie",
    "query",         "param",  "path",           "method",
    "clientAddress", "host",   "scheme",         "routeName",
    "consumer",      "status", "responseHeader", "responseHeaders",
    "responseBody",  "tls"};

// In the order of TlsInput.
constexpr std::array<std::string_view, 9> kTlsInputs = {
    "version", "cipher", "sni", "alpn", "subject", "sans", "fingerprint", "ja4", "verification"};

constexpr TextRule kMediaPattern = {3, limits::kNameBytes, isMediaPattern,
                                    "a media type such as application/json or text/*"};

constexpr Member<PolicyInput> kInput[] = {
    {"kind", [](Reader& r, PolicyInput& i) { return r.oneOf(i.kind, kInputKinds); }},
    {"name", [](Reader& r, PolicyInput& i) { return r.textOrNone(i.name, kName); }},
    {"types",
     [](Reader& r, PolicyInput& i) {
       return r.list(i.types, limits::kMediaTypes, [](Reader& element, std::string& type) {
         return element.text(type, kMediaPattern);
       });
     }},
};

bool policyInput(Reader& reader, PolicyInput& target) {
  if (!reader.members(target, kInput)) return false;
  const bool isField = target.kind == InputKind::Header || target.kind == InputKind::Headers ||
                       target.kind == InputKind::ResponseHeader ||
                       target.kind == InputKind::ResponseHeaders;
  const bool isNamed = isField || target.kind == InputKind::Cookie ||
                       target.kind == InputKind::Query || target.kind == InputKind::Param ||
                       target.kind == InputKind::Tls;
  if (isNamed == target.name.empty())
    return reader.wrongAt("name", isNamed ? "is missing" : "expected none with this kind");
  if ((target.kind == InputKind::ResponseBody) == target.types.empty()) {
    return reader.wrongAt("types",
                          target.types.empty() ? "is missing" : "expected none with this kind");
  }
  if (target.kind == InputKind::Tls) {
    const auto known = std::ranges::find(kTlsInputs, target.name);
    if (known == kTlsInputs.end()) return reader.wrongAt("name", "expected a fact of TLS");
    target.tls = static_cast<TlsInput>(known - kTlsInputs.begin());
  }
  if (!isField) return true;
  target.id = fieldIdOf(target.name);
  return isLowerCaseToken(target.name) ||
         reader.wrongAt("name", "expected a lower-case header name");
}

constexpr std::array<std::string_view, 2> kOnFailure = {"deny", "allow"};

constexpr Member<PolicyChain> kChain[] = {
    {"id", [](Reader& r, PolicyChain& c) { return r.number(c.id, limits::kChainId); }},
    {"timeout",
     [](Reader& r, PolicyChain& c) { return r.number(c.timeout, limits::kChainTimeout); }},
    {"onFailure", [](Reader& r, PolicyChain& c) { return r.oneOf(c.allowOnFailure, kOnFailure); }},
    {"policies",
     [](Reader& r, PolicyChain& c) {
       return r.list(c.policies, limits::kPolicies,
                     [](Reader& element, std::string& name) { return element.text(name, kName); });
     }},
    {"inputs",
     [](Reader& r, PolicyChain& c) { return r.list(c.inputs, limits::kInputs, policyInput); }},
    {"bodyBytes",
     [](Reader& r, PolicyChain& c) { return r.number(c.bodyBytes, limits::kCollectedBytes); }},
    {"bodyOptional", [](Reader& r, PolicyChain& c) { return r.boolean(c.bodyOptional); }},
};

bool chain(Reader& reader, PolicyChain& target) { return reader.members(target, kChain); }

// ---- access

constexpr TextRule kDetail = {1, limits::kDetailBytes, isPlainText,
                              "text without control characters"};

// Of each prefix a byte of flags (1: its addresses may pass, 2: it is IPv4), its length (of IPv4
// 0 to 32), and the address: 4 or 16 bytes.
bool prefixRules(Reader& reader, std::vector<PrefixRule>& target) {
  constexpr unsigned kMember = 1;
  constexpr unsigned kV4 = 2;
  std::string_view bytes;
  if (!reader.binary(bytes, "prefixes as bytes")) return false;
  while (!bytes.empty()) {
    const auto flags = static_cast<std::uint8_t>(bytes[0]);
    const std::size_t width = (flags & kV4) != 0 ? 4 : 16;
    if ((flags & ~(kMember | kV4)) != 0 || bytes.size() < 2 + width) {
      return reader.wrong("expected whole prefixes");
    }
    unsigned length = static_cast<std::uint8_t>(bytes[1]);
    if (length > width * 8) return reader.wrong("a prefix is longer than its address");
    IpAddress address;
    if (width == 4) {
      address = IpAddress::fromV4(bytes.data() + 2);
      length += 96;
    } else {
      address = IpAddress::fromV6(bytes.data() + 2);
    }
    const auto prefix = IpPrefix::of(address, length);
    if (!prefix) return reader.wrong("a prefix has bits behind its length");
    if (target.size() == limits::kPrefixRules) {
      return reader.wrong("expected at most " + std::to_string(limits::kPrefixRules) + " prefixes");
    }
    target.push_back({*prefix, (flags & kMember) != 0});
    bytes.remove_prefix(2 + width);
  }
  return true;
}

// Until `others` is known too, what comes of the prefixes has to wait.
struct AccessDraft {
  AccessConfig config;
  std::vector<PrefixRule> rules;
};

constexpr Member<AccessDraft> kAccess[] = {
    {"name", [](Reader& r, AccessDraft& a) { return r.text(a.config.name, kName); }},
    {"metricSlot",
     [](Reader& r, AccessDraft& a) { return r.number(a.config.metricSlot, limits::kMetricSlot); }},
    {"shadow", [](Reader& r, AccessDraft& a) { return r.boolean(a.config.shadow); }},
    {"others", [](Reader& r, AccessDraft& a) { return r.boolean(a.config.others); }},
    {"status",
     [](Reader& r, AccessDraft& a) { return r.number(a.config.status, limits::kRefusalStatus); }},
    {"detail", [](Reader& r, AccessDraft& a) { return r.textOrNone(a.config.detail, kDetail); }},
    {"prefixes", [](Reader& r, AccessDraft& a) { return prefixRules(r, a.rules); }},
};

bool access(Reader& reader, AccessConfig& target) {
  AccessDraft draft;
  if (!reader.members(draft, kAccess)) return false;
  if (draft.config.name.empty()) return reader.wrongAt("name", "is missing");
  target = std::move(draft.config);
  target.allowed = PrefixSet(std::move(draft.rules), target.others);
  return true;
}

// ---- routes

constexpr std::array<std::string_view, 5> kValueTests = {"exact", "prefix", "regex", "present",
                                                         "absent"};
constexpr std::array<std::string_view, 5> kPathKinds = {"any", "exact", "prefix", "template",
                                                        "regex"};
constexpr std::array<std::string_view, 3> kActions = {"proxy", "redirect", "respond"};

template <const TextRule& Name>
constexpr Member<ValueMatch> kValueMatch[] = {
    {"name", [](Reader& r, ValueMatch& m) { return r.text(m.name, Name); }},
    {"test", [](Reader& r, ValueMatch& m) { return r.oneOf(m.test, kValueTests); }},
    {"value", [](Reader& r, ValueMatch& m) { return r.text(m.value, kPattern); }},
};

template <const TextRule& Name>
bool valueMatches(Reader& reader, std::vector<ValueMatch>& target) {
  return reader.list(target, limits::kPredicates, [](Reader& r, ValueMatch& match) {
    if (!r.members(match, kValueMatch<Name>)) return false;
    if (match.name.empty()) return r.wrongAt("name", "is missing");
    const bool takesValue = match.test != ValueTest::Present && match.test != ValueTest::Absent;
    return takesValue || match.value.empty() || r.wrongAt("value", "expected none with this test");
  });
}

constexpr Member<PathMatch> kPathMatch[] = {
    {"kind", [](Reader& r, PathMatch& m) { return r.oneOf(m.kind, kPathKinds); }},
    {"text", [](Reader& r, PathMatch& m) { return r.text(m.text, kPattern); }},
};

bool pathMatch(Reader& reader, PathMatch& target) {
  return reader.members(target, kPathMatch) &&
         ((target.kind == PathKind::Any) == target.text.empty() ||
          reader.wrongAt("text", "expected one with every kind but \"any\""));
}

using Match = RouteMatch;

constexpr Member<Match> kMatch[] = {
    {"name", [](Reader& r, Match& m) { return r.text(m.name, kName); }},
    {"priority", [](Reader& r, Match& m) { return r.number(m.priority, limits::kPriority); }},
    {"listeners",
     [](Reader& r, Match& m) {
       return r.list(m.listeners, limits::kListeners, [](Reader& element, std::uint16_t& index) {
         return element.number(index, {0, limits::kListeners.max - 1});
       });
     }},
    {"hosts",
     [](Reader& r, Match& m) {
       return r.list(m.hosts, limits::kHosts, [](Reader& element, std::string& host) {
         return element.text(host, kHostPattern);
       });
     }},
    {"paths", [](Reader& r, Match& m) { return r.list(m.paths, limits::kPaths, pathMatch); }},
    {"methods",
     [](Reader& r, Match& m) {
       return r.list(m.methods, limits::kMethods, [](Reader& element, std::string& method) {
         return element.text(method, kMethodToken);
       });
     }},
    {"headers", [](Reader& r, Match& m) { return valueMatches<kLowerFieldName>(r, m.headers); }},
    {"query", [](Reader& r, Match& m) { return valueMatches<kName>(r, m.query); }},
    {"clients", [](Reader& r, Match& m) { return networks(r, m.clients); }},
};

using Route = RouteConfig;

constexpr Member<Route> kRoute[] = {
    {"match", [](Reader& r, Route& t) { return r.members(t.match, kMatch); }},
    {"metricSlot", [](Reader& r, Route& t) { return r.number(t.metricSlot, limits::kMetricSlot); }},
    {"access",
     [](Reader& r, Route& t) {
       return r.list(t.access, limits::kAccessSteps, [](Reader& element, std::uint16_t& index) {
         return element.number(index, {0, limits::kAccess.max - 1});
       });
     }},
    {"chain", [](Reader& r, Route& t) { return r.number(t.chain, {0, limits::kChains.max - 1}); }},
    {"review",
     [](Reader& r, Route& t) { return r.number(t.review, {0, limits::kChains.max - 1}); }},
    {"action", [](Reader& r, Route& t) { return r.oneOf(t.action, kActions); }},
    {"upstream",
     [](Reader& r, Route& t) { return r.number(t.upstream, {0, limits::kUpstreams.max - 1}); }},
    {"requestTimeout",
     [](Reader& r, Route& t) { return r.numberOrUnlimited(t.requestTimeout, limits::kTimeout); }},
    {"firstByteTimeout",
     [](Reader& r, Route& t) { return r.numberOrUnlimited(t.firstByteTimeout, limits::kTimeout); }},
    {"idleTimeout",
     [](Reader& r, Route& t) { return r.numberOrUnlimited(t.idleTimeout, limits::kTimeout); }},
    {"tunnelTimeout",
     [](Reader& r, Route& t) { return r.numberOrUnlimited(t.tunnelTimeout, limits::kTimeout); }},
    {"retries", [](Reader& r, Route& t) { return r.number(t.retries, limits::kRetries); }},
    {"bodyBytes",
     [](Reader& r, Route& t) { return r.numberOrUnlimited(t.bodyBytes, limits::kBodyBytes); }},
    {"stripPrefix", [](Reader& r, Route& t) { return r.textOrNone(t.stripPrefix, kStripPrefix); }},
    {"rewritePath",
     [](Reader& r, Route& t) { return textTemplate(r, t.rewritePath, kRewritePath); }},
    {"rewriteHost",
     [](Reader& r, Route& t) { return textTemplate(r, t.rewriteHost, kRewriteHost); }},
    {"status",
     [](Reader& r, Route& t) { return r.number(t.status, {0, limits::kRespondStatus.max}); }},
    {"location", [](Reader& r, Route& t) { return textTemplate(r, t.location, kLocation); }},
    {"body", [](Reader& r, Route& t) { return textTemplate(r, t.body, kBody); }},
    {"requestEdits", [](Reader& r, Route& t) { return r.members(t.requestEdits, kHeaderEdits); }},
    {"responseEdits", [](Reader& r, Route& t) { return r.members(t.responseEdits, kHeaderEdits); }},
};

bool statusIn(Reader& reader, const Route& route, Range range) {
  return (route.status >= range.min && route.status <= range.max) ||
         reader.wrongAt("status", "expected " + std::to_string(range.min) + ".." +
                                      std::to_string(range.max) + " for this action but received " +
                                      std::to_string(route.status));
}

bool beginsWithSlash(const TextTemplate& path) {
  const TemplatePart& first = path.front();
  return first.variable == Variable::Path ||
         (first.variable == Variable::Literal && first.text.starts_with('/'));
}

bool route(Reader& reader, Route& target) {
  if (!reader.members(target, kRoute)) return false;
  if (target.match.name.empty()) return reader.wrongAt("match.name", "is missing");
  switch (target.action) {
    case RouteAction::Proxy:
      break;
    case RouteAction::Redirect:
      if (!statusIn(reader, target, limits::kRedirectStatus)) return false;
      if (target.location.empty()) return reader.wrongAt("location", "is missing");
      break;
    case RouteAction::Respond:
      if (!statusIn(reader, target, limits::kRespondStatus)) return false;
      break;
  }
  if (target.rewritePath.empty()) return true;
  if (!target.stripPrefix.empty()) {
    return reader.wrongAt("rewritePath", "expected none beside stripPrefix");
  }
  return beginsWithSlash(target.rewritePath) ||
         reader.wrongAt("rewritePath", "expected to begin with \"/\" or the path");
}

// ---- upstreams

constexpr std::array<std::string_view, 2> kAlgorithms = {"roundRobin", "leastConnections"};
constexpr std::array<std::string_view, 3> kUpstreamProtocols = {"http1", "http2", "auto"};
constexpr std::array<std::string_view, 3> kHostHeaders = {"preserve", "endpoint", "literal"};

using Endpoint = EndpointConfig;

constexpr Member<Endpoint> kEndpoint[] = {
    {"address", [](Reader& r, Endpoint& e) { return r.text(e.address, kName); }},
    {"connectTo", [](Reader& r, Endpoint& e) { return r.text(e.connectTo, kConnectTo); }},
    {"weight", [](Reader& r, Endpoint& e) { return r.number(e.weight, limits::kWeight); }},
    {"metricSlot",
     [](Reader& r, Endpoint& e) { return r.number(e.metricSlot, limits::kMetricSlot); }},
    {"serverName", [](Reader& r, Endpoint& e) { return r.textOrNone(e.serverName, kHostLiteral); }},
};

bool endpoint(Reader& reader, Endpoint& target) {
  if (!reader.members(target, kEndpoint)) return false;
  if (target.address.empty()) return reader.wrongAt("address", "is missing");
  if (target.connectTo.empty()) return reader.wrongAt("connectTo", "is missing");
  return true;
}

using Upstream = UpstreamConfig;

constexpr Member<Upstream> kUpstream[] = {
    {"name", [](Reader& r, Upstream& u) { return r.text(u.name, kName); }},
    {"metricSlot",
     [](Reader& r, Upstream& u) { return r.number(u.metricSlot, limits::kMetricSlot); }},
    {"balance", [](Reader& r, Upstream& u) { return r.oneOf(u.balance, kAlgorithms); }},
    {"protocol", [](Reader& r, Upstream& u) { return r.oneOf(u.protocol, kUpstreamProtocols); }},
    {"hostHeader", [](Reader& r, Upstream& u) { return r.oneOf(u.hostHeader, kHostHeaders); }},
    {"hostLiteral",
     [](Reader& r, Upstream& u) { return r.textOrNone(u.hostLiteral, kHostLiteral); }},
    {"endpoints",
     [](Reader& r, Upstream& u) { return r.list(u.endpoints, limits::kEndpoints, endpoint); }},
    {"connectTimeout",
     [](Reader& r, Upstream& u) {
       return r.numberOrUnlimited(u.connectTimeout, limits::kTimeout);
     }},
    {"firstByteTimeout",
     [](Reader& r, Upstream& u) {
       return r.numberOrUnlimited(u.firstByteTimeout, limits::kTimeout);
     }},
    {"idleTimeout",
     [](Reader& r, Upstream& u) { return r.numberOrUnlimited(u.idleTimeout, limits::kTimeout); }},
    {"poolMaxIdle",
     [](Reader& r, Upstream& u) { return r.number(u.poolMaxIdle, limits::kPoolMaxIdle); }},
    {"poolIdleTimeout",
     [](Reader& r, Upstream& u) {
       return r.numberOrUnlimited(u.poolIdleTimeout, limits::kTimeout);
     }},
    {"poolMaxAge",
     [](Reader& r, Upstream& u) { return r.numberOrUnlimited(u.poolMaxAge, limits::kTimeout); }},
    {"poolMaxRequests",
     [](Reader& r, Upstream& u) {
       return r.numberOrUnlimited(u.poolMaxRequests, limits::kMaxRequests);
     }},
    {"poolMaxStreams",
     [](Reader& r, Upstream& u) { return r.number(u.poolMaxStreams, limits::kPoolMaxStreams); }},
    {"poolPingInterval",
     [](Reader& r, Upstream& u) {
       return r.numberOrUnlimited(u.poolPingInterval, limits::kTimeout);
     }},
    {"poolPingTimeout",
     [](Reader& r, Upstream& u) { return r.number(u.poolPingTimeout, limits::kTimeout); }},
    {"responseHeaderBytes",
     [](Reader& r, Upstream& u) { return r.number(u.responseHeaderBytes, limits::kHeaderBytes); }},
    {"responseHeaderCount",
     [](Reader& r, Upstream& u) { return r.number(u.responseHeaderCount, limits::kHeaderCount); }},
    {"retries", [](Reader& r, Upstream& u) { return r.number(u.retries, limits::kRetries); }},
    {"passiveFailures",
     [](Reader& r, Upstream& u) { return r.number(u.passiveFailures, limits::kPassiveFailures); }},
    {"passiveDownFor",
     [](Reader& r, Upstream& u) { return r.number(u.passiveDownFor, limits::kDownFor); }},
    {"tls", decodeUpstreamTls},
    {"fetchSlot",
     [](Reader& r, Upstream& u) { return r.number(u.fetchSlot.emplace(), limits::kMetricSlot); }},
};

bool upstream(Reader& reader, Upstream& target) {
  if (!reader.members(target, kUpstream)) return false;
  if (target.name.empty()) return reader.wrongAt("name", "is missing");
  if (target.endpoints.empty()) return reader.wrongAt("endpoints", "is missing");
  return (target.hostHeader == HostHeader::Literal) == !target.hostLiteral.empty() ||
         reader.wrongAt("hostLiteral", "expected a host with \"literal\", and none without");
}

// ---- the whole

constexpr std::array<std::string_view, 4> kFormats = {"off", "json", "common", "combined"};

constexpr Member<AccessLogConfig> kAccessLog[] = {
    {"format", [](Reader& r, AccessLogConfig& a) { return r.oneOf(a.format, kFormats); }},
    {"path", [](Reader& r, AccessLogConfig& a) { return r.textOrNone(a.path, kFilePath); }},
};

constexpr Member<Snapshot> kSnapshot[] = {
    {"version", [](Reader& r, Snapshot& s) { return r.number(s.version, limits::kVersion); }},
    {"accessLog", [](Reader& r, Snapshot& s) { return r.members(s.accessLog, kAccessLog); }},
    {"listeners",
     [](Reader& r, Snapshot& s) { return r.list(s.listeners, limits::kListeners, listener); }},
    {"access", [](Reader& r, Snapshot& s) { return r.list(s.access, limits::kAccess, access); }},
    {"chains", [](Reader& r, Snapshot& s) { return r.list(s.chains, limits::kChains, chain); }},
    {"authorities", decodeAuthorities},
    {"routes", [](Reader& r, Snapshot& s) { return r.list(s.routes, limits::kRoutes, route); }},
    {"upstreams",
     [](Reader& r, Snapshot& s) { return r.list(s.upstreams, limits::kUpstreams, upstream); }},
};

// ---- what the parts must be to each other; each returns the error, or an empty text

std::string element(std::string_view list, std::size_t index, std::string_view key) {
  return std::string(list) + "[" + std::to_string(index) + "]." + std::string(key);
}

std::string indexError(const std::string& place, std::size_t count, std::size_t received) {
  return place + ": expected an index below " + std::to_string(count) + " but received " +
         std::to_string(received);
}

std::string taken(const std::string& place, std::string_view value) {
  return place + ": " + quotedForMessage(value) + " is taken already";
}

using Seen = std::unordered_set<std::string_view>;

// One listener of the configuration may have several addresses, and so stand here several times
// under one name. Port 0 is another port each time.
std::string checkListeners(const std::vector<ListenerConfig>& listeners) {
  Seen binds;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    const std::string& bind = listeners[i].bind;
    if (!isConnectAddress(bind)) continue;
    if (!binds.insert(bind).second) return taken(element("listeners", i, "bind"), bind);
  }
  return {};
}

std::string checkUpstreams(const std::vector<UpstreamConfig>& upstreams) {
  Seen names;
  for (std::size_t i = 0; i < upstreams.size(); ++i) {
    const UpstreamConfig& upstream = upstreams[i];
    if (!names.insert(upstream.name).second) {
      return taken(element("upstreams", i, "name"), upstream.name);
    }
    Seen addresses;
    for (std::size_t j = 0; j < upstream.endpoints.size(); ++j) {
      const std::string& address = upstream.endpoints[j].address;
      if (!addresses.insert(address).second) {
        return taken(element(element("upstreams", i, "endpoints"), j, "address"), address);
      }
    }
  }
  return {};
}

std::string checkRoutes(const Snapshot& snapshot) {
  Seen names;
  for (std::size_t i = 0; i < snapshot.routes.size(); ++i) {
    const RouteConfig& route = snapshot.routes[i];
    if (!names.insert(route.match.name).second) {
      return taken(element("routes", i, "match.name"), route.match.name);
    }
    if (route.action == RouteAction::Proxy && route.upstream >= snapshot.upstreams.size()) {
      return indexError(element("routes", i, "upstream"), snapshot.upstreams.size(),
                        route.upstream);
    }
    if (route.chain != kNoChain && route.chain >= snapshot.chains.size()) {
      return indexError(element("routes", i, "chain"), snapshot.chains.size(), route.chain);
    }
    if (route.review != kNoChain && route.review >= snapshot.chains.size()) {
      return indexError(element("routes", i, "review"), snapshot.chains.size(), route.review);
    }
    for (std::size_t j = 0; j < route.access.size(); ++j) {
      if (route.access[j] >= snapshot.access.size()) {
        return indexError(element("routes", i, "access[" + std::to_string(j) + "]"),
                          snapshot.access.size(), route.access[j]);
      }
    }
    for (std::size_t j = 0; j < route.match.listeners.size(); ++j) {
      if (route.match.listeners[j] >= snapshot.listeners.size()) {
        return indexError(element("routes", i, "match.listeners[" + std::to_string(j) + "]"),
                          snapshot.listeners.size(), route.match.listeners[j]);
      }
    }
  }
  return {};
}

// The router keeps what it needs of the matches, in tables of its own.
std::string buildRouter(Snapshot& snapshot) {
  std::vector<RouteMatch> matches;
  matches.reserve(snapshot.routes.size());
  for (const RouteConfig& route : snapshot.routes) matches.push_back(route.match);
  auto router = Router::build(matches);
  if (!router.ok()) {
    return element("routes", router.error().route, "match") + ": " + router.error().message;
  }
  snapshot.router = std::make_unique<const Router>(std::move(router.value()));
  return {};
}

// Behind those that the router knows: no request takes one of them.
void addFetchRoutes(Snapshot& snapshot) {
  for (std::uint32_t i = 0; i < snapshot.upstreams.size(); ++i) {
    UpstreamConfig& upstream = snapshot.upstreams[i];
    if (!upstream.fetchSlot) continue;
    upstream.fetchRoute = static_cast<std::uint32_t>(snapshot.routes.size());
    RouteConfig& route = snapshot.routes.emplace_back();
    route.match.name = "fetch:" + upstream.name;
    route.metricSlot = *upstream.fetchSlot;
    route.upstream = i;
    route.firstByteTimeout = upstream.firstByteTimeout;
    route.idleTimeout = upstream.idleTimeout;
    route.retries = upstream.retries;
  }
}

}  // namespace

Result<std::shared_ptr<const Snapshot>, DecodeError> decodeSnapshot(
    std::span<const std::uint8_t> bytes) {
  if (bytes.size() > limits::kSnapshotBytes) {
    return Failure{DecodeError{"snapshot: expected at most " +
                               std::to_string(limits::kSnapshotBytes) + " bytes but received " +
                               std::to_string(bytes.size())}};
  }
  auto snapshot = std::make_shared<Snapshot>();
  ValueReader reader(bytes);
  if (!reader.members(*snapshot, kSnapshot)) return Failure{DecodeError{reader.error()}};
  if (!reader.atEnd()) return Failure{DecodeError{"snapshot: bytes follow after its end"}};

  std::string error = checkListeners(snapshot->listeners);
  if (error.empty()) error = checkUpstreams(snapshot->upstreams);
  if (error.empty()) error = checkRoutes(*snapshot);
  if (error.empty()) error = buildUpstreamTls(*snapshot);
  if (error.empty()) error = buildRouter(*snapshot);
  for (std::uint32_t i = 0; i < snapshot->upstreams.size(); ++i)
    snapshot->upstreamsByName.emplace(snapshot->upstreams[i].name, i);
  if (!error.empty()) return Failure{DecodeError{std::move(error)}};
  addFetchRoutes(*snapshot);
  return std::shared_ptr<const Snapshot>(std::move(snapshot));
}

}  // namespace tidegate
