// What a snapshot may say, and how each thing that it may not is refused.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/msgpack.h"
#include "check.h"
#include "routing/router.h"
#include "snapshot/decode.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

using test::decodeError;
using test::decodeSample;
using test::encodeJson;
using test::MsgpackWriter;

// A snapshot that is right, with `text` once in place of `part`.
std::string sampleWith(std::string_view part, std::string_view text) {
  std::string json = test::fullJson();
  if (part.empty()) return json;
  const std::size_t at = json.find(part);
  if (at == std::string::npos) {
    test::reportFailure(__FILE__, __LINE__, "the sample has no " + std::string(part));
    return json;
  }
  return json.replace(at, part.size(), text);
}

TEST("every key of every struct reaches its member") {
  const auto snapshot = decodeSample(sampleWith("", ""));
  REQUIRE(snapshot != nullptr);
  CHECK_EQ(snapshot->version, 3);
  CHECK(snapshot->accessLog.format == AccessLogFormat::Combined);
  CHECK_EQ(snapshot->accessLog.path, "/var/log/access.log");

  REQUIRE_EQ(snapshot->listeners.size(), 2);
  const ListenerConfig& listener = snapshot->listeners[0];
  CHECK_EQ(listener.name, "public");
  CHECK_EQ(listener.bind, "0.0.0.0:8080");
  CHECK_EQ(listener.requestLineBytes, 4096);
  CHECK_EQ(listener.headerBytes, 8192);
  CHECK_EQ(listener.headerCount, 50);
  CHECK_EQ(listener.bodyBytes, 10'737'418'240);
  CHECK_EQ(listener.headTimeout, 5000);
  CHECK_EQ(listener.bodyTimeout, kUnlimited);
  CHECK_EQ(listener.idleTimeout, 61'000);
  CHECK_EQ(listener.writeTimeout, 31'000);
  CHECK_EQ(listener.maxRequests, 1000);
  CHECK(!listener.http1);
  CHECK(listener.http2);
  CHECK_EQ(listener.streams, 64);
  CHECK(!listener.paths.mergeSlashes);
  CHECK(listener.paths.escapedSlashes == EscapedSlashes::Decode);
  CHECK(listener.trace);
  REQUIRE_EQ(listener.trustedProxies.size(), 3);
  CHECK(listener.trustedProxies[0] == *IpPrefix::parse("10.0.0.0/8"));
  CHECK(listener.trustedProxies[1] == *IpPrefix::parse("2001:db8::/32"));
  CHECK(listener.trustedProxies[2] == *IpPrefix::parse("192.0.2.1"));
  CHECK(listener.xForwarded == ForwardMode::Replace);
  CHECK(listener.forwarded == ForwardMode::Append);
  CHECK_EQ(listener.via, "edge-1");
  CHECK_EQ(listener.requestIdHeader, "x-request-id");
  CHECK(listener.requestIdAccept == RequestIdAccept::Always);
  CHECK(listener.server == ServerField::Overwrite);

  REQUIRE_EQ(snapshot->upstreams.size(), 1);
  const UpstreamConfig& upstream = snapshot->upstreams[0];
  CHECK_EQ(upstream.name, "orders");
  CHECK_EQ(upstream.metricSlot, 1);
  CHECK(upstream.balance == BalanceAlgorithm::LeastConnections);
  CHECK(upstream.hostHeader == HostHeader::Literal);
  CHECK_EQ(upstream.hostLiteral, "orders.internal");
  REQUIRE_EQ(upstream.endpoints.size(), 3);
  CHECK_EQ(upstream.endpoints[0].address, "a.internal:9000");
  CHECK_EQ(upstream.endpoints[0].connectTo, "10.0.0.11:9000");
  CHECK_EQ(upstream.endpoints[0].weight, 2);
  CHECK_EQ(upstream.endpoints[0].metricSlot, 2);
  CHECK_EQ(upstream.endpoints[2].connectTo, "unix:/run/app.sock");
  CHECK_EQ(upstream.connectTimeout, 2500);
  CHECK_EQ(upstream.firstByteTimeout, kUnlimited);
  CHECK_EQ(upstream.idleTimeout, 62'000);
  CHECK_EQ(upstream.poolMaxIdle, 5);
  CHECK(upstream.protocol == UpstreamProtocol::Http2);
  CHECK_EQ(upstream.poolMaxStreams, 50);
  CHECK_EQ(upstream.poolPingInterval, kUnlimited);
  CHECK_EQ(upstream.poolPingTimeout, 3000);
  CHECK_EQ(upstream.poolIdleTimeout, 7000);
  CHECK_EQ(upstream.poolMaxAge, kUnlimited);
  CHECK_EQ(upstream.poolMaxRequests, 100);
  CHECK_EQ(upstream.responseHeaderBytes, 16'384);
  CHECK_EQ(upstream.responseHeaderCount, 90);
  CHECK_EQ(upstream.retries, 2);
  CHECK_EQ(upstream.passiveFailures, 0);
  CHECK_EQ(upstream.passiveDownFor, 9000);
}

TEST("every key of a route reaches its member") {
  const auto snapshot = decodeSample(sampleWith("", ""));
  REQUIRE(snapshot != nullptr);
  REQUIRE_EQ(snapshot->routes.size(), 3);
  const RouteConfig& route = snapshot->routes[0];
  CHECK_EQ(route.match.name, "orders");
  CHECK_EQ(route.match.priority, -5);
  CHECK_EQ(route.match.listeners, (std::vector<std::uint16_t>{0, 1}));
  CHECK_EQ(route.match.hosts, (std::vector<std::string>{"api.example.com", "*.example.net"}));
  REQUIRE_EQ(route.match.paths.size(), 2);
  CHECK(route.match.paths[0].kind == PathKind::Template);
  CHECK_EQ(route.match.paths[0].text, "/orders/:id");
  CHECK(route.match.paths[1].kind == PathKind::Prefix);
  CHECK_EQ(route.match.methods, (std::vector<std::string>{"GET", "POST"}));
  REQUIRE_EQ(route.match.headers.size(), 2);
  CHECK_EQ(route.match.headers[0].name, "x-tenant");
  CHECK(route.match.headers[0].test == ValueTest::Exact);
  CHECK_EQ(route.match.headers[0].value, "blue");
  CHECK(route.match.headers[1].test == ValueTest::Present);
  REQUIRE_EQ(route.match.query.size(), 1);
  CHECK(route.match.query[0].test == ValueTest::Regex);
  REQUIRE_EQ(route.match.clients.size(), 1);
  CHECK(route.match.clients[0] == *IpPrefix::parse("10.1.0.0/16"));
  CHECK_EQ(route.metricSlot, 3);
  CHECK(route.action == RouteAction::Proxy);
  CHECK_EQ(route.upstream, 0);
  CHECK_EQ(route.requestTimeout, 90'000);
  CHECK_EQ(route.firstByteTimeout, 1000);
  CHECK_EQ(route.idleTimeout, 2000);
  CHECK_EQ(route.tunnelTimeout, kUnlimited);
  CHECK_EQ(route.retries, 3);
  CHECK_EQ(route.bodyBytes, 1'048'576);
  REQUIRE_EQ(route.rewritePath.size(), 2);
  CHECK(route.rewritePath[0].variable == Variable::Literal);
  CHECK_EQ(route.rewritePath[0].text, "/items/");
  CHECK(route.rewritePath[1].variable == Variable::Param);
  CHECK_EQ(route.rewritePath[1].text, "id");
  REQUIRE_EQ(route.rewriteHost.size(), 2);
  CHECK(route.rewriteHost[1].variable == Variable::Host);
  REQUIRE_EQ(route.requestEdits.set.size(), 1);
  CHECK_EQ(route.requestEdits.set[0].name, "X-Route");
  CHECK(route.requestEdits.set[0].id == FieldId::Other);
  CHECK(route.requestEdits.set[0].value[1].variable == Variable::RouteName);
  REQUIRE_EQ(route.requestEdits.add.size(), 1);
  CHECK(route.requestEdits.add[0].value[0].variable == Variable::Header);
  CHECK_EQ(route.requestEdits.add[0].value[0].text, "x-t");
  CHECK_EQ(route.requestEdits.remove, (std::vector<std::string>{"cookie"}));
  CHECK_EQ(route.responseEdits.remove, (std::vector<std::string>{"server"}));

  const RouteConfig& redirect = snapshot->routes[1];
  CHECK(redirect.action == RouteAction::Redirect);
  CHECK_EQ(redirect.status, 308);
  REQUIRE_EQ(redirect.location.size(), 4);
  CHECK(redirect.location[3].variable == Variable::QuestionQuery);

  const RouteConfig& respond = snapshot->routes[2];
  CHECK(respond.action == RouteAction::Respond);
  CHECK_EQ(respond.body[0].text, "hello\n");
  CHECK(respond.responseEdits.set[0].id == FieldId::ContentType);
}

TEST("every variable has its name") {
  constexpr std::string_view kNames[] = {
      "clientAddress", "clientPort",    "host",      "scheme",       "method",          "path",
      "query",         "questionQuery", "routeName", "upstreamName", "endpointAddress", "requestId",
      "param",         "header",        "tail"};
  int next = static_cast<int>(Variable::ClientAddress);
  for (const std::string_view name : kNames) {
    const bool named = name == "param" || name == "header";
    const auto snapshot =
        decodeSample(R"({"routes": [{"match": {"name": "r"}, "action": "respond", "status": 200,
                         "body": [{")" +
                     std::string(name) + R"(": ")" + (named ? "x" : "") + R"("}]}]})");
    REQUIRE(snapshot != nullptr);
    CHECK_EQ(static_cast<int>(snapshot->routes[0].body[0].variable), next++);
  }
  CHECK_EQ(next, static_cast<int>(Variable::Tail) + 1);
}

TEST("what is left out has its default") {
  const auto snapshot = decodeSample(test::sampleJson("127.0.0.1:9"));
  REQUIRE(snapshot != nullptr);
  const ListenerConfig& listener = snapshot->listeners[0];
  CHECK_EQ(listener.headerBytes, 16 * 1024);
  CHECK_EQ(listener.bodyBytes, kUnlimited);
  CHECK(listener.xForwarded == ForwardMode::Append);
  CHECK_EQ(snapshot->upstreams[0].poolMaxIdle, 64);
  CHECK_EQ(snapshot->upstreams[0].endpoints[0].weight, 1);
  CHECK_EQ(snapshot->routes[0].retries, 1);
  CHECK(snapshot->routes[0].requestEdits.empty());
}

TEST("the empty snapshot is one without anything") {
  const auto snapshot = decodeSample("{}");
  REQUIRE(snapshot != nullptr);
  CHECK(snapshot->listeners.empty());
  CHECK(snapshot->routes.empty());
  CHECK(snapshot->router != nullptr);
}

TEST("a snapshot has the chains of its routes, with what they read of a request") {
  const auto snapshot = decodeSample(R"({"chains": [{"id": 7, "timeout": 1500, "onFailure": "allow",
      "inputs": [{"kind": "header", "name": "accept"}, {"kind": "path", "name": ""},
                 {"kind": "routeName"}]}],
      "routes": [{"match": {"name": "r"}, "action": "respond", "status": 200, "chain": 0},
                 {"match": {"name": "s"}, "action": "respond", "status": 200}]})");
  REQUIRE_EQ(snapshot->chains.size(), 1);
  const PolicyChain& chain = snapshot->chains[0];
  CHECK_EQ(chain.id, 7);
  CHECK_EQ(chain.timeout, 1500);
  CHECK(chain.allowOnFailure);
  REQUIRE_EQ(chain.inputs.size(), 3);
  CHECK(chain.inputs[0].kind == InputKind::Header && chain.inputs[0].id == FieldId::Accept);
  CHECK(chain.inputs[1].kind == InputKind::Path);
  CHECK(chain.inputs[2].kind == InputKind::RouteName);
  CHECK_EQ(snapshot->routes[0].chain, 0);
  CHECK_EQ(snapshot->routes[1].chain, kNoChain);
}

