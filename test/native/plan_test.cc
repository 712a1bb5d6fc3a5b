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
  route.upstream = 7;
  route.retries = 8;
  const Plan plan(route);
  CHECK_EQ(plan.bodyBytes, 1);
  CHECK_EQ(plan.requestTimeout, 2);
  CHECK_EQ(plan.firstByteTimeout, 3);
  CHECK_EQ(plan.idleTimeout, 4);
  CHECK_EQ(plan.tunnelTimeout, 5);
  CHECK_EQ(plan.upstream, 7);
  CHECK_EQ(plan.retries, 8);
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

TEST("routes that differ only in names and texts share a plan, and each has its own counters") {
  Snapshot snapshot;
  snapshot.routes.resize(4);
  for (std::uint32_t i = 0; i < 4; ++i) snapshot.routes[i].metricSlot = 10 + i;
  snapshot.routes[0].requestEdits.remove = {"x-a"};
  snapshot.routes[1].upstream = 1;
  snapshot.routes[2].requestEdits.remove = {"x-b"};
  snapshot.routes[3].upstream = 1;
  snapshot.routes[3].idleTimeout = snapshot.routes[1].idleTimeout + 1;
  const Plans plans(snapshot);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK_EQ(plans.metricSlot(i), 10 + i);
    CHECK_EQ(plans.of(i).upstream, snapshot.routes[i].upstream);
    CHECK_EQ(plans.of(i).idleTimeout, snapshot.routes[i].idleTimeout);
    CHECK_EQ(plans.of(i).has(PlanStep::EditRequest), i % 2 == 0);
  }
  CHECK(&plans.of(0) == &plans.of(2));
  CHECK(&plans.of(1) != &plans.of(3));
}

}  // namespace
}  // namespace tidegate
