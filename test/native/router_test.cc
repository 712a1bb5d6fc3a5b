// The router: which route takes a request, what it reads out of the path, what it refuses to build,
// and that its tables agree with a plain scan of all routes for random configurations.
#include "routing/router.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/allocation_count.h"
#include "check.h"
#include "routing/path_tree.h"
#include "routing/regex.h"

namespace tidegate {
namespace {

// ---- A small language for routes and requests.

PathMatch path(std::string_view text) {
  PathKind kind = PathKind::Exact;
  if (text.starts_with("^")) {
    kind = PathKind::Regex;
  } else if (text.find("/:") != std::string_view::npos) {
    kind = PathKind::Template;
  } else if (text.ends_with("/*")) {
    kind = PathKind::Prefix;
  }
  return {kind, std::string(text)};
}

struct RouteBuilder {
  RouteMatch match;

  RouteBuilder(std::string_view name, std::initializer_list<std::string_view> paths) {
    match.name = name;
    for (const std::string_view text : paths) match.paths.push_back(path(text));
  }
  RouteBuilder& host(std::string_view text) {
    match.hosts.emplace_back(text);
    return *this;
  }
  RouteBuilder& priority(int value) {
    match.priority = value;
    return *this;
  }
  RouteBuilder& methods(std::initializer_list<std::string_view> list) {
    for (const std::string_view method : list) match.methods.emplace_back(method);
    return *this;
  }
  RouteBuilder& header(std::string_view name, ValueTest test, std::string_view value = {}) {
    match.headers.push_back({std::string(name), test, std::string(value)});
    return *this;
  }
  RouteBuilder& query(std::string_view name, ValueTest test, std::string_view value = {}) {
    match.query.push_back({std::string(name), test, std::string(value)});
    return *this;
  }
  RouteBuilder& client(std::string_view prefix) {
    match.clients.push_back(*IpPrefix::parse(prefix));
    return *this;
  }
  RouteBuilder& listener(std::uint16_t index) {
    match.listeners.push_back(index);
    return *this;
  }
};

struct Fixture {
  std::vector<RouteMatch> routes;
  std::unique_ptr<Router> router;
  std::string error;

  Fixture(std::initializer_list<RouteBuilder> list) {
    for (const RouteBuilder& route : list) routes.push_back(route.match);
    build();
  }
  explicit Fixture(std::vector<RouteMatch> list) : routes(std::move(list)) { build(); }

  void build() {
    Result<Router, RouterBuildError> built = Router::build(routes);
    if (built) {
      router = std::make_unique<Router>(std::move(*built));
    } else {
      error = std::to_string(built.error().route) + ": " + built.error().message;
    }
  }
};

// A request that owns its bytes.
struct Request {
  RouteRequest route;
  std::string head;
  FieldTable fields;

