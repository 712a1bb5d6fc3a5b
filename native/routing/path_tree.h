// Prefixes and templates as trees of segments, one tree for each host: a request walks down its own
// segments, whatever the number of routes.
//
// Where a literal and a parameter stand side by side both may have to be searched. The builder
// bounds that: a set of templates in which some path could visit more than kMaxTreeVisits nodes is
// refused.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "routing/candidates.h"
#include "routing/keyed_table.h"
#include "routing/path_pattern.h"

namespace tidegate {

inline constexpr std::size_t kMaxTreeVisits = 1024;

class PathTree {
 public:
  // Shows the visitor each list of candidates whose pattern matches `path`, unless
  // `visitor.wants(rank)` says that nothing of that rank or above it is of use. `root`: from
  // PathTreeBuilder::addRoot.
  template <typename Visitor>
  void visit(std::uint32_t root, std::string_view path, Visitor& visitor) const;

  std::uint32_t bestRank(std::uint32_t root) const { return nodes_[root].best; }

 private:
  friend class PathTreeBuilder;

  struct alignas(32) Node {
    std::uint32_t best = kNone;   // the lowest rank here and below
    std::uint32_t param = kNone;  // the node behind a parameter
    std::uint32_t ends = kNone;   // the list of patterns that end here
    std::uint32_t tails = kNone;  // the list of those whose `*` begins here
    bool hasLiterals = false;
  };

  std::vector<Node> nodes_;
  KeyedTable branches_;  // (node, literal segment) to node
};

class PathTreeBuilder {
 public:
  std::uint32_t addRoot();
  // `pattern` is a Prefix or a Template.
  void add(std::uint32_t root, const PathPattern& pattern, const RouteCandidate& candidate);

  // The most nodes that any path can make a search visit.
  std::size_t worstVisits(std::uint32_t root) const;

  PathTree build(CandidateLists& lists, const HashKey& key);

 private:
  struct Node {
    std::map<std::string, std::uint32_t, std::less<>> literals;
    std::uint32_t param = kNone;
    std::vector<RouteCandidate> ends;
    std::vector<RouteCandidate> tails;
  };

  std::uint32_t childFor(std::uint32_t node, const PathSegment& segment);

  std::vector<Node> nodes_;
};

template <typename Visitor>
void PathTree::visit(std::uint32_t root, std::string_view path, Visitor& visitor) const {
  if (!path.starts_with('/')) return;

  struct Place {
    std::uint32_t node;
    std::size_t at;  // of the next segment; npos behind the last
  };
  // One parameter branch at most waits at each level.
  std::array<Place, kMaxPatternSegments> waiting;
  std::size_t waitingCount = 0;
  Place place{root, 1};
  while (true) {
    const Node& node = nodes_[place.node];
    std::uint32_t literal = kNone;
    if (visitor.wants(node.best)) {
      if (node.tails != kNone) visitor.consider(node.tails);
      if (place.at == std::string_view::npos) {
        if (node.ends != kNone) visitor.consider(node.ends);
      } else {
        const std::string_view segment = takeSegment(path, place.at);
        if (node.hasLiterals) literal = branches_.find(place.node, segment);
        if (node.param != kNone && !segment.empty())
          waiting[waitingCount++] = {node.param, place.at};
      }
    }
    if (literal != kNone) {
      place.node = literal;
    } else if (waitingCount > 0) {
      place = waiting[--waitingCount];
    } else {
      return;
    }
  }
}

}  // namespace tidegate
