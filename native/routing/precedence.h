// Which of two (route, host, path) triples goes first when a request fulfils both. docs/routing.md
// tells users the same.
//
//   1. priority: higher first
//   2. host: exact, then `*.suffix` (longer first), then any
//   3. path: exact, then template, then regular expression, then prefix, then any. Of two
//   templates, segment by segment
//      from the left: a literal, then a parameter, then the end, then the tail `*`. Of two
//      prefixes: more segments first
//   4. methods named before none; then more header tests; then more query tests; then clients named
//   before none, and of
//      two lists the one whose widest network is narrower
//   5. order in the configuration: of routes, then of the hosts and the paths of one route
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "routing/path_pattern.h"
#include "routing/route_match.h"

namespace tidegate {

// One triple, over data that the router owns.
struct RoutePlace {
  std::uint32_t routeIndex = 0;
  std::uint32_t hostIndex = 0;
  std::uint32_t pathIndex = 0;
  const RouteMatch* route = nullptr;
  std::string_view host;  // `*` where any host will do
  const PathPattern* path = nullptr;
};

// A strict total order.
bool goesBefore(const RoutePlace& a, const RoutePlace& b);

// Why `loser` goes after `winner`, for people: "its host `*.example.com` is less specific than
// `a.example.com`".
std::string describeLoss(const RoutePlace& winner, const RoutePlace& loser);

}  // namespace tidegate
