// Prefixes and templates as trees of segments, one tree for each host: a request walks down its own
// segments, whatever the number of routes. Segments at which nothing branches off are kept
// together.
//
// Where a literal and a parameter stand side by side both may have to be searched. The builder can
// say how long that may take (worstVisits), and the router refuses sets of templates with which it
// could pass kMaxTreeVisits.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "routing/candidates.h"
#include "routing/keyed_table.h"
#include "routing/path_pattern.h"

namespace tidegate {

inline constexpr std::size_t kMaxTreeVisits = 1024;

class PathTree {
 public:
  // Shows the visitor each list of candidates whose pattern matches `path`, by its first, unless
  // `visitor.wants(rank)` says that nothing of that rank or above it is of use. `root`: from
  // PathTreeBuilder::addRoot; `lists`: those that the tree was built with.
  template <typename Visitor>
  void visit(std::uint32_t root, std::string_view path, const CandidateLists& lists,
             Visitor& visitor) const;

 private:
  friend class PathTreeBuilder;

  struct Node {
    std::uint32_t id = 0;         // context of its branches
    std::uint32_t best = kNone;   // the lowest rank here and below
    std::uint32_t param = kNone;  // place in nodes_ of the node behind a parameter
    std::uint32_t ends = kNone;   // the list of patterns that end here
    std::uint32_t tails = kNone;  // the list of those whose `*` begins here
    // Where in chains_ the segments stand that come before all of this; kNone when none do.
    std::uint32_t chain = kNone;
    bool hasLiterals = false;
  };

  // What most branches lead to: one pattern of one candidate, and nothing below it. All that is
  // needed of it stands beside the branch's text, in one cache line with most.
  struct Leaf {
    RouteCandidate only;
    std::uint32_t chain = kNone;  // as in Node
    bool isTail = false;          // the pattern goes on with `*`
  };

  using Branch = std::variant<Node, Leaf>;

  // The length of a chain's segment that is a parameter.
  static constexpr std::uint16_t kChainParam = 0xffff;

  // Moves `at` past the segments of a chain; false when they differ.
  bool followChain(std::uint32_t chain, std::string_view path, std::size_t& at) const;

  // Whether the segments before it, its chain, stand in the path; moves `at` past them.
  template <typename Place>
  bool reach(const Place& place, std::string_view path, std::size_t& at) const {
    return place.chain == kNone || followChain(place.chain, path, at);
  }

  template <typename Visitor>
  void visitLeaf(const Leaf& leaf, std::string_view path, std::size_t at, Visitor& visitor) const;

  std::vector<Node> nodes_;      // roots, by their numbers, and those behind parameters
  KeyedTable<Branch> branches_;  // (node, literal segment) to what is there
  std::string chains_;  // each: a count, then for each segment a 16-bit length and its text
};

class PathTreeBuilder {
 public:
  // Returns the root's number.
  std::uint32_t addRoot();
  // `pattern` is a Prefix or a Template.
  void add(std::uint32_t root, const PathPattern& pattern, const RouteCandidate& candidate);

  // The most nodes that any path can make a search visit.
  std::size_t worstVisits(std::uint32_t root) const { return worstVisitsFrom(roots_[root]); }

  PathTree build(CandidateLists& lists, const HashKey& key) const;

 private:
  class Assembly;

  struct Node {
    std::map<std::string, std::uint32_t, std::less<>> literals;
    std::uint32_t param = kNone;
    std::vector<RouteCandidate> ends;
    std::vector<RouteCandidate> tails;
  };

  std::uint32_t addNode();
  std::uint32_t childFor(std::uint32_t node, const PathSegment& segment);
  std::size_t worstVisitsFrom(std::uint32_t index) const;

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_;
};

inline bool PathTree::followChain(std::uint32_t chain, std::string_view path,
                                  std::size_t& at) const {
  const char* next = chains_.data() + chain;
  for (unsigned left = static_cast<unsigned char>(*next++); left > 0; --left) {
    std::uint16_t length;
    std::memcpy(&length, next, sizeof length);
    next += sizeof length;
    if (at == std::string_view::npos) return false;
    const std::string_view segment = takeSegment(path, at);
    if (length == kChainParam) {
      if (segment.empty()) return false;
      continue;
    }
    if (segment != std::string_view(next, length)) return false;
    next += length;
  }
  return true;
}

template <typename Visitor>
void PathTree::visitLeaf(const Leaf& leaf, std::string_view path, std::size_t at,
                         Visitor& visitor) const {
  if (!visitor.wants(leaf.only.rank) || !reach(leaf, path, at)) return;
  if (leaf.isTail || at == std::string_view::npos) visitor.consider(&leaf.only);
}

template <typename Visitor>
void PathTree::visit(std::uint32_t root, std::string_view path, const CandidateLists& lists,
                     Visitor& visitor) const {
  if (!path.starts_with('/')) return;

  struct Place {
    const Node* node;
    std::size_t at;  // of the next segment; npos behind the last
  };
  // One parameter branch at most waits at each level.
  std::array<Place, kMaxPatternSegments> waiting;
  std::size_t waitingCount = 0;
  Place place{&nodes_[root], 1};
  while (true) {
    const Node& node = *place.node;
    const Branch* branch = nullptr;
    if (visitor.wants(node.best) && reach(node, path, place.at)) {
      if (node.tails != kNone) visitor.consider(lists.list(node.tails));
      if (place.at == std::string_view::npos) {
        if (node.ends != kNone) visitor.consider(lists.list(node.ends));
      } else if (node.hasLiterals || node.param != kNone) {
        const std::string_view segment = takeSegment(path, place.at);
        if (node.hasLiterals) branch = branches_.find(node.id, segment);
        if (node.param != kNone && !segment.empty())
          waiting[waitingCount++] = {&nodes_[node.param], place.at};
      }
    }
    const Node* literal = nullptr;
    if (branch != nullptr) {
      literal = std::get_if<Node>(branch);
      if (literal == nullptr) visitLeaf(*std::get_if<Leaf>(branch), path, place.at, visitor);
    }
    if (literal != nullptr) {
      place.node = literal;
    } else if (waitingCount > 0) {
      place = waiting[--waitingCount];
    } else {
      return;
    }
  }
}

}  // namespace tidegate