// A snapshot with one address list of these prefixes, and a route that asks it.
std::vector<std::uint8_t> accessSnapshot(const std::vector<std::uint8_t>& prefixes,
                                         std::string_view listOfRoute = "[0]") {
  MsgpackWriter out;
  out.map(2);
  out.text("access");
  out.array(1);
  out.map(4);
  out.text("name");
  out.text("office");
  out.text("status");
  out.number(404);
  out.text("others");
  out.boolean(true);
  out.text("prefixes");
  out.raw({0xc4, static_cast<std::uint8_t>(prefixes.size())});
  out.raw(prefixes);
  out.text("routes");
  out.raw(encodeJson(R"([{"match": {"name": "r"}, "action": "respond", "status": 200, "access": )" +
                     std::string(listOfRoute) + "}]"));
  return out.take();
}

TEST("a snapshot has the address lists of its routes") {
  const auto decoded = decodeSnapshot(accessSnapshot({2, 8, 10, 0, 0, 0, 3, 32, 10, 0, 0, 1}));
  REQUIRE(decoded.ok());
  const Snapshot& snapshot = *decoded.value();
  CHECK_EQ(snapshot.routes[0].access, (std::vector<std::uint16_t>{0}));
  REQUIRE_EQ(snapshot.access.size(), 1);
  const AccessConfig& access = snapshot.access[0];
  CHECK_EQ(access.name, "office");
  CHECK_EQ(access.status, 404);
  CHECK(access.others && !access.shadow);
  CHECK(!access.allowed.contains(*IpAddress::parse("10.0.0.2")));
  CHECK(access.allowed.contains(*IpAddress::parse("10.0.0.1")));
  CHECK(access.allowed.contains(*IpAddress::parse("11.0.0.1")));
}

