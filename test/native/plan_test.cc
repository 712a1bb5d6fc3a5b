// Plans: what is taken over from a route, and which steps its configuration makes.
#include "plan/plan.h"

#include "check.h"

namespace tidegate {
namespace {

TEST("a plan of a route that only forwards has no steps, and the numbers of its route") {
  RouteConfig route;
  route.bodyBytes = 1;
  route.requestTimeout = 2;
  route.firstByteTimeout = 3;
  route.idleTimeout = 4;
  route.tunnelTimeout = 5;
  route.metricSlot = 6;
  route.upstream = 7;
  route.retries = 8;
  const Plan plan(route);
  CHECK_EQ(plan.bodyBytes, 1);
  CHECK_EQ(plan.requestTimeout, 2);
  CHECK_EQ(plan.firstByteTimeout, 3);
  CHECK_EQ(plan.idleTimeout, 4);
  CHECK_EQ(plan.tunnelTimeout, 5);
  CHECK_EQ(plan.metricSlot, 6);
  CHECK_EQ(plan.upstream, 7);
  CHECK_EQ(plan.retries, 8);
  CHECK(&plan.route() == &route);
  for (const PlanStep step : {PlanStep::Answer, PlanStep::RewritePath, PlanStep::RewriteHost,
                              PlanStep::EditRequest, PlanStep::EditResponse}) {
    CHECK(!plan.has(step));
  }
}

TEST("a plan has one step for each thing that its route asks for") {
  RouteConfig strips;
  strips.stripPrefix = "/a";
  CHECK(Plan(strips).has(PlanStep::RewritePath));
  RouteConfig rewrites;
  rewrites.rewritePath = {{Variable::Path, ""}};
  CHECK(Plan(rewrites).has(PlanStep::RewritePath));
  CHECK(!Plan(rewrites).has(PlanStep::RewriteHost));
  RouteConfig host;
  host.rewriteHost = {{Variable::Literal, "a.example"}};
  CHECK(Plan(host).has(PlanStep::RewriteHost));
  RouteConfig request;
  request.requestEdits.remove = {"x-a"};
  CHECK(Plan(request).has(PlanStep::EditRequest));
  CHECK(!Plan(request).has(PlanStep::EditResponse));
  RouteConfig response;
  response.responseEdits.set = {{"X-A", FieldId::Other, {}}};
  CHECK(Plan(response).has(PlanStep::EditResponse));
  RouteConfig responds;
  responds.action = RouteAction::Respond;
  CHECK(Plan(responds).has(PlanStep::Answer));
}

TEST("plans stand in the order of the routes") {
  Snapshot snapshot;
  snapshot.routes.resize(3);
  for (std::uint32_t i = 0; i < 3; ++i) snapshot.routes[i].metricSlot = i;
  const LargeVector<Plan> plans = compilePlans(snapshot);
  REQUIRE(plans.size() == 3);
  for (std::uint32_t i = 0; i < 3; ++i) CHECK_EQ(plans[i].metricSlot, i);
}

}  // namespace
}  // namespace tidegate
