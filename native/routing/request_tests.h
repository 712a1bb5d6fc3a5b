// What is left to ask of a request once its host and path have led to a route: listener, method,
// headers, query, client.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/prefix_set.h"
#include "routing/regex.h"
#include "routing/route_match.h"
#include "routing/router.h"

namespace tidegate {

// In the order in which they are asked, cheapest first.
enum class RouteTest : std::uint8_t { None, Listener, Header, Query, Client };

// One header or query test. `regex` is set for ValueTest::Regex and owned by the router.
struct CompiledValueMatch {
  std::string name;
  ValueTest test = ValueTest::Present;
  std::string value;
  const Regex* regex = nullptr;
};

class RequestTests {
 public:
  std::vector<std::uint16_t> listeners;  // empty: every one
  std::vector<CompiledValueMatch> headers;
  std::vector<CompiledValueMatch> query;

  void setClients(const std::vector<IpPrefix>& clients);  // empty: every one

  // Nothing is asked.
  bool empty() const;

  // The first test that the request fails, or None.
  RouteTest firstFailure(const RouteRequest& request) const;

  bool listenerMatches(std::uint16_t listener) const;
  bool clientMatches(const IpAddress& client) const;

 private:
  bool anyClient_ = true;
  PrefixSet clients_;
};

bool headerMatches(const CompiledValueMatch& match, const HeadFields* fields);
bool queryMatches(const CompiledValueMatch& match, std::string_view query);

// For people: what came where `match` was expected, such as "`red`" or "nothing". Allocates.
std::string describeHeader(std::string_view name, const HeadFields* fields);
std::string describeQuery(std::string_view name, std::string_view query);
// What `match` expects, such as "`blue`" or "a value that begins with `a`".
std::string describeExpectation(const CompiledValueMatch& match);

}  // namespace tidegate