TEST("address lists that are cut off or hold what is no prefix are refused") {
  const auto errorOf = [](const std::vector<std::uint8_t>& bytes) {
    const auto decoded = decodeSnapshot(bytes);
    return decoded.ok() ? "" : decoded.error().message;
  };
  CHECK_EQ(errorOf(accessSnapshot({2, 8, 10, 0, 0})),
           "access[0].prefixes: expected whole prefixes");
  CHECK_EQ(errorOf(accessSnapshot({2, 8, 10, 0, 0, 0, 2})),
           "access[0].prefixes: expected whole prefixes");
  CHECK_EQ(errorOf(accessSnapshot({4, 8, 10, 0, 0, 0})),
           "access[0].prefixes: expected whole prefixes");
  CHECK_EQ(errorOf(accessSnapshot({2, 33, 10, 0, 0, 0})),
           "access[0].prefixes: a prefix is longer than its address");
  CHECK_EQ(errorOf(accessSnapshot({2, 8, 10, 0, 0, 1})),
           "access[0].prefixes: a prefix has bits behind its length");
  CHECK_EQ(errorOf(accessSnapshot({}, "[1]")),
           "routes[0].access[0]: expected an index below 1 but received 1");
}

TEST("chains that ask for what there is not are refused") {
  const auto errorOf = [](const std::string& chain) {
    const auto decoded = decodeSnapshot(encodeJson(R"({"chains": [)" + chain + "]}"));
    return decoded.ok() ? "" : decoded.error().message;
  };
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "header", "name": "X-A"}]})"),
           "chains[0].inputs[0].name: expected a lower-case header name");
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "cookie"}]})"), "chains[0].inputs[0].name: is missing");
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "responseHeader", "name": "X-A"}]})"),
           "chains[0].inputs[0].name: expected a lower-case header name");
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "responseBody"}]})"),
           "chains[0].inputs[0].types: is missing");
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "status", "types": ["text/*"]}]})"),
           "chains[0].inputs[0].types: expected none with this kind");
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "responseBody", "types": ["text"]}]})"),
           "chains[0].inputs[0].types[0]: expected a media type such as application/json or text/* "
           "but received \"text\"");
  CHECK_EQ(errorOf(R"({"inputs": [{"kind": "path", "name": "x"}]})"),
           "chains[0].inputs[0].name: expected none with this kind");
  CHECK_EQ(errorOf(R"({"timeout": 0})"), "chains[0].timeout: expected 1..3600000 but received 0");
  CHECK_EQ(errorOf(R"({"onFailure": "maybe"})"),
           "chains[0].onFailure: expected deny | allow but received \"maybe\"");
  const auto decoded = decodeSnapshot(
      encodeJson(R"({"routes": [{"match": {"name": "r"}, "action": "respond", "status": 200,
                                 "chain": 0}]})"));
  REQUIRE(!decoded.ok());
  CHECK_EQ(decoded.error().message, "routes[0].chain: expected an index below 0 but received 0");
  const auto reviewed = decodeSnapshot(
      encodeJson(R"({"routes": [{"match": {"name": "r"}, "action": "respond", "status": 200,
                                 "review": 0}]})"));
  REQUIRE(!reviewed.ok());
  CHECK_EQ(reviewed.error().message, "routes[0].review: expected an index below 0 but received 0");
}

