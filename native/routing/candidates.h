// The lists of routes that the router's tables lead to. Most have one entry, and that one is kept
// in the table itself: a cache line less to read.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/large_pages.h"
#include "routing/route_match.h"

namespace tidegate {

inline constexpr std::uint32_t kNone = 0xffffffff;

// One (route, host, path) triple with all that most matches need. Triples of the same host and path
// stand side by side in the order of precedence.
struct RouteCandidate {
  std::uint32_t rank = 0;  // place in the order of precedence, unique; lower goes first
  std::uint32_t route = 0;
  std::uint32_t methods = kNone;  // index of RouterTables::methodSets; kNone: no method is named
  std::uint32_t tests = kNone;    // index of the route's RequestTests; kNone: nothing else is asked
  // Prefix: the length of what stands before `/*`. Template: where its shape begins. Regex: index
  // of the expression.
  std::uint32_t detail = 0;
  PathKind kind = PathKind::Any;
  bool last = true;  // of its list
};

// The lists of more than one, and those whose place has no room for a candidate, in one array; a
// list is known by the index of its first candidate.
class CandidateLists {
 public:
  // `list` is not empty and in the order of precedence. Returns the list's name.
  std::uint32_t add(std::vector<RouteCandidate> list) {
    assert(std::ranges::is_sorted(list, {}, &RouteCandidate::rank));
    for (RouteCandidate& candidate : list) candidate.last = &candidate == &list.back();
    const auto first = static_cast<std::uint32_t>(all_.size());
    all_.insert(all_.end(), list.begin(), list.end());
    return first;
  }

  const RouteCandidate* list(std::uint32_t first) const { return &all_[first]; }
  std::uint32_t bestRank(std::uint32_t first) const { return all_[first].rank; }

 private:
  LargeVector<RouteCandidate> all_;
};

// A list, or the only candidate of one. Trivially copyable: lies in the record of a table.
class CandidateRef {
 public:
  CandidateRef() = default;
  CandidateRef(std::vector<RouteCandidate> list, CandidateLists& lists)
      : only_(list.front()), list_(list.size() > 1 ? lists.add(std::move(list)) : kNone) {}

  // The first of the list; valid as long as this and `lists`.
  const RouteCandidate* in(const CandidateLists& lists) const {
    return list_ == kNone ? &only_ : lists.list(list_);
  }

 private:
  RouteCandidate only_;
  std::uint32_t list_ = kNone;
};

}  // namespace tidegate
