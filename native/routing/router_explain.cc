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

// How far the triples of a route came.
struct Standing {
  bool hostMatched = false;
  std::uint32_t rank = kNone;       // of the first whose host and path match
  std::uint32_t firstRank = kNone;  // of the first
};

std::vector<Standing> standingsOf(const RouterTables& tables, const RouteRequest& request) {
  std::vector<Standing> standings(tables.routes.size());
  for (std::uint32_t rank = 0; rank < tables.places.size(); ++rank) {
    const RoutePlace& place = tables.places[rank];
    Standing& standing = standings[place.routeIndex];
    standing.firstRank = std::min(standing.firstRank, rank);
    if (!hostMatches(place.host, request.host)) continue;
    standing.hostMatched = true;
    const std::uint32_t regex =
        tables.patternRegex[static_cast<std::size_t>(place.path - tables.patterns.data())];
    const bool pathMatched = regex == kNone ? pathMatches(*place.path, request.path)
                                            : tables.regexes[regex]->search(request.path);
    if (pathMatched) standing.rank = std::min(standing.rank, rank);
  }
  return standings;
}

// The first predicate that failed, and what it expected and received; both empty when none did.
struct Failed {
  std::string predicate;
  std::string reason;
};

Failed failureOf(const RouteMatch& route, const RequestTests& tests, const Standing& standing,
                 const RouteRequest& request) {
  const RouteTest failed = tests.firstFailure(request);
  if (failed == RouteTest::Listener) return {"listener", "it is for other listeners"};
  if (!standing.hostMatched) {
    const auto text = [](const std::string& host) { return host; };
    return {"host", expected(alternatives(route.hosts, text), shown(request.host))};
  }
  if (standing.rank == kNone) {
    const auto text = [](const PathMatch& path) { return path.text; };
    return {"path", expected(alternatives(route.paths, text), shown(request.path))};
  }
  if (!route.methods.empty() &&
      std::ranges::find(route.methods, request.method) == route.methods.end()) {
    const auto text = [](const std::string& method) { return method; };
    return {"method", expected(alternatives(route.methods, text), shown(request.method))};
  }
  if (failed == RouteTest::Header) {
    const auto match = std::ranges::find_if_not(
        tests.headers, [&](const auto& header) { return headerMatches(header, request.fields); });
    return {"header",
            "header `" + match->name + "`: " +
                expected(describeExpectation(*match), describeHeader(match->name, request.fields))};
  }
  if (failed == RouteTest::Query) {
    const auto match = std::ranges::find_if_not(
        tests.query, [&](const auto& parameter) { return queryMatches(parameter, request.query); });
    return {"query",
            "query parameter `" + match->name + "`: " +
                expected(describeExpectation(*match), describeQuery(match->name, request.query))};
  }
  if (failed == RouteTest::Client) {
    const auto text = [](const IpPrefix& prefix) { return prefix.toString(); };
    return {"client", expected("an address in " + alternatives(route.clients, text),
                               shown(request.client.toString()))};
  }
  return {};
}

}  // namespace

std::vector<Router::Candidate> Router::explain(const RouteRequest& request) const {
  const RouterTables& tables = *tables_;
  const std::vector<Standing> standings = standingsOf(tables, request);
  std::vector<std::pair<std::uint32_t, Candidate>> ranked;
  for (std::uint32_t i = 0; i < tables.routes.size(); ++i) {
    const Standing& standing = standings[i];
    Failed failed = failureOf(tables.routes[i], tables.tests[i], standing, request);
    const bool matched = failed.predicate.empty();
    ranked.emplace_back(
        standing.rank != kNone ? standing.rank : standing.firstRank,
        Candidate{i, matched, std::move(failed.reason), std::move(failed.predicate)});
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
