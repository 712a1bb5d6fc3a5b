// Building the trees of segments.
#include "routing/path_tree.h"

#include <algorithm>
#include <utility>

namespace tidegate {

static_assert(KeyedTable::kMissing == kNone);

std::uint32_t PathTreeBuilder::addRoot() {
  nodes_.emplace_back();
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

std::uint32_t PathTreeBuilder::childFor(std::uint32_t node, const PathSegment& segment) {
  const bool literal = segment.kind == PathSegment::Kind::Literal;
  if (literal) {
    const auto found = nodes_[node].literals.find(segment.text);
    if (found != nodes_[node].literals.end()) return found->second;
  } else if (nodes_[node].param != kNone) {
    return nodes_[node].param;
  }
  const std::uint32_t child = addRoot();
  if (literal) {
    nodes_[node].literals.emplace(segment.text, child);
  } else {
    nodes_[node].param = child;
  }
  return child;
}

void PathTreeBuilder::add(std::uint32_t root, const PathPattern& pattern,
                          const RouteCandidate& candidate) {
  std::uint32_t node = root;
  for (const PathSegment& segment : pattern.segments) {
    if (segment.kind == PathSegment::Kind::Tail) {
      nodes_[node].tails.push_back(candidate);
      return;
    }
    node = childFor(node, segment);
  }
  nodes_[node].ends.push_back(candidate);
}

std::size_t PathTreeBuilder::worstVisits(std::uint32_t root) const {
  const Node& node = nodes_[root];
  std::size_t literal = 0;
  for (const auto& [text, child] : node.literals) literal = std::max(literal, worstVisits(child));
  return 1 + literal + (node.param == kNone ? 0 : worstVisits(node.param));
}

PathTree PathTreeBuilder::build(CandidateLists& lists, const HashKey& key) {
  PathTree tree;
  tree.nodes_.resize(nodes_.size());
  std::vector<KeyedTable::Entry> branches;
  // Children come after their parents, so that going backwards finds theirs done.
  for (std::size_t i = nodes_.size(); i > 0; --i) {
    const auto index = static_cast<std::uint32_t>(i - 1);
    Node& node = nodes_[index];
    PathTree::Node& built = tree.nodes_[index];
    built.param = node.param;
    built.hasLiterals = !node.literals.empty();
    if (!node.ends.empty()) built.ends = lists.add(std::move(node.ends));
    if (!node.tails.empty()) built.tails = lists.add(std::move(node.tails));
    for (const std::uint32_t list : {built.ends, built.tails}) {
      if (list != kNone) built.best = std::min(built.best, lists.bestRank(list));
    }
    if (node.param != kNone) built.best = std::min(built.best, tree.nodes_[node.param].best);
    for (const auto& [text, child] : node.literals) {
      built.best = std::min(built.best, tree.nodes_[child].best);
      branches.push_back({index, text, child});
    }
  }
  tree.branches_ = KeyedTable(branches, key);
  return tree;
}

}  // namespace tidegate
