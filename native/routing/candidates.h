// The lists of routes that the router's tables lead to.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <vector>

#include "base/large_pages.h"
#include "routing/route_match.h"

namespace tidegate {

inline constexpr std::uint32_t kNone = 0xffffffff;
inline constexpr std::uint64_t kAnyMethod = ~std::uint64_t{0};

// One (route, host, path) triple with all that most matches need, two to a cache line. Triples of
// the same host and path stand side by side in the order of precedence.
struct alignas(32) RouteCandidate {
  std::uint32_t rank = 0;  // place in the order of precedence, unique; lower goes first
  std::uint32_t route = 0;
  std::uint64_t methods =
      kAnyMethod;               // bits of RouteResult::allowedMethods; kAnyMethod: none is named
  std::uint32_t tests = kNone;  // index of the route's RequestTests; kNone: nothing else is asked
  // Prefix: the length of what stands before `/*`. Template: where its shape begins. Regex: index
  // of the expression.
  std::uint32_t detail = 0;
  PathKind kind = PathKind::Any;
  bool last = false;  // of its list
};

// All lists in one array; a list is known by the index of its first candidate.
class CandidateLists {
 public:
  // `list` is not empty and in the order of precedence. Returns the list's name.
  std::uint32_t add(std::vector<RouteCandidate> list) {
    assert(std::ranges::is_sorted(list, {}, &RouteCandidate::rank));
    list.back().last = true;
    const auto first = static_cast<std::uint32_t>(all_.size());
    all_.insert(all_.end(), list.begin(), list.end());
    return first;
  }

  const RouteCandidate* list(std::uint32_t first) const { return &all_[first]; }
  std::uint32_t bestRank(std::uint32_t first) const { return all_[first].rank; }

 private:
  LargeVector<RouteCandidate> all_;
};

}  // namespace tidegate
