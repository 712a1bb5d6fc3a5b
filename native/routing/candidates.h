// The lists of routes that the router's tables lead to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tidegate {

inline constexpr std::uint32_t kNone = 0xffffffff;

// One (route, host, path) triple. Triples of the same host and path stand side by side in the order
// of precedence.
struct RouteCandidate {
  std::uint32_t rank = 0;  // place in the order of precedence, unique; lower goes first
  std::uint32_t route = 0;
  std::uint32_t tests =
      kNone;  // index of the route's RequestTests, kNone when nothing is left to ask
  std::uint32_t pattern = 0;  // index of the path pattern, for its parameters
  bool last = false;          // of its list
};

// All lists in one array; a list is known by the index of its first candidate.
class CandidateLists {
 public:
  // `list` is not empty. Returns the list's name.
  std::uint32_t add(std::vector<RouteCandidate> list) {
    std::ranges::sort(list, {}, &RouteCandidate::rank);
    list.back().last = true;
    const auto first = static_cast<std::uint32_t>(all_.size());
    all_.insert(all_.end(), list.begin(), list.end());
    return first;
  }

  const RouteCandidate* list(std::uint32_t first) const { return &all_[first]; }
  std::uint32_t bestRank(std::uint32_t first) const { return all_[first].rank; }

 private:
  std::vector<RouteCandidate> all_;
};

}  // namespace tidegate
