// The immutable tables of one configuration. Built by the control thread from what TypeScript
// encoded (decode.h), then shared read-only by all I/O threads.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ip_address.h"
#include "http/field_id.h"
#include "policy/input.h"
#include "routing/path.h"
#include "routing/prefix_set.h"
#include "routing/route_match.h"
#include "routing/router.h"
#include "tls/client_config.h"
#include "tls/server_config.h"

namespace tidegate {

namespace tls {
class ClientContext;
class ServerContext;
}  // namespace tls

// Durations are milliseconds, sizes are bytes; kUnlimited where the configuration says `unlimited`.
inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

// A text with variables, compiled: literals and variables in order.
enum class Variable : std::uint8_t {
  Literal,  // text is the literal
  ClientAddress,
  ClientPort,
  Host,  // without port, lower-case
  Scheme,
  Method,
  Path,           // normalised
  Query,          // without "?"
  QuestionQuery,  // "?" and the query, or nothing
  RouteName,
  UpstreamName,
  EndpointAddress,
  RequestId,
  Param,   // text is the parameter's name
  Header,  // text is the request field's lower-case name
  Tail,
};

struct TemplatePart {
  Variable variable = Variable::Literal;
  std::string text;
};

using TextTemplate = std::vector<TemplatePart>;

struct FieldEdit {
  std::string name;
  FieldId id = FieldId::Other;
  TextTemplate value;
};

struct HeaderEdits {
  std::vector<FieldEdit> set;
  std::vector<FieldEdit> add;
  std::vector<std::string> remove;  // lower-case

  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

enum class ForwardMode : std::uint8_t { Off, Append, Replace, Keep };
enum class RequestIdAccept : std::uint8_t { Never, Trusted, Always };
enum class ServerField : std::uint8_t { Pass, Overwrite, Remove };

struct ListenerConfig {
  std::string name;
  // "ip:port" (0: any free one) or "unix:/path": the key by which a listener stays over a reload.
  std::string bind;
  std::uint32_t requestLineBytes = 8 * 1024;
  std::uint32_t headerBytes = 16 * 1024;
  std::uint32_t headerCount = 100;
  std::uint64_t bodyBytes = kUnlimited;
  std::uint64_t headTimeout = 10'000;
  std::uint64_t bodyTimeout = 30'000;
  std::uint64_t idleTimeout = 60'000;
  std::uint64_t writeTimeout = 30'000;
  std::uint64_t maxRequests = kUnlimited;
  bool http1 = true;  // which protocols are spoken; one of them at least
  bool http2 = true;
  std::uint32_t streams = 128;  // of an HTTP/2 connection, at a time
  PathRules paths;
  bool trace = false;
  std::vector<IpPrefix> trustedProxies;
  ForwardMode xForwarded = ForwardMode::Append;
  ForwardMode forwarded = ForwardMode::Off;
  std::string via;  // empty: no Via
  // What Via says of a message of HTTP/1.0, of 1.1 and of 2: the version, then `via`.
  std::array<std::string, 3> viaHops;
  std::string requestIdHeader;              // lower-case; empty: no request id is sent on
  FieldId requestIdField = FieldId::Other;  // its id
  RequestIdAccept requestIdAccept = RequestIdAccept::Trusted;
  ServerField server = ServerField::Pass;
  // nullptr: in the clear.
  std::shared_ptr<tls::ServerContext> tls;
  // What it is made of, while the snapshot is being read: it holds private keys.
  std::optional<tls::ServerConfig> tlsSource;
  std::uint64_t handshakeTimeout = 10'000;
  std::string hsts;                  // Strict-Transport-Security; empty: none
  TextTemplate redirect;             // where all requests are sent; empty: nowhere
  bool clientCertificate = false;    // Client-Cert towards upstreams (RFC 9440)
  std::uint64_t handshakes = 1'000;  // under way at a time, on each I/O thread
};

// Whose addresses a route lets in: a policy that the core carries out by itself.
struct AccessConfig {
  std::string name;
  std::uint32_t metricSlot = 0;
  bool shadow = false;         // noted, not enforced
  bool others = false;         // whether addresses in no prefix, and clients without one, may pass
  std::uint16_t status = 403;  // of the answer
  std::string detail;          // in the answer; empty: the reason's own sentence
  PrefixSet allowed;
};

enum class RouteAction : std::uint8_t { Proxy, Redirect, Respond };

// What a route's policies are asked about, in one crossing. A policy that does not answer in time
// is the worker's business; `timeout` says when the worker itself is given up.
struct PolicyChain {
  std::uint32_t id = 0;               // by which the workers know it
  std::uint64_t timeout = 1000;       // of the whole chain
  bool allowOnFailure = false;        // the exchange goes on as if there were no policies
  std::vector<std::string> policies;  // their names, in the order in which they decide
  std::vector<PolicyInput> inputs;
  std::uint64_t bodyBytes = 0;  // of the body that is collected for it
  // Messages with longer ones go on without a body to read, instead of being refused.
  bool bodyOptional = false;
};

inline constexpr std::uint32_t kNoChain = ~std::uint32_t{0};

struct RouteConfig {
  RouteMatch match;
  std::uint32_t metricSlot = 0;
  std::vector<std::uint16_t> access;  // indices: all are to let the client in, before the chain
  std::uint32_t chain = kNoChain;     // index: the policies that decide before the action
  std::uint32_t review = kNoChain;    // index: those that see the upstream's response
  RouteAction action = RouteAction::Proxy;
  std::uint32_t upstream = 0;  // index, for Proxy
  // Proxy: overrides of the upstream's values; the compiler has already merged them.
  std::uint64_t requestTimeout = kUnlimited;  // the whole exchange
  std::uint64_t firstByteTimeout = 30'000;
  std::uint64_t idleTimeout = 60'000;
  std::uint64_t tunnelTimeout = 3'600'000;  // after an Upgrade, without a byte in either direction
  std::uint32_t retries = 1;
  std::uint64_t bodyBytes = kUnlimited;  // the smaller of the listener's and this one is in force
  std::string stripPrefix;               // empty: nothing is stripped
  TextTemplate rewritePath;              // empty: the path stays
  TextTemplate rewriteHost;              // empty: the upstream's hostHeader decides
  // Redirect and Respond.
  std::uint16_t status = 0;
  TextTemplate location;
  TextTemplate body;
  HeaderEdits requestEdits;
  HeaderEdits responseEdits;  // for Respond the fields of `respond.headers` stand in `set`
};

enum class BalanceAlgorithm : std::uint8_t { RoundRobin, LeastConnections };
enum class UpstreamProtocol : std::uint8_t {
  Http1,
  Http2,
  Auto,  // what the endpoint chooses by ALPN; with TLS only
};
enum class HostHeader : std::uint8_t { Preserve, Endpoint, Literal };

struct EndpointConfig {
  std::string address;       // as configured: key of its state over reloads, log and metric label
  std::string connectTo;     // "ip:port", "[ip]:port" or "unix:/path", already resolved
  std::uint32_t weight = 1;  // 1..256
  std::uint32_t metricSlot = 0;
  std::string serverName;  // with TLS: the name (or address) that it has to be
};

struct UpstreamConfig {
  std::string name;
  std::uint32_t metricSlot = 0;
  BalanceAlgorithm balance = BalanceAlgorithm::RoundRobin;
  UpstreamProtocol protocol = UpstreamProtocol::Http1;
  HostHeader hostHeader = HostHeader::Preserve;
  std::string hostLiteral;
  std::vector<EndpointConfig> endpoints;  // never empty
  std::uint64_t connectTimeout = 2'000;
  std::uint64_t firstByteTimeout = 30'000;
  std::uint64_t idleTimeout = 60'000;
  std::uint32_t poolMaxIdle = 64;
  std::uint64_t poolIdleTimeout = 30'000;
  std::uint64_t poolMaxAge = 600'000;
  std::uint64_t poolMaxRequests = kUnlimited;
  std::uint32_t poolMaxStreams = 100;  // of one connection; HTTP/2 only, as the next two
  std::uint64_t poolPingInterval = 30'000;
  std::uint64_t poolPingTimeout = 10'000;
  std::uint32_t responseHeaderBytes = 32 * 1024;
  std::uint32_t responseHeaderCount = 200;
  std::uint32_t retries = 1;
  std::uint32_t passiveFailures = 3;  // 0: passive health is off
  std::uint64_t passiveDownFor = 10'000;
  std::shared_ptr<tls::ClientContext> tls;     // nullptr: in the clear
  std::optional<tls::ClientConfig> tlsSource;  // while the snapshot is being read
  // For what policies fetch: a metric slot, where there are such policies; and an index of `routes`
  // that the decoder has made of it.
  std::optional<std::uint32_t> fetchSlot;
  std::uint32_t fetchRoute = kNoRoute;
};

enum class AccessLogFormat : std::uint8_t { Off, Json, Common, Combined };

struct AccessLogConfig {
  AccessLogFormat format = AccessLogFormat::Json;
  std::string path;  // empty: standard output
};

inline constexpr std::uint32_t kNoUpstream = ~std::uint32_t{0};

struct Snapshot {
  std::uint64_t version = 0;  // grows with each configuration that is adopted
  AccessLogConfig accessLog;
  std::vector<ListenerConfig> listeners;
  // PEM of the authorities that the system believes, while the snapshot is being read.
  std::string authorities;
  std::vector<AccessConfig> access;
  std::vector<PolicyChain> chains;
  // Those that requests are matched with, then those of the upstreams' fetches.
  std::vector<RouteConfig> routes;
  std::vector<UpstreamConfig> upstreams;
  std::unique_ptr<const Router> router;  // route indices are those of `routes`
  std::unordered_map<std::string_view, std::uint32_t> upstreamsByName;  // into `upstreams`

  // kNoUpstream when there is none of that name.
  std::uint32_t upstreamIndex(std::string_view name) const {
    const auto found = upstreamsByName.find(name);
    return found == upstreamsByName.end() ? kNoUpstream : found->second;
  }
};

}  // namespace tidegate
