// Compiles routes to plans.
#include "plan/plan.h"

#include <initializer_list>
#include <map>
#include <utility>

namespace tidegate {

namespace {

std::uint8_t stepsOf(const RouteConfig& route) {
  const std::initializer_list<std::pair<PlanStep, bool>> all = {
      {PlanStep::Access, !route.access.empty()},
      {PlanStep::Policies, route.chain != kNoChain},
      {PlanStep::Answer, route.action != RouteAction::Proxy},
      {PlanStep::RewritePath, !route.stripPrefix.empty() || !route.rewritePath.empty()},
      {PlanStep::RewriteHost, !route.rewriteHost.empty()},
      {PlanStep::EditRequest, !route.requestEdits.empty()},
      {PlanStep::Review, route.review != kNoChain},
      {PlanStep::EditResponse, !route.responseEdits.empty()},
  };
  unsigned steps = 0;
  for (const auto& [step, taken] : all) {
    if (taken) steps |= static_cast<unsigned>(step);
  }
  return static_cast<std::uint8_t>(steps);
}

}  // namespace

Plan::Plan(const RouteConfig& route)
    : bodyBytes(route.bodyBytes),
      requestTimeout(route.requestTimeout),
      firstByteTimeout(route.firstByteTimeout),
      idleTimeout(route.idleTimeout),
      tunnelTimeout(route.tunnelTimeout),
      chain(route.chain),
      review(route.review),
      upstream(route.upstream),
      retries(static_cast<std::uint16_t>(route.retries)),
      steps_(stepsOf(route)) {}

Plans::Plans(const Snapshot& snapshot) {
  std::map<Plan, std::uint32_t> known;
  rows_.reserve(snapshot.routes.size());
  for (const RouteConfig& route : snapshot.routes) {
    const auto [found, isNew] =
        known.try_emplace(Plan(route), static_cast<std::uint32_t>(plans_.size()));
    if (isNew) plans_.push_back(found->first);
    rows_.push_back({found->second, route.metricSlot});
  }
}

}  // namespace tidegate
