// Request targets by form: origin, absolute, asterisk; and the host that they and the Host field
// name.
#include "http1/target.h"

#include <optional>

#include "base/ascii.h"
#include "base/ip_address.h"
#include "http1/scan.h"

namespace tidegate::http1 {
namespace {

bool isIpv6Literal(std::string_view text) {
  return text.find(':') != std::string_view::npos && IpAddress::parse(text).has_value();
}

// Where the host at the start of `text` ends; nullptr when there is none.
const char* hostEnd(const char* readable, std::string_view text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return nullptr;
    return isIpv6Literal(text.substr(1, close - 1)) ? begin + close + 1 : nullptr;
  }
  const char* const stop = scanHost(readable, begin, end);
  return stop != begin ? stop : nullptr;
}

// 1..65535; 0 when `digits` is not such a number. Empty is none of them.
std::uint32_t portOf(std::string_view digits) {
  constexpr std::size_t kMaxDigits = 5;
  if (digits.size() > kMaxDigits) return 0;
  std::uint32_t port = 0;
  for (const char c : digits) {
    if (!isDigit(c)) return 0;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return port <= 65535 ? port : 0;
}

// "http://" or "https://" in any case; what follows it is the authority. 0 when `target` has
// neither.
std::size_t schemeLength(std::string_view target, std::uint32_t& defaultPort) {
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  if (equalsIgnoreCase(target.substr(0, kHttp.size()), kHttp)) {
    defaultPort = 80;
    return kHttp.size();
  }
  if (equalsIgnoreCase(target.substr(0, kHttps.size()), kHttps)) {
    defaultPort = 443;
    return kHttps.size();
  }
  return 0;
}

Slice sliceOf(const char* base, std::string_view text) {
  return {static_cast<std::uint32_t>(text.data() - base), static_cast<std::uint32_t>(text.size())};
}

void setPathAndQuery(const char* base, const char* path, const char* query, const char* end,
                     RequestLine& line) {
  line.path = sliceOf(base, {path, static_cast<std::size_t>(query - path)});
  line.hasQuery = query != end;
  if (line.hasQuery) {
    line.query = sliceOf(base, {query + 1, static_cast<std::size_t>(end - query - 1)});
  }
}

ParseError parseAbsolute(const char* base, std::string_view target, const char* query,
                         RequestLine& line, TargetHost& host) {
  const std::size_t scheme = schemeLength(target, host.defaultPort);
  if (scheme == 0) return ParseError::BadTarget;
  const char* const authority = target.data() + scheme;
  const std::string_view beforeQuery(authority, static_cast<std::size_t>(query - authority));
  const std::size_t slash = beforeQuery.find('/');
  const std::string_view text = beforeQuery.substr(0, slash);
  if (!parseAuthority(base, text, host.authority)) return ParseError::BadTarget;
  line.authority = sliceOf(base, text);
  line.host = sliceOf(base, host.authority.host);
  const char* const end = target.data() + target.size();
  const char* const path = authority + text.size();
  setPathAndQuery(base, path, query, end, line);
  if (slash == std::string_view::npos) {
    // An empty path means "/" (RFC 9112 3.2.1), and the head has one: the last byte of "://".
    line.path = sliceOf(base, {authority - 1, 1});
    line.serverWide = line.method == Method::Options && !line.hasQuery;
  }
  return ParseError::None;
}

}  // namespace

bool parseAuthority(const char* readable, std::string_view text, Authority& authority) {
  const char* const stop = hostEnd(readable, text);
  if (stop == nullptr) return false;
  authority.host = text.substr(0, static_cast<std::size_t>(stop - text.data()));
  authority.port = 0;
  const std::string_view rest = text.substr(authority.host.size());
  if (rest.empty()) return true;
  if (rest.front() != ':') return false;
  authority.port = portOf(rest.substr(1));
  // "host:" is valid and gives no port (RFC 3986 3.2.3).
  return authority.port != 0 || rest.size() == 1;
}

ParseError parseTarget(const char* base, const char* query, RequestLine& line, TargetHost& host) {
  if (line.method == Method::Connect) return ParseError::ConnectRefused;
  const std::string_view target(base + line.target.offset, line.target.length);
  if (target.front() == '/') {
    setPathAndQuery(base, target.data(), query, target.data() + target.size(), line);
    return ParseError::None;
  }
  if (target == "*") {
    line.path = line.target;
    line.serverWide = true;
    return line.method == Method::Options ? ParseError::None : ParseError::BadTarget;
  }
  return parseAbsolute(base, target, query, line, host);
}

ParseError applyHost(const char* base, Slice value, const TargetHost& host, RequestLine& line) {
  Authority given;
  if (!parseAuthority(base, {base + value.offset, value.length}, given)) return ParseError::BadHost;
  if (host.authority.host.empty()) {
    line.authority = value;
    line.host = sliceOf(base, given.host);
    return ParseError::None;
  }
  const auto portOr = [&host](std::uint32_t port) { return port != 0 ? port : host.defaultPort; };
  const bool same = equalsIgnoreCase(given.host, host.authority.host) &&
                    portOr(given.port) == portOr(host.authority.port);
  return same ? ParseError::None : ParseError::HostMismatch;
}

}  // namespace tidegate::http1
