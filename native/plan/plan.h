// The plan of a route: what an exchange on it does, compiled when the snapshot is published.
//
// A plan says what and how much, never with which texts: routes that differ in nothing else share
// one, so that with thousands of routes the cache keeps the few plans that they have. What only
// some routes do is a step, behind one bit; its texts and edits stay with the route and are touched
// by the exchanges that take the step.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "base/large_pages.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// In the order in which an exchange comes to them.
enum class PlanStep : std::uint8_t {
  Access = 1 << 6,       // address lists, before all others: the exchange may end there
  Policies = 1 << 0,     // policies decide first: suspends the exchange, which may end there
  Answer = 1 << 1,       // the route answers by itself (respond, redirect): the rest is not reached
  RewritePath = 1 << 2,  // stripPrefix or rewritePath
  RewriteHost = 1 << 3,  // rewriteHost
  EditRequest = 1 << 4,  // requestEdits
  Review = 1 << 7,       // policies see the response before the client does: suspends the exchange
  EditResponse = 1 << 5,  // responseEdits
};

// Immutable; read by every I/O thread. One cache line.
class alignas(64) Plan {
 public:
  explicit Plan(const RouteConfig& route);

  bool has(PlanStep step) const { return (steps_ & static_cast<std::uint8_t>(step)) != 0; }

  auto operator<=>(const Plan&) const = default;

  // As in RouteConfig.
  std::uint64_t bodyBytes;
  std::uint64_t requestTimeout;
  std::uint64_t firstByteTimeout;
  std::uint64_t idleTimeout;
  std::uint64_t tunnelTimeout;
  std::uint32_t chain;     // for PlanStep::Policies: index of Snapshot::chains
  std::uint32_t review;    // for PlanStep::Review: another one
  std::uint32_t upstream;  // of no meaning with PlanStep::Answer
  std::uint16_t retries;

 private:
  std::uint8_t steps_ = 0;
};
static_assert(sizeof(Plan) == 64);

// The plans of a snapshot, by its routes. Immutable; made by the control thread.
class Plans {
 public:
  Plans() = default;
  explicit Plans(const Snapshot& snapshot);

  const Plan& of(std::uint32_t route) const { return plans_[rows_[route].plan]; }
  // As in RouteConfig: with the plan all that a request needs of a route that takes no step.
  std::uint32_t metricSlot(std::uint32_t route) const { return rows_[route].metricSlot; }

 private:
  struct Row {
    std::uint32_t plan;
    std::uint32_t metricSlot;
  };

  LargeVector<Row> rows_;    // by route
  std::vector<Plan> plans_;  // each different one once
};

}  // namespace tidegate
