// Router::explain: every route judged by the plain definitions, without the tables that match()
// uses.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "routing/router.h"
#include "routing/router_tables.h"

namespace tidegate {
namespace {

bool hostMatches(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return true;
  if (!pattern.starts_with("*.")) return pattern == host;
  const std::string_view suffix = pattern.substr(1);  // with its dot
  return host.size() > suffix.size() && host.ends_with(suffix);
}

// "a, b or c", each quoted.
template <typename Range, typename Text>
std::string alternatives(const Range& range, Text text) {
  std::string list;
  for (std::size_t i = 0; i < range.size(); ++i) {
    if (i > 0) list += i + 1 == range.size() ? " or " : ", ";
    list += "`" + std::string(text(range[i])) + "`";
  }
  return list;
}

std::string shown(std::string_view text) {
  return text.empty() ? "nothing" : "`" + std::string(text) + "`";
}

std::string expected(std::string_view what, std::string_view received) {
  return "expected " + std::string(what) + " but received " + std::string(received);
}

// How far a route came.
struct Standing {
  bool hostMatched = false;
  bool pathMatched = false;         // of any path of the route, whatever the host
  std::uint32_t rank = kNone;       // of its first triple whose host and path match
  std::uint32_t firstRank = kNone;  // of its first triple
};

}  // namespace

std::vector<Router::Candidate> Router::explain(const RouteRequest& request) const {
  const RouterTables& tables = *tables_;
  std::vector<Standing> standings(tables.routes.size());
  for (std::uint32_t rank = 0; rank < tables.places.size(); ++rank) {
    const RoutePlace& place = tables.places[rank];
    Standing& standing = standings[place.routeIndex];
    standing.firstRank = std::min(standing.firstRank, rank);
    const bool host = hostMatches(place.host, request.host);
    const std::uint32_t regex =
        tables.patternRegex[static_cast<std::size_t>(place.path - tables.patterns.data())];
    const bool path = regex == kNone ? pathMatches(*place.path, request.path)
                                     : tables.regexes[regex]->search(request.path);
    standing.hostMatched |= host;
    standing.pathMatched |= path;
    if (host && path) standing.rank = std::min(standing.rank, rank);
  }

  const std::uint64_t methodBit = tables.methodBit(request.method);
  std::vector<std::pair<std::uint32_t, Candidate>> ranked;
  for (std::uint32_t i = 0; i < tables.routes.size(); ++i) {
    const RouteMatch& route = tables.routes[i];
    const RequestTests& tests = tables.tests[i];
    const Standing& standing = standings[i];
    const RouteTest failed = tests.firstFailure(request, methodBit);
    Candidate candidate;
    candidate.route = i;
    if (failed == RouteTest::Listener) {
      candidate.predicate = "listener";
      candidate.reason = "it is for other listeners";
    } else if (!standing.hostMatched) {
      candidate.predicate = "host";
      candidate.reason =
          expected(alternatives(route.hosts, [](const std::string& host) { return host; }),
                   shown(request.host));
    } else if (standing.rank == kNone) {
      candidate.predicate = "path";
      candidate.reason =
          expected(alternatives(route.paths, [](const PathMatch& path) { return path.text; }),
                   shown(request.path));
    } else if (failed == RouteTest::Method) {
      candidate.predicate = "method";
      candidate.reason =
          expected(alternatives(route.methods, [](const std::string& method) { return method; }),
                   shown(request.method));
    } else if (failed == RouteTest::Header) {
      const auto match = std::ranges::find_if(tests.headers, [&](const CompiledValueMatch& header) {
        return !headerMatches(header, request.fields);
      });
      candidate.predicate = "header";
      candidate.reason =
          "header `" + match->name + "`: " +
          expected(describeExpectation(*match), describeHeader(match->name, request.fields));
    } else if (failed == RouteTest::Query) {
      const auto match =
          std::ranges::find_if(tests.query, [&](const CompiledValueMatch& parameter) {
            return !queryMatches(parameter, request.query);
          });
      candidate.predicate = "query";
      candidate.reason =
          "query parameter `" + match->name +
          "`: " + expected(describeExpectation(*match), describeQuery(match->name, request.query));
    } else if (failed == RouteTest::Client) {
      candidate.predicate = "client";
      candidate.reason = expected(
          "an address in " +
              alternatives(route.clients, [](const IpPrefix& prefix) { return prefix.toString(); }),
          shown(request.client.toString()));
    } else {
      candidate.matched = true;
    }
    ranked.emplace_back(standing.rank != kNone ? standing.rank : standing.firstRank,
                        std::move(candidate));
  }
  std::ranges::sort(ranked, {}, [](const auto& entry) { return entry.first; });

  std::vector<Candidate> candidates;
  std::uint32_t winner = kNone;
  for (auto& [rank, candidate] : ranked) {
    if (candidate.matched && winner == kNone) {
      winner = rank;
      candidate.reason = "selected";
    } else if (candidate.matched) {
      candidate.predicate = "precedence";
      candidate.reason = describeLoss(tables.places[winner], tables.places[rank]);
    }
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

}  // namespace tidegate
