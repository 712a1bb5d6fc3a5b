// The plan of a route: what an exchange on it does, compiled when the snapshot is published.
//
// Every request reads a plan, and with many routes each request another one: all that every request
// needs is one cache line. What only some routes do is a step, behind one bit; its texts and edits
// stay with the route and are touched by the exchanges that take the step.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/large_pages.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// In the order in which an exchange comes to them.
enum class PlanStep : std::uint8_t {
  Answer = 1 << 0,       // the route answers by itself (respond, redirect): the rest is not reached
  RewritePath = 1 << 1,  // stripPrefix or rewritePath
  RewriteHost = 1 << 2,  // rewriteHost
  EditRequest = 1 << 3,  // requestEdits
  EditResponse = 1 << 4,  // responseEdits
};

// Borrows the route that it was compiled from. Immutable; read by every I/O thread.
class alignas(64) Plan {
 public:
  explicit Plan(const RouteConfig& route);

  bool has(PlanStep step) const { return (steps_ & static_cast<std::uint8_t>(step)) != 0; }
  // For the steps, and for who needs the name: another cache line.
  const RouteConfig& route() const { return *route_; }

  // As in RouteConfig.
  std::uint64_t bodyBytes;
  std::uint64_t requestTimeout;
  std::uint64_t firstByteTimeout;
  std::uint64_t idleTimeout;
  std::uint64_t tunnelTimeout;
  std::uint32_t metricSlot;
  std::uint32_t upstream;  // of no meaning with PlanStep::Answer
  std::uint16_t retries;

 private:
  std::uint8_t steps_ = 0;
  const RouteConfig* route_;
};
static_assert(sizeof(Plan) == 64);

// One a route, by the same indices. Valid as long as the snapshot.
LargeVector<Plan> compilePlans(const Snapshot& snapshot);

}  // namespace tidegate