  Request(std::string_view host, std::string_view target, std::string_view method = "GET") {
    route.host = host;
    const std::size_t question = target.find('?');
    route.path = target.substr(0, question);
    if (question != std::string_view::npos) route.query = target.substr(question + 1);
    route.method = method;
    route.client = *IpAddress::parse("192.0.2.1");
  }
  Request& header(std::string_view name, std::string_view value) {
    const auto offset = static_cast<std::uint32_t>(head.size());
    head += name;
    head += value;
    Field field;
    field.name = {offset, static_cast<std::uint32_t>(name.size())};
    field.value = {offset + field.name.length, static_cast<std::uint32_t>(value.size())};
    fields.add(field);
    return *this;
  }
  Request& client(std::string_view address) {
    route.client = *IpAddress::parse(address);
    return *this;
  }
  Request& listener(std::uint16_t index) {
    route.listener = index;
    return *this;
  }
  const RouteRequest& get() {
    fields.rebase(head.data());
    route.fields = &fields;
    return route;
  }
};

// The name of the route that is found, "405 <Allow>" or "404".
std::string found(const Fixture& fixture, Request& request) {
  if (fixture.router == nullptr) return "refused: " + fixture.error;
  RouteResult result;
  fixture.router->match(request.get(), result);
  if (result.route != kNoRoute) return fixture.routes[result.route].name;
  if (!result.methodMismatch) return "404";
  char out[Router::kMaxAllowBytes];
  return "405 " + std::string(fixture.router->writeAllow(result, out));
}

std::string found(const Fixture& fixture, std::string_view host, std::string_view target,
                  std::string_view method = "GET") {
  Request request(host, target, method);
  return found(fixture, request);
}

// "name=value name=value tail"
std::string captured(const Fixture& fixture, std::string_view target) {
  if (fixture.router == nullptr) return "refused: " + fixture.error;
  Request request("h", target);
  RouteResult result;
  fixture.router->match(request.get(), result);
  if (result.route == kNoRoute) return "404";
  std::string text;
  for (std::size_t i = 0; i < result.paramCount; ++i) {
    text += std::string(result.params[i].name) + "=" + std::string(result.params[i].value) + " ";
  }
  return text + "tail=" + std::string(result.tail);
}

// ---- What matches.

TEST("an exact path matches itself only, case and trailing slash included") {
  const Fixture f{{"a", {"/a/b"}}, {"slash", {"/a/b/"}}, {"root", {"/"}}};
  CHECK_EQ(found(f, "h", "/a/b"), "a");
  CHECK_EQ(found(f, "h", "/a/b/"), "slash");
  CHECK_EQ(found(f, "h", "/"), "root");
  CHECK_EQ(found(f, "h", "/A/b"), "404");
  CHECK_EQ(found(f, "h", "/a"), "404");
  CHECK_EQ(found(f, "h", "/a/b/c"), "404");
  CHECK_EQ(found(f, "h", "/a/b?x=1"), "a");
}

TEST("a prefix matches by whole segments") {
  const Fixture f{{"a", {"/a/*"}}};
  CHECK_EQ(found(f, "h", "/a"), "a");
  CHECK_EQ(found(f, "h", "/a/"), "a");
  CHECK_EQ(found(f, "h", "/a/b/c"), "a");
  CHECK_EQ(found(f, "h", "/ab"), "404");
  CHECK_EQ(found(f, "h", "/"), "404");
  const Fixture all{{"all", {"/*"}}};
  CHECK_EQ(found(all, "h", "/"), "all");
  CHECK_EQ(found(all, "h", "/x/y"), "all");
  CHECK_EQ(found(all, "h", "*"), "404");
}

TEST("the tail is what the star stood for") {
  const Fixture f{{"a", {"/a/*"}}, {"t", {"/t/:id/*"}}, {"deep", {"/deep/x/y/*"}}};
  CHECK_EQ(captured(f, "/a"), "tail=");
  CHECK_EQ(captured(f, "/a/"), "tail=");
  CHECK_EQ(captured(f, "/a/b"), "tail=b");
  CHECK_EQ(captured(f, "/a/b/c/"), "tail=b/c/");
  CHECK_EQ(captured(f, "/t/7"), "id=7 tail=");
  CHECK_EQ(captured(f, "/t/7/"), "id=7 tail=");
  CHECK_EQ(captured(f, "/t/7/x/y"), "id=7 tail=x/y");
  CHECK_EQ(captured(f, "/deep/x/y/z"), "tail=z");
  CHECK_EQ(captured(Fixture{{"all", {"/*"}}}, "/x/y"), "tail=x/y");
}

TEST("a template binds one whole, non-empty segment to each parameter") {
  const Fixture f{
      {"item", {"/items/:id"}}, {"sub", {"/items/:id/parts/:part"}}, {"verb", {"/v1/:x:batch"}}};
  CHECK(f.router == nullptr);  // `x:batch` is no name
  const Fixture g{
      {"item", {"/items/:id"}}, {"sub", {"/items/:id/parts/:part"}}, {"slash", {"/s/:id/"}}};
  CHECK_EQ(captured(g, "/items/42"), "id=42 tail=");
  CHECK_EQ(captured(g, "/items/a%20b"), "id=a%20b tail=");
  CHECK_EQ(captured(g, "/items/42/parts/7"), "id=42 part=7 tail=");
  CHECK_EQ(found(g, "h", "/items/"), "404");
  CHECK_EQ(found(g, "h", "/items/42/"), "404");
  CHECK_EQ(found(g, "h", "/items"), "404");
  CHECK_EQ(found(g, "h", "/s/1/"), "slash");
  CHECK_EQ(found(g, "h", "/s/1"), "404");
  CHECK_EQ(found(Fixture{{"colon", {"/a/x:y"}}}, "h", "/a/x:y"), "colon");
}

TEST("a regular expression is searched in the path, and its named groups are parameters") {
  const Fixture f{{"n", {"^/n/(?<number>[0-9]+)$"}}, {"ext", {"^.*\\.(?<ext>png|jpg)$"}}};
  CHECK_EQ(captured(f, "/n/42"), "number=42 tail=");
  CHECK_EQ(captured(f, "/img/a.png"), "ext=png tail=");
  CHECK_EQ(found(f, "h", "/n/42x"), "404");
}

TEST("the host is exact, a suffix of whole labels, or any") {
  const Fixture f{RouteBuilder("exact", {"/*"}).host("api.example.com"),
                  RouteBuilder("suffix", {"/*"}).host("*.example.com"),
                  RouteBuilder("deep", {"/*"}).host("*.eu.example.com"),
                  RouteBuilder("any", {"/*"})};
  CHECK_EQ(found(f, "api.example.com", "/"), "exact");
  CHECK_EQ(found(f, "www.example.com", "/"), "suffix");
  CHECK_EQ(found(f, "a.b.example.com", "/"), "suffix");
  CHECK_EQ(found(f, "a.eu.example.com", "/"), "deep");
  CHECK_EQ(found(f, "eu.example.com", "/"), "suffix");
  CHECK_EQ(found(f, "example.com", "/"), "any");
  CHECK_EQ(found(f, ".example.com", "/"), "any");
  CHECK_EQ(found(f, "notexample.com", "/"), "any");
  CHECK_EQ(found(f, "", "/"), "any");
  CHECK_EQ(found(f, "[::1]", "/"), "any");
  CHECK_EQ(found(f, "api.example.com.evil.net", "/"), "any");
}

TEST("a route is for its listeners, or for all") {
  const Fixture f{RouteBuilder("second", {"/*"}).listener(1), RouteBuilder("all", {"/*"})};
  CHECK_EQ(found(f, Request("h", "/").listener(1)), "second");
  CHECK_EQ(found(f, Request("h", "/").listener(0)), "all");
}

TEST("another method gets 405 with the methods that would match, in a stable order") {
  const Fixture f{
      RouteBuilder("read", {"/a"}).methods({"HEAD", "GET"}),
      RouteBuilder("write", {"/a"}).methods({"PURGE", "POST"}),
      RouteBuilder("other", {"/b"}).methods({"PUT"}),
      RouteBuilder("keyed", {"/a"}).methods({"DELETE"}).header("x-key", ValueTest::Present)};
  CHECK_EQ(found(f, "h", "/a", "GET"), "read");
  CHECK_EQ(found(f, "h", "/a", "POST"), "write");
  CHECK_EQ(found(f, "h", "/a", "PUT"), "405 GET, HEAD, POST, PURGE");
  CHECK_EQ(found(f, "h", "/a", "BREW"), "405 GET, HEAD, POST, PURGE");
  CHECK_EQ(found(f, "h", "/a", "get"), "405 GET, HEAD, POST, PURGE");
  CHECK_EQ(found(f, "h", "/b", "GET"), "405 PUT");
  CHECK_EQ(found(f, "h", "/c", "GET"), "404");
  CHECK_EQ(found(f, Request("h", "/a", "PUT").header("X-Key", "1")),
           "405 GET, HEAD, POST, DELETE, PURGE");
}

TEST("header tests look at every field of the name, in any case") {
  const Fixture f{RouteBuilder("exact", {"/exact"}).header("x-v", ValueTest::Exact, "blue"),
                  RouteBuilder("prefix", {"/prefix"}).header("x-v", ValueTest::Prefix, "bl"),
                  RouteBuilder("regex", {"/regex"}).header("x-v", ValueTest::Regex, "^[0-9]+$"),
                  RouteBuilder("present", {"/present"}).header("x-v", ValueTest::Present),
                  RouteBuilder("absent", {"/absent"}).header("x-v", ValueTest::Absent)};
  CHECK_EQ(found(f, Request("h", "/exact").header("X-V", "blue")), "exact");
  CHECK_EQ(found(f, Request("h", "/exact").header("x-v", "red").header("x-v", "blue")), "exact");
  CHECK_EQ(found(f, Request("h", "/exact").header("x-v", "blue, red")), "404");
  CHECK_EQ(found(f, Request("h", "/exact").header("x-v", "Blue")), "404");
  CHECK_EQ(found(f, "h", "/exact"), "404");
  CHECK_EQ(found(f, Request("h", "/prefix").header("x-v", "black")), "prefix");
  CHECK_EQ(found(f, Request("h", "/prefix").header("x-v", "b")), "404");
  CHECK_EQ(found(f, Request("h", "/regex").header("x-v", "17")), "regex");
  CHECK_EQ(found(f, Request("h", "/regex").header("x-v", "17a")), "404");
  CHECK_EQ(found(f, Request("h", "/present").header("x-v", "")), "present");
  CHECK_EQ(found(f, Request("h", "/present").header("x-va", "1")), "404");
  CHECK_EQ(found(f, "h", "/absent"), "absent");
  CHECK_EQ(found(f, Request("h", "/absent").header("x-V", "1")), "404");
}

TEST("query tests decode names and values, and look at every parameter of the name") {
  const Fixture f{RouteBuilder("exact", {"/exact"}).query("v", ValueTest::Exact, "a b"),
                  RouteBuilder("named", {"/named"}).query("ä&b", ValueTest::Exact, "1"),
                  RouteBuilder("prefix", {"/prefix"}).query("v", ValueTest::Prefix, "50%"),
                  RouteBuilder("regex", {"/regex"}).query("v", ValueTest::Regex, "^a=b c$"),
                  RouteBuilder("present", {"/present"}).query("v", ValueTest::Present),
                  RouteBuilder("absent", {"/absent"}).query("v", ValueTest::Absent)};
  CHECK_EQ(found(f, "h", "/exact?v=a+b"), "exact");
  CHECK_EQ(found(f, "h", "/exact?v=a%20b"), "exact");
  CHECK_EQ(found(f, "h", "/exact?x=1&&v=c&%76=%61+b"), "exact");
  CHECK_EQ(found(f, "h", "/exact?v=a+b+"), "404");
  CHECK_EQ(found(f, "h", "/exact?v=a"), "404");
  CHECK_EQ(found(f, "h", "/exact?V=a+b"), "404");
  CHECK_EQ(found(f, "h", "/named?%c3%A4%26b=1"), "named");
  CHECK_EQ(found(f, "h", "/prefix?v=50%25+off"), "prefix");
  CHECK_EQ(found(f, "h", "/prefix?v=50%"), "prefix");  // no escape: stands for itself
  CHECK_EQ(found(f, "h", "/prefix?v=50%zz"), "prefix");
  CHECK_EQ(found(f, "h", "/regex?v=a%3Db+c"), "regex");
  CHECK_EQ(found(f, "h", "/regex?v=a=b%20c"), "regex");
  CHECK_EQ(found(f, "h", "/present?v"), "present");
  CHECK_EQ(found(f, "h", "/present?v="), "present");
  CHECK_EQ(found(f, "h", "/present?w=v"), "404");
  CHECK_EQ(found(f, "h", "/absent"), "absent");
  CHECK_EQ(found(f, "h", "/absent?w=1"), "absent");
  CHECK_EQ(found(f, "h", "/absent?w=1&v=2"), "404");
}

TEST("client networks are tested by the longest or the shortest prefix alike") {
  const Fixture f{RouteBuilder("inside", {"/*"})
                      .client("10.0.0.0/8")
                      .client("10.1.0.0/16")
                      .client("192.168.7.0/24")
                      .client("2001:db8::/32"),
                  RouteBuilder("rest", {"/*"})};
  CHECK_EQ(found(f, Request("h", "/").client("10.200.0.1")), "inside");
  CHECK_EQ(found(f, Request("h", "/").client("10.1.0.1")), "inside");
  CHECK_EQ(found(f, Request("h", "/").client("192.168.7.255")), "inside");
  CHECK_EQ(found(f, Request("h", "/").client("192.168.8.0")), "rest");
  CHECK_EQ(found(f, Request("h", "/").client("2001:db8:1::1")), "inside");
  CHECK_EQ(found(f, Request("h", "/").client("9.255.255.255")), "rest");
}

TEST("OPTIONS * is an exact path") {
  const Fixture f{{"star", {"*"}}, {"all", {"/*"}}};
  CHECK_EQ(found(f, "h", "*", "OPTIONS"), "star");
}

// ---- Precedence.

TEST("a higher priority goes before any specificity") {
  const Fixture f{RouteBuilder("exact", {"/a"}).host("h"), RouteBuilder("loud", {"/*"}).priority(1),
                  RouteBuilder("quiet", {"/a"}).host("h").priority(-1)};
  CHECK_EQ(found(f, "h", "/a"), "loud");
}

TEST("the host goes before the path") {
  const Fixture f{RouteBuilder("path", {"/a/b"}), RouteBuilder("host", {"/*"}).host("h")};
  CHECK_EQ(found(f, "h", "/a/b"), "host");
  CHECK_EQ(found(f, "other", "/a/b"), "path");
}

TEST("an exact path goes before a template, a regular expression, a prefix, and no path") {
  const Fixture f{{"none", {}},
                  {"prefix", {"/a/*"}},
                  {"regex", {"^/a/b|^/a/c|^/a/d"}},
                  {"template", {"/a/:x"}},
                  {"exact", {"/a/b"}}};
  CHECK_EQ(found(f, "h", "/a/b"), "exact");
  CHECK_EQ(found(f, "h", "/a/c"), "template");
  CHECK_EQ(found(f, "h", "/a/d/e"), "regex");
  CHECK_EQ(found(f, "h", "/a/x/y"), "prefix");
  CHECK_EQ(found(f, "h", "/b"), "none");
}

TEST(
    "of templates, a literal goes before a parameter, a parameter before the tail, from the left") {
  const Fixture f{{"xx", {"/:a/:b"}},
                  {"lx", {"/l/:b"}},
                  {"xl", {"/:a/l"}},
                  {"tail", {"/:a/*"}},
                  {"ltail", {"/l/:b/*"}}};
  CHECK_EQ(found(f, "h", "/l/l"), "lx");
  CHECK_EQ(found(f, "h", "/x/l"), "xl");
  CHECK_EQ(found(f, "h", "/x/y"), "xx");
  CHECK_EQ(found(f, "h", "/l/y/z"), "ltail");
  CHECK_EQ(found(f, "h", "/x/y/z"), "tail");
  CHECK_EQ(found(f, "h", "/x"), "tail");
}

TEST("a template search goes back where a literal branch leads nowhere") {
  const Fixture f{{"one", {"/a/:x/c/d"}}, {"two", {"/:y/b/:z/e"}}};
  CHECK_EQ(captured(f, "/a/b/c/e"), "y=a z=c tail=");
  CHECK_EQ(captured(f, "/a/b/c/d"), "x=b tail=");
}

TEST("of prefixes, more segments go first") {
  const Fixture f{{"all", {"/*"}}, {"a", {"/a/*"}}, {"ab", {"/a/b/*"}}};
  CHECK_EQ(found(f, "h", "/a/b/c"), "ab");
  CHECK_EQ(found(f, "h", "/a/b"), "ab");
  CHECK_EQ(found(f, "h", "/a/x"), "a");
  CHECK_EQ(found(f, "h", "/x"), "all");
}

TEST("at the same path, methods, then headers, then query, then clients decide, then the order") {
  const Fixture f{RouteBuilder("plain", {"/a"}),
                  RouteBuilder("later", {"/a"}),
                  RouteBuilder("wide", {"/a"}).client("192.0.0.0/8"),
                  RouteBuilder("narrow", {"/a"}).client("192.0.2.0/24"),
                  RouteBuilder("query", {"/a"}).query("q", ValueTest::Present),
                  RouteBuilder("header", {"/a"}).header("x-a", ValueTest::Present),
                  RouteBuilder("headers", {"/a"})
                      .header("x-a", ValueTest::Present)
                      .header("x-b", ValueTest::Present),
                  RouteBuilder("method", {"/a"}).methods({"POST"})};
  CHECK_EQ(found(f, Request("h", "/a").client("203.0.113.1")), "plain");
  CHECK_EQ(found(f, Request("h", "/a").client("192.1.1.1")), "wide");
  CHECK_EQ(found(f, "h", "/a"), "narrow");
  CHECK_EQ(found(f, "h", "/a?q"), "query");
  CHECK_EQ(found(f, Request("h", "/a?q").header("x-a", "1")), "header");
  CHECK_EQ(found(f, Request("h", "/a?q").header("x-a", "1").header("x-b", "1")), "headers");
  CHECK_EQ(found(f, Request("h", "/a?q", "POST").header("x-a", "1").header("x-b", "1")), "method");
}

TEST("a route with several hosts and paths stands in the order once for each pair") {
  const Fixture f{RouteBuilder("both", {"/a/*", "/x"}).host("h").host("*"),
                  RouteBuilder("other", {"/x"}).host("*"),
                  RouteBuilder("deep", {"/a/b/*"}).host("*")};
  CHECK_EQ(found(f, "h", "/a/b/c"), "both");
  CHECK_EQ(found(f, "i", "/a/b/c"), "deep");
  CHECK_EQ(found(f, "i", "/x"), "both");
}

// ---- What is refused.

std::string refusal(const RouteBuilder& route) {
  return Fixture{RouteBuilder("ok", {"/ok"}), route}.error;
}

TEST("malformed routes are refused with the route and the reason") {
  const auto bad = [](PathKind kind, std::string_view text) {
    RouteBuilder route("bad", {});
    route.match.paths.push_back({kind, std::string(text)});
    return refusal(route);
  };
  struct Case {
    std::string error;
    std::string_view part;
  };
  const Case cases[] = {
      {bad(PathKind::Exact, ""), "1: path ``: it is empty"},
      {bad(PathKind::Exact, "a"), "does not begin with `/`"},
      {bad(PathKind::Exact, "/a%2"), "two hexadecimal digits"},
      {bad(PathKind::Exact, "/a%00"), "%00"},
      {bad(PathKind::Exact, "/a?b"), "no path may hold"},
      {bad(PathKind::Exact, "/a/../b"), "segments"},
      {bad(PathKind::Exact, "/a/."), "segments"},
      {bad(PathKind::Exact, "/a/%2e%2e"), "segments"},
      {bad(PathKind::Exact, "/a/*"), "holds no `*`"},
      {bad(PathKind::Exact, "/a*"), "segment of its own"},
      {bad(PathKind::Prefix, "/a"), "ends with `/*`"},
      {bad(PathKind::Prefix, "/*/a/*"), "rest of the path"},
      {bad(PathKind::Template, "/:"), "parameter name"},
      {bad(PathKind::Template, "/:1"), "parameter name"},
      {bad(PathKind::Template, "/:a-b"), "parameter name"},
      {bad(PathKind::Template, "/:a/:a"), "two parameters"},
      {bad(PathKind::Template, "/:a/*/b"), "rest of the path"},
      {bad(PathKind::Template, "/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p/:q"),
       "more than 16 parameters"},
      {bad(PathKind::Regex, "(?=a)"), "1: path pattern `(?=a)`: look-around"},
      {bad(PathKind::Regex, ""), "it is empty"},
      {refusal(RouteBuilder("bad", {"/"}).host("")), "host ``: it is empty"},
      {refusal(RouteBuilder("bad", {"/"}).host("*.")), "it is empty"},
      {refusal(RouteBuilder("bad", {"/"}).host("a.*.b")), "only at the start"},
      {refusal(RouteBuilder("bad", {"/"}).host("*a.b")), "only at the start"},
      {refusal(RouteBuilder("bad", {"/"}).host("A.b")), "lower case"},
      {refusal(RouteBuilder("bad", {"/"}).host("a.b.")), "dot"},
      {refusal(RouteBuilder("bad", {"/"}).host("a/b")), "no host name"},
      {refusal(RouteBuilder("bad", {"/"}).methods({"G T"})), "method `G T`"},
      {refusal(RouteBuilder("bad", {"/"}).methods({""})), "method ``"},
      {refusal(RouteBuilder("bad", {"/"}).header("x", ValueTest::Regex, "(a)\\1")),
       "header `x`: pattern `(a)\\1`: back-"},
      {refusal(RouteBuilder("bad", {"/"}).query("x", ValueTest::Regex, "[")),
       "query parameter `x`: pattern `[`"},
      {refusal(RouteBuilder("bad", {"/"}).query("", ValueTest::Present)), "the name is empty"},
  };
  for (const Case& c : cases) {
    if (c.error.find(c.part) == std::string::npos || !c.error.starts_with("1: "))
      CHECK_EQ(c.error, c.part);
  }
  std::string deep;
  for (int i = 0; i < 70; ++i) deep += "/a";
  CHECK(bad(PathKind::Prefix, deep + "/*").find("more than 64 segments") != std::string::npos);
}

TEST("more methods than a request's Allow can name are refused") {
  RouteBuilder route("many", {"/"});
  for (int i = 0; i < 63; ++i) route.match.methods.push_back("M" + std::to_string(i));
  const Fixture f{route};
  REQUIRE(f.router != nullptr);
  CHECK_EQ(found(f, "h", "/", "M62"), "many");
  CHECK(found(f, "h", "/", "GET").starts_with("405 M0, M1, M10"));
  route.match.methods.emplace_back("M63");
  CHECK(Fixture{route}.error.find("more than 63") != std::string::npos);
}

TEST("paths are written as people write them and matched as requests carry them") {
  const Fixture f{{"utf8", {"/caf\xc3\xa9"}}, {"space", {"/a b/*"}}, {"escape", {"/%7euser/%3a"}}};
  CHECK_EQ(found(f, "h", "/caf%C3%A9"), "utf8");
  CHECK_EQ(found(f, "h", "/a%20b/c"), "space");
  CHECK_EQ(found(f, "h", "/~user/%3A"), "escape");
}

// All 2^depth templates of a depth, each segment a literal or a parameter, and the literal in every
// one's way.
std::vector<RouteMatch> overlappingTemplates(unsigned depth) {
  std::vector<RouteMatch> routes;
  for (unsigned mask = 0; mask < 1U << depth; ++mask) {
    std::string text;
    for (unsigned i = 0; i < depth; ++i) {
      text += (mask >> i & 1) != 0 ? "/:p" + std::to_string(i) : std::string("/a");
    }
    RouteBuilder route(text, {});
    route.match.paths.push_back({PathKind::Template, text + "/end"});
    routes.push_back(route.match);
  }
  return routes;
}

TEST("templates that overlap too much are refused, fewer are searched within the bound") {
  const Fixture searched(overlappingTemplates(8));
  REQUIRE(searched.router != nullptr);
  CHECK_EQ(found(searched, "h", "/a/a/a/a/a/a/a/a/end"), "/a/a/a/a/a/a/a/a");
  CHECK_EQ(found(searched, "h", "/a/a/a/a/a/a/a/b/end"), "/a/a/a/a/a/a/a/:p7");
  CHECK_EQ(found(searched, "h", "/a/a/a/a/a/a/a/a/no"), "404");

  const Fixture refused(overlappingTemplates(10));
  CHECK(refused.error.find("overlap so much") != std::string::npos);
}

TEST("a long path with many segments costs one walk") {
  const Fixture f{{"p", {"/a/*"}}, {"t", {"/:x/:y/z"}}};
  std::string text = "/a";
  for (int i = 0; i < 10000; ++i) text += "/a";
  CHECK_EQ(found(f, "h", text), "p");
  CHECK_EQ(found(f, "h", "/b" + text), "404");
  std::string host = "x";
  for (int i = 0; i < 10000; ++i) host += ".x";
  const Fixture g{RouteBuilder("suffix", {"/*"}).host("*.x.x")};
  CHECK_EQ(found(g, host, "/"), "suffix");
}

// ---- Nothing is allocated.

TEST("matching allocates nothing") {
  const Fixture f{RouteBuilder("exact", {"/exact"}).host("api.example.com"),
                  RouteBuilder("template", {"/t/:a/:b"}).host("*.example.com"),
                  RouteBuilder("regex", {"^/r/(?<n>\\d+)$"}),
                  RouteBuilder("simulated", {"^/s/a.{14}b$"}),
                  RouteBuilder("tests", {"/tests"})
                      .methods({"GET"})
                      .header("x-a", ValueTest::Regex, "^b+$")
                      .query("q", ValueTest::Regex, "^c d$")
                      .client("192.0.2.0/24"),
                  RouteBuilder("prefix", {"/p/*"})};
  std::deque<Request> requests;  // they do not move
  requests.emplace_back("api.example.com", "/exact");
  requests.emplace_back("x.example.com", "/t/1/2");
  requests.emplace_back("h", "/r/42");
  requests.emplace_back("h", "/s/a12345678901234b");
  requests.emplace_back("h", "/tests?q=c+d");
  requests.back().header("x-a", "bbb");
  requests.emplace_back("h", "/tests", "POST");
  requests.emplace_back("h", "/p/x/y");
  requests.emplace_back("h", "/none");
  RouteResult result;
  for (int round = 0; round < 3; ++round) {
    std::size_t matched = 0;
    const std::uint64_t before = threadAllocations();
    for (Request& request : requests) {
      f.router->match(request.get(), result);
      matched += result.route != kNoRoute ? 1 : 0;
    }
    // The first round sizes the thread's scratch memory.
    if (round > 0) CHECK_EQ(threadAllocations() - before, 0);
    CHECK_EQ(matched, 6);
  }
}

// ---- explain().

std::string explained(const Fixture& fixture, Request& request) {
  std::string text;
  for (const Router::Candidate& candidate : fixture.router->explain(request.get())) {
    text += fixture.routes[candidate.route].name + " [" + candidate.predicate + "] " +
            candidate.reason + "\n";
  }
  return text;
}

TEST("explain says for each route, in the order of precedence, what it lost by") {
  const Fixture f{RouteBuilder("any", {"/*"}),
                  RouteBuilder("host", {"/a"}).host("b.example.com").host("c.example.com"),
                  RouteBuilder("path", {"/b", "/c/*"}).host("a.example.com"),
                  RouteBuilder("winner", {"/a"}).host("a.example.com").methods({"GET", "PUT"}),
                  RouteBuilder("plain", {"/a"}).host("a.example.com"),
                  RouteBuilder("method", {"/a"}).host("a.example.com").methods({"POST", "PUT"}),
                  RouteBuilder("header", {"/a"}).header("x-t", ValueTest::Exact, "blue"),
                  RouteBuilder("query", {"/a"}).query("v", ValueTest::Present),
                  RouteBuilder("client", {"/a"}).client("10.0.0.0/8"),
                  RouteBuilder("listener", {"/a"}).listener(3),
                  RouteBuilder("suffix", {"/a"}).host("*.example.com"),
                  RouteBuilder("low", {"/a"}).host("a.example.com").priority(-1)};
  CHECK_EQ(
      explained(f, Request("a.example.com", "/a?w=1").header("x-t", "red").header("X-T", "green")),
      "winner [] selected\n"
      "method [method] expected `POST` or `PUT` but received `GET`\n"
      "host [host] expected `b.example.com` or `c.example.com` but received `a.example.com`\n"
      "path [path] expected `/b` or `/c/*` but received `/a`\n"
      "plain [precedence] it names no methods\n"
      "suffix [precedence] its host `*.example.com` is less specific than `a.example.com`\n"
      "header [header] header `x-t`: expected `blue` but received `red`, `green`\n"
      "query [query] query parameter `v`: expected any value but received nothing\n"
      "client [client] expected an address in `10.0.0.0/8` but received `192.0.2.1`\n"
      "listener [listener] it is for other listeners\n"
      "any [precedence] its host `*` is less specific than `a.example.com`\n"
      "low [precedence] its priority -1 is lower than 0\n");
}

// ---- The tables against a plain scan.

using Random = std::mt19937;

template <std::size_t N>
std::string_view pick(Random& random, const std::string_view (&list)[N]) {
  return list[random() % N];
}

constexpr std::string_view kHosts[] = {"a.x", "b.x", "a.b.x", "*.x", "*.b.x", "*", "*.a.b.x"};
constexpr std::string_view kPaths[] = {
    "/",        "/a",       "/a/",         "/a/b",     "/b/a",       "/*",       "/a/*",
    "/a/b/*",   "/b/*",     "/:p",         "/:p/b",    "/a/:p",      "/:p/:q",   "/:p/*",
    "/a/:p/*",  "/:p/b/*",  "/:p/:q/c",    "/a/:p/c",  "/:p/b/c",    "^/a",      "b$",
    "^/a/.*c$", "^/[ab]/b", "/a/b/:p/c/*", "/:p/:q/*", "/:p/b/:q/c", "/a/b/:p/c"};
constexpr std::string_view kRequestHosts[] = {"a.x",     "b.x", "c.x", "a.b.x", "c.b.x",
                                              "z.a.b.x", "x",   "",    "y"};
constexpr std::string_view kRequestPaths[] = {
    "/",      "/a",     "/b",       "/a/",      "/a/b",       "/b/a", "/b/b",
    "/a/b/c", "/b/b/c", "/a/c/c",   "/c/c",     "/a//b",      "//",   "*",
    "/a/b/",  "/c/b/",  "/a/b/a/c", "/b/b/b/c", "/a/b/b/c/d", "/ab",  "/c/b/c/b"};
constexpr std::string_view kMethods[] = {"GET", "POST", "PURGE"};

RouteMatch randomRoute(Random& random, int index) {
  RouteBuilder route("r" + std::to_string(index), {});
  if (random() % 6 == 0) route.priority(static_cast<int>(random() % 3) - 1);
  for (std::size_t n = random() % 3; n > 0; --n) route.host(pick(random, kHosts));
  for (std::size_t n = random() % 3; n > 0; --n) {
    PathMatch match = path(pick(random, kPaths));
    if (match.text == "b$") match.kind = PathKind::Regex;
    route.match.paths.push_back(std::move(match));
  }
  if (random() % 3 == 0) route.methods({pick(random, kMethods)});
  if (random() % 4 == 0) route.header("x-a", static_cast<ValueTest>(random() % 5), "1");
  if (random() % 6 == 0) route.header("x-b", ValueTest::Present);
  if (random() % 4 == 0) route.query("q", static_cast<ValueTest>(random() % 5), "1");
  if (random() % 5 == 0) route.client(random() % 2 == 0 ? "10.0.0.0/8" : "10.1.0.0/16");
  if (random() % 8 == 0) route.listener(static_cast<std::uint16_t>(random() % 2));
  return route.match;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> segments;
  std::size_t at = 1;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find('/', at), text.size());
    segments.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

// The definitions once more, written to be read and not to be fast.
namespace model {

bool matchesHost(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return true;
  if (!pattern.starts_with("*.")) return host == pattern;
  return host.size() + 1 > pattern.size() &&
         host.substr(host.size() - pattern.size() + 1) == pattern.substr(1);
}

bool matchesPath(const PathMatch& match, const std::string& path) {
  if (match.kind == PathKind::Any) return true;
  if (match.kind == PathKind::Exact) return match.text == path;
  if (match.kind == PathKind::Regex) {
    static std::map<std::string, Regex> compiled;
    auto found = compiled.find(match.text);
    if (found == compiled.end()) {
      found = compiled.emplace(match.text, std::move(*Regex::compile(match.text))).first;
    }
    return found->second.search(path);
  }
  if (path[0] != '/') return false;
  const std::vector<std::string> expected = split(match.text);
  const std::vector<std::string> actual = split(path);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == "*") return true;
    if (i >= actual.size()) return false;
    if (expected[i].starts_with(":") ? actual[i].empty() : expected[i] != actual[i]) return false;
  }
  return expected.size() == actual.size();
}

bool matchesValue(const ValueMatch& match, const std::vector<std::string>& values) {
  if (match.test == ValueTest::Absent) return values.empty();
  return std::ranges::any_of(values, [&](const std::string& value) {
    if (match.test == ValueTest::Present) return true;
    if (match.test == ValueTest::Exact) return value == match.value;
    return value.starts_with(match.value) ||
           (match.test == ValueTest::Regex && value.find(match.value) != std::string::npos);
  });
}

// Greater goes first; compared from the left.
std::vector<long> specificity(const RouteMatch& route, std::string_view host,
                              const PathMatch& match) {
  std::vector<long> score{route.priority};
  score.push_back(host == "*" ? 0 : host.starts_with("*.") ? static_cast<long>(host.size()) : 1000);
  const std::vector<std::string> segments = split(match.text);
  switch (match.kind) {
    case PathKind::Exact:
      score.push_back(5);
      break;
    case PathKind::Template:
      score.push_back(4);
      break;
    case PathKind::Regex:
      score.push_back(3);
      break;
    case PathKind::Prefix:
      score.push_back(2);
      break;
    case PathKind::Any:
      score.push_back(1);
      break;
  }
  for (std::size_t i = 0; i < 8; ++i) {
    long segment = 0;
    if (match.kind == PathKind::Template) {
      segment = i >= segments.size()           ? 1
                : segments[i] == "*"           ? 0
                : segments[i].starts_with(":") ? 2
                                               : 3;
    }
    score.push_back(segment);
  }
  score.push_back(match.kind == PathKind::Prefix ? static_cast<long>(segments.size()) : 0);
  score.push_back(route.methods.empty() ? 0 : 1);
  score.push_back(static_cast<long>(route.headers.size()));
  score.push_back(static_cast<long>(route.query.size()));
  score.push_back(route.clients.empty() ? 0 : route.clients[0].length);
  return score;
}

struct World {
  std::string host;
  std::string path;
  std::string method;
  std::vector<std::string> xa;
  bool xb = false;
  std::vector<std::string> q;
  IpAddress client;
  std::uint16_t listener = 0;
};

bool matchesRest(const RouteMatch& route, const World& world, bool anyMethod) {
  if (!route.listeners.empty() && route.listeners[0] != world.listener) return false;
  if (!anyMethod && !route.methods.empty() && route.methods[0] != world.method) return false;
  for (const ValueMatch& header : route.headers) {
    const std::vector<std::string> xb(world.xb ? 1 : 0);
    if (!matchesValue(header, header.name == "x-a" ? world.xa : xb)) return false;
  }
  for (const ValueMatch& query : route.query) {
    if (!matchesValue(query, world.q)) return false;
  }
  return route.clients.empty() || route.clients[0].contains(world.client);
}

struct Answer {
  std::uint32_t route = kNoRoute;
  std::vector<std::string> allowed;
};

Answer scan(const std::vector<RouteMatch>& routes, const World& world) {
  Answer answer;
  std::vector<long> best;
  for (std::uint32_t r = 0; r < routes.size(); ++r) {
    const RouteMatch& route = routes[r];
    const std::vector<std::string> hosts =
        route.hosts.empty() ? std::vector<std::string>{"*"} : route.hosts;
    const std::vector<PathMatch> paths =
        route.paths.empty() ? std::vector<PathMatch>(1) : route.paths;
    for (const std::string& host : hosts) {
      for (const PathMatch& match : paths) {
        if (!matchesHost(host, world.host) || !matchesPath(match, world.path)) continue;
        if (matchesRest(route, world, true))
          answer.allowed.insert(answer.allowed.end(), route.methods.begin(), route.methods.end());
        if (!matchesRest(route, world, false)) continue;
        const std::vector<long> score = specificity(route, host, match);
        if (answer.route != kNoRoute && score <= best) continue;
        answer.route = r;
        best = score;
      }
    }
  }
  if (answer.route != kNoRoute) answer.allowed.clear();
  std::ranges::sort(answer.allowed);
  answer.allowed.erase(std::unique(answer.allowed.begin(), answer.allowed.end()),
                       answer.allowed.end());
  return answer;
}

}  // namespace model