TEST("the router that comes with a snapshot knows its routes") {
  const auto snapshot = decodeSample(sampleWith("", ""));
  REQUIRE(snapshot != nullptr);
  RouteRequest request;
  request.host = "anything.example.org";
  request.path = "/hello";
  request.method = "GET";
  FieldTable fields;
  request.fields = &fields;
  RouteResult result;
  snapshot->router->match(request, result);
  CHECK_EQ(result.route, 2);
}

// ---- refusals

struct Refusal {
  std::string_view part;
  std::string_view text;
  std::string_view error;
};

const Refusal kRefusals[] = {
    // types
    {R"("version": 3)", R"("version": "3")",
     "version: expected a whole number of at least 0 but received \"3\""},
    {R"("version": 3)", R"("version": -1)",
     "version: expected a whole number of at least 0 but received -1"},
    {R"("version": 3)", R"("version": 1.5)",
     "version: expected a whole number of at least 0 but received a number that is not whole or is "
     "cut off"},
    {R"("version": 3)", R"("version": null)",
     "version: expected a whole number of at least 0 but received nil"},
    {R"("trace": true)", R"("trace": 1)", "listeners[0].trace: expected a boolean but received 1"},
    {R"("accessLog": {"format": "combined", "path": "/var/log/access.log"})", R"("accessLog": [])",
     "accessLog: expected a map but received an array"},
    {R"("methods": ["GET", "POST"])", R"("methods": {"GET": true})",
     "routes[0].match.methods: expected an array but received a map"},
    {R"("name": "orders", "priority")", R"("name": true, "priority")",
     "routes[0].match.name: expected a name without control characters but received true"},

    // keys
    {R"("version": 3)", R"("versions": 3)", "snapshot: unknown key \"versions\""},
    {R"("version": 3)", R"("version": 3, "version": 3)", "snapshot: repeated key \"version\""},
    {R"("headerCount": 50)", R"("headercount": 50)", "listeners[0]: unknown key \"headercount\""},
    {R"("weight": 2)", R"("weight": 2, "weight": 2)",
     "upstreams[0].endpoints[0]: repeated key \"weight\""},
    {R"("version": 3)", R"("router": {})", "snapshot: unknown key \"router\""},

    // enumerations
    {R"("combined")", R"("Combined")",
     "accessLog.format: expected off | json | common | combined but received \"Combined\""},
    {R"("leastConnections")", R"(1)",
     "upstreams[0].balance: expected roundRobin | leastConnections but received 1"},
    {R"("xForwarded": "replace")", R"("xForwarded": "of")",
     "listeners[0].xForwarded: expected off | append | replace | keep but received \"of\""},

    // ranges
    {R"("requestLineBytes": 4096)", R"("requestLineBytes": 63)",
     "listeners[0].requestLineBytes: expected 64..65536 but received 63"},
    {R"("headerBytes": 8192)", R"("headerBytes": 1023)",
     "listeners[0].headerBytes: expected 1024..65536 but received 1023"},
    {R"("headerBytes": 8192)", R"("headerBytes": 65537)",
     "listeners[0].headerBytes: expected 1024..65536 but received 65537"},
    {R"("headerBytes": 8192)", R"("headerBytes": null)",
     "listeners[0].headerBytes: expected 1024..65536 but received nil"},
    {R"("headerCount": 50)", R"("headerCount": 257)",
     "listeners[0].headerCount: expected 1..256 but received 257"},
    {R"("headTimeout": 5000)", R"("headTimeout": 0)",
     "listeners[0].headTimeout: expected 1..31622400000 or nil but received 0"},
    {R"("maxRequests": 1000)", R"("maxRequests": 0)",
     "listeners[0].maxRequests: expected a whole number of at least 1 or nil but received 0"},
    {R"("weight": 2)", R"("weight": 257)",
     "upstreams[0].endpoints[0].weight: expected 1..256 but received 257"},
    {R"("weight": 2)", R"("weight": 0)",
     "upstreams[0].endpoints[0].weight: expected 1..256 but received 0"},
    {R"("poolMaxIdle": 5)", R"("poolMaxIdle": 65536)",
     "upstreams[0].poolMaxIdle: expected 0..65535 but received 65536"},
    {R"("protocol": "http2")", R"("protocol": "http3")",
     "upstreams[0].protocol: expected http1 | http2 | auto but received \"http3\""},
    {R"("protocol": "http2")", R"("protocol": "auto")", "upstreams[0].protocol: auto needs tls"},
    {R"("poolMaxStreams": 50)", R"("poolMaxStreams": 0)",
     "upstreams[0].poolMaxStreams: expected 1..10000 but received 0"},
    {R"("poolPingTimeout": 3000)", R"("poolPingTimeout": null)",
     "upstreams[0].poolPingTimeout: expected 1..31622400000 but received nil"},
    {R"("passiveDownFor": 9000)", R"("passiveDownFor": null)",
     "upstreams[0].passiveDownFor: expected 1..31622400000 but received nil"},
    {R"("retries": 3)", R"("retries": 900)", "routes[0].retries: expected 0..10 but received 900"},
    {R"("priority": -5)", R"("priority": -1001)",
     "routes[0].match.priority: expected -1000..1000 but received -1001"},
    {R"("metricSlot": 3)", R"("metricSlot": 65536)",
     "routes[0].metricSlot: expected 0..65535 but received 65536"},
    {R"("status": 308)", R"("status": 299)",
     "routes[1].status: expected 300..399 for this action but received 299"},
    {R"("status": 308,)", "", "routes[1].status: expected 300..399 for this action but received 0"},
    {R"("status": 200)", R"("status": 101)",
     "routes[2].status: expected 200..599 for this action but received 101"},
    {R"("status": 200)", R"("status": 600)", "routes[2].status: expected 0..599 but received 600"},

    // indices
    {R"("upstream": 0)", R"("upstream": 1)",
     "routes[0].upstream: expected an index below 1 but received 1"},
    {R"("listeners": [0, 1])", R"("listeners": [0, 2])",
     "routes[0].match.listeners[1]: expected an index below 2 but received 2"},

    // what must be there
    {R"("name": "public", )", "", "listeners[0].name: is missing"},
    {R"(, "bind": "unix:/run/tidegate.sock")", "", "listeners[1].bind: is missing"},
    {R"("name": "orders", "metricSlot")", R"("metricSlot")", "upstreams[0].name: is missing"},
    {R"("address": "[::1]:9000", )", "", "upstreams[0].endpoints[1].address: is missing"},
    {R"(, "connectTo": "[::1]:9000")", "", "upstreams[0].endpoints[1].connectTo: is missing"},
    {R"({"name": "moved"})", R"({})", "routes[1].match.name: is missing"},
    {R"("match": {"name": "moved"}, )", "", "routes[1].match.name: is missing"},
    {R"({"name": "x-debug", "test": "present"})", R"({"test": "present"})",
     "routes[0].match.headers[1].name: is missing"},
    {R"({"name": "content-type", "value": ["text/plain"]})", R"({"value": ["text/plain"]})",
     "routes[2].responseEdits.set[0].name: is missing"},
    {R"("location": ["https://", {"host": ""}, {"path": ""}, {"questionQuery": ""}])",
     R"("location": [])", "routes[1].location: is missing"},

    // names that are taken
    {R"("bind": "unix:/run/tidegate.sock")", R"("bind": "0.0.0.0:8080")",
     "listeners[1].bind: \"0.0.0.0:8080\" is taken already"},
    {R"({"name": "moved"})", R"({"name": "orders"})",
     "routes[1].match.name: \"orders\" is taken already"},
    {R"("address": "[::1]:9000")", R"("address": "a.internal:9000")",
     "upstreams[0].endpoints[1].address: \"a.internal:9000\" is taken already"},

    // texts
    {R"("name": "public", "bind": "0)", R"("name": "", "bind": "0)",
     "listeners[0].name: expected a name without control characters but received \"\""},
    {R"("name": "public", "bind": "0)", R"("name": "a\nb", "bind": "0)",
     "listeners[0].name: expected a name without control characters but received \"a\\x0ab\""},
    {R"("0.0.0.0:8080")", R"("localhost:8080")",
     "listeners[0].bind: expected \"ip:port\", \"[ip]:port\" or \"unix:/path\" but received "
     "\"localhost:8080\""},
    {R"("connectTo": "[::1]:9000")", R"("connectTo": "[::1]:0")",
     "upstreams[0].endpoints[1].connectTo: expected \"ip:port\", \"[ip]:port\" or "
     "\"unix:/path\", port 1..65535 but received \"[::1]:0\""},
    {R"("10.0.0.0/8")", R"("10.0.0.1/8")",
     "listeners[0].trustedProxies[0]: expected a network such as 10.0.0.0/8 but received "
     "\"10.0.0.1/8\""},
    {R"("10.1.0.0/16")", R"("10.1.0.0/160")",
     "routes[0].match.clients[0]: expected a network such as 10.0.0.0/8 but received "
     "\"10.1.0.0/160\""},
    {R"("api.example.com")", R"("API.example.com")",
     "routes[0].match.hosts[0]: expected a lower-case host, \"*.suffix\" or \"*\" but received "
     "\"API.example.com\""},
    {R"("api.example.com")", R"("a*.example.com")",
     "routes[0].match.hosts[0]: expected a lower-case host, \"*.suffix\" or \"*\" but received "
     "\"a*.example.com\""},
    {R"("POST")", R"("PO ST")",
     "routes[0].match.methods[1]: expected a method but received \"PO ST\""},
    {R"("name": "x-tenant", "test")", R"("name": "X-Tenant", "test")",
     "routes[0].match.headers[0].name: expected a lower-case header name but received "
     "\"X-Tenant\""},
    {R"("test": "present"})", R"("test": "present", "value": "x"})",
     "routes[0].match.headers[1].value: expected none with this test"},
    {R"({"kind": "prefix", "text": "/v1/*"})", R"({"kind": "any", "text": "/v1/*"})",
     "routes[0].match.paths[1].text: expected one with every kind but \"any\""},
    {R"("via": "edge-1")", R"("via": "a b")",
     "listeners[0].via: expected a pseudonym or a host but received \"a b\""},
    {R"("hostLiteral": "orders.internal")", R"("hostLiteral": "a/b")",
     "upstreams[0].hostLiteral: expected a host but received \"a/b\""},
    {R"("hostLiteral": "orders.internal")", R"("hostLiteral": "")",
     "upstreams[0].hostLiteral: expected a host with \"literal\", and none without"},
    {R"("hostHeader": "literal")", R"("hostHeader": "preserve")",
     "upstreams[0].hostLiteral: expected a host with \"literal\", and none without"},
    {R"("requestIdHeader": "x-request-id")", R"("requestIdHeader": "content-length")",
     "listeners[0].requestIdHeader: \"content-length\" cannot carry a request id"},

    // header edits
    {R"({"name": "X-Route")", R"({"name": "Content-Length")",
     "routes[0].requestEdits.set[0].name: header edits cannot touch \"Content-Length\", which the "
     "gateway itself is responsible for"},
    {R"({"name": "x-tenant", "value")", R"({"name": "TRANSFER-ENCODING", "value")",
     "routes[0].requestEdits.add[0].name: header edits cannot touch \"TRANSFER-ENCODING\", which "
     "the gateway itself is responsible for"},
    {R"(["cookie"])", R"(["connection"])",
     "routes[0].requestEdits.remove[0]: header edits cannot touch \"connection\", which the "
     "gateway itself is responsible for"},
    {R"(["cookie"])", R"(["Cookie"])",
     "routes[0].requestEdits.remove[0]: expected a lower-case header name but received "
     "\"Cookie\""},
    {R"({"name": "content-type")", R"({"name": "host")",
     "routes[2].responseEdits.set[0].name: header edits cannot touch \"host\", which the gateway "
     "itself is responsible for"},
    {R"({"name": "content-type")", R"({"name": "a:b")",
     "routes[2].responseEdits.set[0].name: expected a header name but received \"a:b\""},
    {R"(["text/plain"])", R"(["text/plain\r\nset-cookie: a=b"])",
     "routes[2].responseEdits.set[0].value[0]: expected text without control characters but "
     "received \"text/plain\\x0d\\x0aset-cookie: a=b\""},
    {R"(["text/plain"])", R"(["a\u0000"])",
     "routes[2].responseEdits.set[0].value[0]: expected text without control characters but "
     "received \"a\\x00\""},

    // templates
    {R"({"param": "id"})", R"({"parm": "id"})", "routes[0].rewritePath[1]: unknown key \"parm\""},
    {R"({"param": "id"})", R"({"param": ""})",
     "routes[0].rewritePath[1].param: expected a name without control characters but received "
     "\"\""},
    {R"({"param": "id"})", R"({})", "routes[0].rewritePath[1]: expected one variable"},
    {R"({"param": "id"})", R"({"param": "id", "host": ""})",
     "routes[0].rewritePath[1].host: expected one variable a part"},
    {R"({"param": "id"})", R"({"host": "x"})",
     "routes[0].rewritePath[1].host: expected at most 0 bytes but received 1"},
    {R"({"param": "id"})", R"(7)",
     "routes[0].rewritePath[1]: expected a text or a map of one variable but received 7"},
    {R"({"param": "id"})", R"({"header": "x-t"})",
     "routes[0].rewritePath[1]: this variable cannot stand here: its value may hold bytes that do "
     "not belong there"},
    {R"(["/items/", {)", R"(["items/", {)",
     "routes[0].rewritePath: expected to begin with \"/\" or the path"},
    {R"(["/items/", {)", R"(["/it ems/", {)",
     "routes[0].rewritePath[0]: expected part of a path but received \"/it ems/\""},
    {R"(["/items/", {)", R"(["", {)",
     "routes[0].rewritePath[0]: expected part of a path but received \"\""},
    {R"("stripPrefix": "")", R"("stripPrefix": "/v1")",
     "routes[0].rewritePath: expected none beside stripPrefix"},
    {R"("stripPrefix": "")", R"("stripPrefix": "v1")",
     "routes[0].stripPrefix: expected a path that begins with \"/\" but received \"v1\""},
    {R"(["app.", {"host": ""}])", R"(["app/", {"host": ""}])",
     "routes[0].rewriteHost[0]: expected part of a host but received \"app/\""},
    {R"(["app.", {"host": ""}])", R"(["app.", {"path": ""}])",
     "routes[0].rewriteHost[1]: this variable cannot stand here: its value may hold bytes that do "
     "not belong there"},
    {R"("https://")", R"("https:// ")",
     "routes[1].location[0]: expected part of a URL but received \"https:// \""},

    // lists
    {R"("endpoints": [
         {"address": "a.internal:9000", "connectTo": "10.0.0.11:9000", "weight": 2,
          "metricSlot": 2},
         {"address": "[::1]:9000", "connectTo": "[::1]:9000"},
         {"address": "unix:/run/app.sock", "connectTo": "unix:/run/app.sock"}])",
     R"("endpoints": [])", "upstreams[0].endpoints: expected 1..1024 elements but received 0"},
};

TEST("what a snapshot may not say is refused with its place") {
  for (const Refusal& refusal : kRefusals) {
    CHECK_EQ(decodeError(sampleWith(refusal.part, refusal.text)), refusal.error);
  }
}

TEST("a pattern that the router refuses is an error of its route") {
  const std::string error = decodeError(sampleWith(R"("value": "^2")", R"("value": "(")"));
  CHECK(error.starts_with("routes[0].match: "));
}

TEST("one name may have several listeners, and port 0 several times") {
  CHECK_EQ(decodeError(R"({"listeners": [{"name": "a", "bind": "127.0.0.1:0"},
                                         {"name": "a", "bind": "127.0.0.1:0"},
                                         {"name": "a", "bind": "[::1]:80"}]})"),
           "");
}

TEST("a text that is too long is not shown whole") {
  const std::string error =
      decodeError(sampleWith(R"("name": "moved")", R"("name": ")" + std::string(300, 'x') + "\""));
  CHECK_EQ(error, "routes[1].match.name: expected at most 256 bytes but received 300");
  const std::string shown =
      decodeError(sampleWith(R"("GET")", R"("GE T)" + std::string(200, 'y') + "\""));
  CHECK(shown.size() < 160);
  CHECK(shown.ends_with("...\""));
}

TEST("a message stays UTF-8 where a text is cut") {
  for (int shift = 0; shift < 4; ++shift) {
    std::string text(static_cast<std::size_t>(shift), 'x');
    for (int i = 0; i < 40; ++i) text += "\xe2\x82\xac";
    const std::string error = decodeError(sampleWith(R"("GET")", "\"" + text + "\""));
    CHECK(isUtf8(error));
    CHECK(error.ends_with("...\""));
  }
}

TEST("bytes after the snapshot are refused") {
  std::vector<std::uint8_t> bytes = test::sampleSnapshot();
  bytes.push_back(0xc0);
  const auto result = decodeSnapshot(bytes);
  REQUIRE(!result.ok());
  CHECK_EQ(result.error().message, "snapshot: bytes follow after its end");
}

TEST("a snapshot that is cut off anywhere is refused") {
  const std::vector<std::uint8_t> whole = encodeJson(sampleWith("", ""));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    // On the heap and exactly that long, so that a sanitizer sees a byte too many.
    const std::vector<std::uint8_t> bytes(whole.begin(),
                                          whole.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(!decodeSnapshot(bytes).ok());
  }
  CHECK(decodeSnapshot(whole).ok());
}

TEST("keys may come in any order") {
  const auto snapshot = decodeSample(R"({
    "routes": [{"upstream": 0, "match": {"name": "all"}}],
    "upstreams": [{"endpoints": [{"connectTo": "127.0.0.1:9", "address": "a"}], "name": "o"}],
    "listeners": []})");
  CHECK(snapshot != nullptr);
}

std::string errorOf(const std::vector<std::uint8_t>& bytes) {
  const auto result = decodeSnapshot(bytes);
  return result.ok() ? "" : result.error().message;
}

TEST("a key that is no text is refused") {
  MsgpackWriter out;
  out.map(1);
  out.number(7);
  out.nil();
  CHECK_EQ(errorOf(out.take()), "snapshot: expected a text as key but received 7");
}

TEST("lengths that lie cost nothing") {
  MsgpackWriter out;
  out.map(1);
  out.text("routes");
  out.array(60'000);
  CHECK_EQ(errorOf(out.take()), "routes: expected an array but received an array that is cut off");

  MsgpackWriter map;
  map.map(1'000'000'000);
  CHECK_EQ(errorOf(map.take()), "snapshot: expected a map but received a map that is cut off");

  MsgpackWriter many;
  many.map(1);
  many.text("routes");
  many.array(70'000);
  for (int i = 0; i < 70'000; ++i) many.nil();
  CHECK_EQ(errorOf(many.take()), "routes: expected 0..65536 elements but received 70000");
}

TEST("a text that is not UTF-8 is refused") {
  MsgpackWriter out;
  out.map(1);
  out.text("accessLog");
  out.map(1);
  out.text("path");
  out.text("/tmp/\xff");
  CHECK_EQ(errorOf(out.take()),
           "accessLog.path: expected a path but received text that is not UTF-8 or is cut off");
}

TEST("nesting is as deep as the structs are, whatever comes") {
  std::vector<std::uint8_t> bytes(1'000'000, 0x91);
  CHECK_EQ(errorOf(bytes), "snapshot: expected a map but received an array");
  MsgpackWriter out;
  out.map(1);
  out.text("routes");
  std::vector<std::uint8_t> deep = out.take();
  deep.insert(deep.end(), bytes.begin(), bytes.end());
  CHECK_EQ(errorOf(deep), "routes[0]: expected a map but received an array");
}

struct Seed {
  const char* name;
  std::string json;
};

std::vector<Seed> seeds() {
  return {
      {"empty", "{}"},
      {"plain", test::sampleJson()},
      {"full", test::fullJson()},
      {"regex-route",
       R"({"routes": [{"match": {"name": "r", "paths": [{"kind": "regex",
           "text": "^/a(b|c)*[^d-f]+$"}], "headers": [{"name": "x", "test": "regex",
           "value": "\\d{2,4}"}]}, "action": "respond", "status": 204}]})"},
      {"redirect-route",
       R"({"routes": [{"match": {"name": "r", "hosts": ["*"]}, "action": "redirect",
           "status": 301, "location": ["/", {"tail": ""}]}]})"},
      {"wide-numbers",
       R"({"version": 9007199254740991, "listeners": [{"name": "l", "bind": "[::]:0",
           "bodyBytes": 5000000000, "headTimeout": 31622400000}]})"},
      {"repeated-key", R"({"version": 1, "version": 2})"},
      {"unknown-key", R"({"accessLog": {"size": 3}})"},
      {"dangling-index", R"({"routes": [{"match": {"name": "r"}, "upstream": 7}]})"},
      {"wrong-types", R"({"listeners": [null, true, [], {}, "x", -5, 1.5]})"},
  };
}

// With TIDEGATE_CORPUS=test/fuzz/corpus/snapshot it also writes them, for when the format has
// changed.
TEST("the fuzzer's seeds are read without harm") {
  const char* folder = std::getenv("TIDEGATE_CORPUS");
  for (const Seed& seed : seeds()) {
    const std::vector<std::uint8_t> bytes = encodeJson(seed.json);
    const auto snapshot = decodeSnapshot(bytes);
    CHECK(snapshot.ok() || !snapshot.error().message.empty());
    if (folder == nullptr) continue;
    std::FILE* file = std::fopen((std::string(folder) + "/" + seed.name).c_str(), "wb");
    REQUIRE(file != nullptr);
    CHECK_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::fclose(file);
  }
}

TEST("a snapshot of many routes is decoded") {
  std::string json = R"({"upstreams": [{"name": "o", "endpoints": [
      {"address": "a", "connectTo": "127.0.0.1:9"}]}], "routes": [)";
  for (int i = 0; i < 2000; ++i) {
    json += std::string(i == 0 ? "" : ",") + R"({"match": {"name": "r)" + std::to_string(i) +
            R"(", "paths": [{"kind": "prefix", "text": "/p)" + std::to_string(i) +
            R"(/*"}]}, "upstream": 0})";
  }
  const auto snapshot = decodeSample(json + "]}");
  REQUIRE(snapshot != nullptr);
  CHECK_EQ(snapshot->routes.size(), 2000);
}

TEST("an upstream that policies fetch from has a route that the router does not know") {
  const auto snapshot = test::decodeSample(R"({
    "listeners": [{"name": "public", "bind": "127.0.0.1:0"}],
    "upstreams": [
      {"name": "a", "endpoints": [{"address": "a", "connectTo": "127.0.0.1:1"}]},
      {"name": "b", "endpoints": [{"address": "b", "connectTo": "127.0.0.1:2"}],
       "fetchSlot": 7, "retries": 3, "idleTimeout": 11, "firstByteTimeout": 12}],
    "routes": [{"match": {"name": "all"}, "upstream": 0, "metricSlot": 5}]
  })");
  REQUIRE(snapshot != nullptr);
  CHECK_EQ(snapshot->upstreams[0].fetchRoute, kNoRoute);
  REQUIRE_EQ(snapshot->upstreams[1].fetchRoute, 1);
  REQUIRE_EQ(snapshot->routes.size(), 2);
  const RouteConfig& route = snapshot->routes[1];
  CHECK_EQ(route.match.name, "fetch:b");
  CHECK_EQ(route.metricSlot, 7);
  CHECK_EQ(route.upstream, 1);
  CHECK_EQ(route.retries, 3);
  CHECK_EQ(route.idleTimeout, 11);
  CHECK_EQ(route.firstByteTimeout, 12);
  CHECK_EQ(route.chain, kNoChain);
  RouteRequest request;
  request.path = "/";
  request.method = "GET";
  FieldTable fields;
  request.fields = &fields;
  RouteResult match;
  snapshot->router->match(request, match);
  CHECK_EQ(match.route, 0);
}

}  // namespace
}  // namespace tidegate
