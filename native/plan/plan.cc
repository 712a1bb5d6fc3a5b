// Compiles routes to plans.
#include "plan/plan.h"

#include <initializer_list>
#include <utility>

namespace tidegate {

namespace {

std::uint8_t stepsOf(const RouteConfig& route) {
  const std::initializer_list<std::pair<PlanStep, bool>> all = {
      {PlanStep::Answer, route.action != RouteAction::Proxy},
      {PlanStep::RewritePath, !route.stripPrefix.empty() || !route.rewritePath.empty()},
      {PlanStep::RewriteHost, !route.rewriteHost.empty()},
      {PlanStep::EditRequest, !route.requestEdits.empty()},
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
      metricSlot(route.metricSlot),
      upstream(route.upstream),
      retries(static_cast<std::uint16_t>(route.retries)),
      steps_(stepsOf(route)),
      route_(&route) {}

LargeVector<Plan> compilePlans(const Snapshot& snapshot) {
  return {snapshot.routes.begin(), snapshot.routes.end()};
}

}  // namespace tidegate