TEST(
    "the tables, a plain scan of all routes and explain find the same route, for random routes and "
    "requests") {
  Random random(1);
  std::size_t matched = 0;
  std::size_t mismatches = 0;
  for (int round = 0; round < 1500; ++round) {
    std::vector<RouteMatch> routes;
    for (std::size_t n = 1 + random() % 12; n > 0; --n)
      routes.push_back(randomRoute(random, static_cast<int>(n)));
    const Fixture fixture(std::move(routes));
    REQUIRE_EQ(fixture.error, "");
    for (int i = 0; i < 25; ++i) {
      model::World world;
      world.host = pick(random, kRequestHosts);
      world.path = pick(random, kRequestPaths);
      world.method = pick(random, kMethods);
      world.listener = static_cast<std::uint16_t>(random() % 2);
      world.client = *IpAddress::parse(random() % 2 == 0   ? "10.1.0.1"
                                       : random() % 2 == 0 ? "10.2.0.1"
                                                           : "192.0.2.1");
      Request request(world.host, "/", world.method);
      if (random() % 2 == 0) {
        world.xa.emplace_back(random() % 2 == 0 ? "1" : "21");
        request.header("X-a", world.xa.back());
      }
      world.xb = random() % 2 == 0;
      if (world.xb) request.header("x-B", "");
      if (random() % 2 == 0) {
        world.q.emplace_back(random() % 2 == 0 ? "1" : "12");
        request.route.query = world.q.back() == "1" ? "z=1&q=%31" : "q=12";
      }
      request.route.path = world.path;
      request.route.client = world.client;
      request.route.listener = world.listener;

      const model::Answer expected = model::scan(fixture.routes, world);
      RouteResult result;
      fixture.router->match(request.get(), result);
      REQUIRE_EQ(result.route, expected.route);
      REQUIRE_EQ(result.methodMismatch, !expected.allowed.empty());
      if (result.methodMismatch) {
        ++mismatches;
        char out[Router::kMaxAllowBytes];
        std::string list;
        for (const std::string& method : expected.allowed)
          list += (list.empty() ? "" : ", ") + method;
        REQUIRE_EQ(fixture.router->writeAllow(result, out),
                   list);  // GET, POST, PURGE are sorted already
      }
      matched += result.route != kNoRoute ? 1 : 0;

      const std::vector<Router::Candidate> candidates = fixture.router->explain(request.get());
      REQUIRE_EQ(candidates.size(), fixture.routes.size());
      std::uint32_t selected = kNoRoute;
      for (const Router::Candidate& candidate : candidates) {
        if (candidate.reason == "selected") selected = candidate.route;
        REQUIRE_EQ(candidate.matched,
                   candidate.predicate.empty() || candidate.predicate == "precedence");
        REQUIRE(!candidate.reason.empty());
      }
      REQUIRE_EQ(selected, expected.route);
    }
  }
  CHECK(matched > 10000);
  CHECK(mismatches > 500);
}

}  // namespace
}  // namespace tidegate
