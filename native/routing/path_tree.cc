// Building the trees of segments.
#include "routing/path_tree.h"

#include <algorithm>
#include <utility>

namespace tidegate {

std::uint32_t PathTreeBuilder::addNode() {
  nodes_.emplace_back();
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

std::uint32_t PathTreeBuilder::addRoot() {
  roots_.push_back(addNode());
  return static_cast<std::uint32_t>(roots_.size() - 1);
}

std::uint32_t PathTreeBuilder::childFor(std::uint32_t node, const PathSegment& segment) {
  const bool literal = segment.kind == PathSegment::Kind::Literal;
  if (literal) {
    const auto found = nodes_[node].literals.find(segment.text);
    if (found != nodes_[node].literals.end()) return found->second;
  } else if (nodes_[node].param != kNone) {
    return nodes_[node].param;
  }
  const std::uint32_t child = addNode();
  if (literal) {
    nodes_[node].literals.emplace(segment.text, child);
  } else {
    nodes_[node].param = child;
  }
  return child;
}

void PathTreeBuilder::add(std::uint32_t root, const PathPattern& pattern,
                          const RouteCandidate& candidate) {
  std::uint32_t node = roots_[root];
  for (const PathSegment& segment : pattern.segments) {
    if (segment.kind == PathSegment::Kind::Tail) {
      nodes_[node].tails.push_back(candidate);
      return;
    }
    node = childFor(node, segment);
  }
  nodes_[node].ends.push_back(candidate);
}

std::size_t PathTreeBuilder::worstVisitsFrom(std::uint32_t index) const {
  const Node& node = nodes_[index];
  std::size_t literal = 0;
  for (const auto& [text, child] : node.literals)
    literal = std::max(literal, worstVisitsFrom(child));
  return 1 + literal + (node.param == kNone ? 0 : worstVisitsFrom(node.param));
}

// Turns the builder's nodes into a tree, children before their parents.
class PathTreeBuilder::Assembly {
 public:
  Assembly(const std::vector<Node>& nodes, CandidateLists& lists) : nodes_(nodes), lists_(lists) {}

  PathTree run(const std::vector<std::uint32_t>& roots, const HashKey& key) {
    tree_.nodes_.resize(roots.size());
    for (std::size_t i = 0; i < roots.size(); ++i) tree_.nodes_[i] = node(roots[i]);
    tree_.branches_ = KeyedTable<PathTree::Branch>(branches_, key);
    return std::move(tree_);
  }

 private:
  PathTree::Node node(std::uint32_t index) {
    PathTree::Node built;
    built.id = takeChain(index, built.chain);
    const Node& from = nodes_[built.id];
    if (!from.ends.empty()) built.ends = lists_.add(from.ends);
    if (!from.tails.empty()) built.tails = lists_.add(from.tails);
    for (const std::uint32_t list : {built.ends, built.tails}) {
      if (list != kNone) built.best = std::min(built.best, lists_.bestRank(list));
    }
    addBranches(from, built);
    return built;
  }

  void addBranches(const Node& from, PathTree::Node& built) {
    built.hasLiterals = !from.literals.empty();
    for (const auto& [text, child] : from.literals)
      branches_.push_back({built.id, text, branch(child, built.best)});
    if (from.param == kNone) return;
    const PathTree::Node child = node(from.param);
    built.best = std::min(built.best, child.best);
    built.param = static_cast<std::uint32_t>(tree_.nodes_.size());
    tree_.nodes_.push_back(child);
  }

  // Lowers `best` to that of the branch.
  PathTree::Branch branch(std::uint32_t index, std::uint32_t& best) {
    std::string chain(1, '\0');
    const Node& from = nodes_[skipSingleBranches(index, chain)];
    if (from.literals.empty() && from.param == kNone && from.ends.size() + from.tails.size() == 1) {
      PathTree::Leaf leaf;
      leaf.isTail = from.ends.empty();
      leaf.only = leaf.isTail ? from.tails.front() : from.ends.front();
      takeChain(index, leaf.chain);
      best = std::min(best, leaf.only.rank);
      return leaf;
    }
    const PathTree::Node built = node(index);
    best = std::min(best, built.best);
    return built;
  }

  // As skipSingleBranches, and keeps the segments on the way in the tree: `place` is where.
  std::uint32_t takeChain(std::uint32_t index, std::uint32_t& place) {
    std::string chain(1, '\0');
    const std::uint32_t end = skipSingleBranches(index, chain);
    if (end != index) {
      place = static_cast<std::uint32_t>(tree_.chains_.size());
      tree_.chains_ += chain;
    }
    return end;
  }

  // The first node at or below `index` where patterns end or part; the segments on the way go to
  // `chain`.
  std::uint32_t skipSingleBranches(std::uint32_t index, std::string& chain) const {
    while (true) {
      const Node& from = nodes_[index];
      const std::size_t branches = from.literals.size() + (from.param != kNone ? 1 : 0);
      if (branches != 1 || !from.ends.empty() || !from.tails.empty()) return index;
      if (from.param != kNone) {
        appendSegment(chain, PathTree::kChainParam, {});
        index = from.param;
      } else {
        const auto& [text, child] = *from.literals.begin();
        appendSegment(chain, static_cast<std::uint16_t>(text.size()), text);
        index = child;
      }
    }
  }

  static void appendSegment(std::string& chain, std::uint16_t length, std::string_view text) {
    static_assert(kMaxPatternSegments < 256 && kMaxPatternBytes < PathTree::kChainParam);
    ++chain[0];
    chain.append(reinterpret_cast<const char*>(&length), sizeof length);
    chain += text;
  }

  const std::vector<Node>& nodes_;
  CandidateLists& lists_;
  PathTree tree_;
  std::vector<KeyedTable<PathTree::Branch>::Entry> branches_;
};

PathTree PathTreeBuilder::build(CandidateLists& lists, const HashKey& key) const {
  return Assembly(nodes_, lists).run(roots_, key);
}

}  // namespace tidegate
