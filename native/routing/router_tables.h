// What a Router holds: the routes as configured, their compiled tests, and the tables that lead to
// them. Immutable.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "routing/candidates.h"
#include "routing/keyed_table.h"
#include "routing/path_pattern.h"
#include "routing/path_tree.h"
#include "routing/precedence.h"
#include "routing/regex.h"
#include "routing/request_tests.h"
#include "routing/router.h"

namespace tidegate {

// The paths of one host.
struct HostPaths {
  std::uint32_t id = 0;        // context of its exact paths
  std::uint32_t best = kNone;  // the lowest rank in it
  std::uint32_t exactBest = kNone;
  std::uint32_t tree = kNone;  // root of its prefixes and templates
  std::uint32_t any = kNone;   // list of the routes that ask for no path
  // Range of RouterTables::regexLists, lowest rank first.
  std::uint32_t firstRegex = 0;
  std::uint32_t regexCount = 0;
};

// The segments of templates, for the parameters of a match: a count, and for each a word.
struct TemplateShapes {
  static constexpr std::uint16_t kLiteral = 0xffff;
  static constexpr std::uint16_t kTail = 0xfffe;  // other words are indices into names
  std::vector<std::uint16_t> words;
  std::vector<std::string> names;
};

struct RouterTables {
  // One regular expression path and the candidates that ask for it.
  struct RegexList {
    std::uint32_t regex = 0;
    std::uint32_t list = 0;
  };

  // Contexts of `hosts`.
  static constexpr std::uint32_t kExactHost = 0;
  static constexpr std::uint32_t kHostSuffix = 1;

  // For the few who ask why; match() does not look at these.
  std::vector<RouteMatch> routes;
  std::vector<PathPattern> patterns;
  std::vector<std::uint32_t> patternRegex;  // by pattern: index into regexes, or kNone
  std::vector<RoutePlace> places;           // by rank

  KeyedTable<HostPaths> hosts;
  HostPaths anyHost;
  std::size_t maxSuffixLabels = 0;
  KeyedTable<CandidateRef> exactPaths;  // (host, path) to a list
  PathTree tree;
  std::vector<RegexList> regexLists;
  CandidateLists lists;
  std::vector<std::unique_ptr<const Regex>> regexes;  // each different expression once
  TemplateShapes shapes;
  std::vector<RequestTests> tests;        // by route
  std::vector<std::string> methods;       // by bit of a method mask
  std::vector<std::uint64_t> methodSets;  // bits of RouteResult::allowedMethods, each set once

  std::uint64_t methodBit(std::string_view method) const;

  // Shows the visitor the lists, by their first, of all candidates whose host and path match, save
  // those that `visitor.wants(rank)` says are of no use.
  template <typename Visitor>
  void visit(const RouteRequest& request, Visitor& visitor) const;
  template <typename Visitor>
  void visitPaths(const HostPaths& host, std::string_view path, Visitor& visitor) const;
};

}  // namespace tidegate
