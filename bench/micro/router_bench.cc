// What finding a route costs: nanoseconds of CPU a match for 10 and for 10,000 routes, as the
// median of many short samples. "hot": requests for eight of the routes, as one service's traffic
// is. "cold": requests for all of them at random, so that the tables do not stay in the nearest
// cache. Normalising a path is measured too.
//
//   router_bench [samples, default 101]
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "routing/path.h"
#include "routing/router.h"

namespace {

using namespace tidegate;  // NOLINT(google-build-using-namespace): a program of its own

constexpr std::size_t kRequests = 4096;  // the same number for every set of routes
constexpr std::size_t kHot = 8;

struct Target {
  std::string host;
  std::string path;
};

struct Workload {
  const char* name;
  // Fills in the i-th route and a request that it takes.
  void (*make)(std::size_t i, RouteMatch& route, Target& target);
};

void makeExact(std::size_t i, RouteMatch& route, Target& target) {
  const std::string path = "/api/v1/resource-" + std::to_string(i) + "/list";
  route.paths = {{PathKind::Exact, path}};
  target = {"api.example.com", path};
}

void makePrefix(std::size_t i, RouteMatch& route, Target& target) {
  const std::string base = "/service-" + std::to_string(i);
  route.paths = {{PathKind::Prefix, base + "/*"}};
  target = {"api.example.com", base + "/items/42"};
}

void makeTemplate(std::size_t i, RouteMatch& route, Target& target) {
  const std::string base = "/v1/resource-" + std::to_string(i);
  route.paths = {{PathKind::Template, base + "/:id/parts/:part"}};
  target = {"api.example.com", base + "/42/parts/7"};
}

void makeHosts(std::size_t i, RouteMatch& route, Target& target) {
  const std::string name = "tenant-" + std::to_string(i) + ".example.com";
  if (i % 2 == 0) {
    route.hosts = {name};
    target.host = name;
  } else {
    route.hosts = {"*." + name};
    target.host = "www." + name;
  }
  route.paths = {{PathKind::Prefix, "/api/*"}};
  route.methods = {"GET", "HEAD"};
  target.path = "/api/items/42";
}

void makeMixed(std::size_t i, RouteMatch& route, Target& target) {
  void (*const kinds[])(std::size_t, RouteMatch&, Target&) = {makeExact, makePrefix, makeTemplate};
  kinds[i % 3](i, route, target);
  const std::string host = "host-" + std::to_string(i / 10) + ".example.com";
  route.hosts = {host};
  target.host = host;
}

constexpr Workload kWorkloads[] = {{"exact", makeExact},
                                   {"prefix", makePrefix},
                                   {"template", makeTemplate},
                                   {"hosts", makeHosts},
                                   {"mixed", makeMixed}};

// Keeps the compiler from dropping what it is told was used.
template <typename T>
void use(T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Of this thread, so that other programs on the machine count little.
double cpuNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <typename Work>
double nanosecondsEach(std::size_t samples, std::size_t count, Work work) {
  std::vector<double> values;
  for (std::size_t i = 0; i < samples + 3; ++i) {
    const double begin = cpuNanoseconds();
    work();
    const double spent = cpuNanoseconds() - begin;
    if (i >= 3) values.push_back(spent / static_cast<double>(count));  // the first ones warm up
  }
  return median(std::move(values));
}

// Of one match of random requests among the first `spread` routes of `count`.
double measure(const Workload& workload, std::size_t count, std::size_t spread,
               std::size_t samples) {
  std::vector<RouteMatch> routes(count);
  std::vector<Target> targets(count);
  for (std::size_t i = 0; i < count; ++i) workload.make(i, routes[i], targets[i]);
  const Result<Router, RouterBuildError> router = Router::build(routes);
  if (!router) {
    std::fprintf(stderr, "%s\n", router.error().message.c_str());
    std::exit(1);
  }

  // Chosen from all over the table, in a random order that no branch predictor learns.
  std::mt19937 random(1);
  std::vector<Target> requests;
  for (std::size_t i = 0; i < kRequests; ++i)
    requests.push_back(targets[random() % spread * (count / spread)]);

  RouteResult result;
  std::size_t missed = 0;
  const double spent = nanosecondsEach(samples, kRequests, [&] {
    for (const Target& target : requests) {
      RouteRequest request;
      request.host = target.host;
      request.path = target.path;
      request.method = "GET";
      router->match(request, result);
      missed += result.route == kNoRoute ? 1 : 0;
      use(result);
    }
  });
  if (missed > 0) std::fprintf(stderr, "%s: %zu requests found no route\n", workload.name, missed);
  return spent;
}

void measurePath(const char* name, std::string_view path, std::size_t samples) {
  constexpr std::size_t kRounds = 4096;
  char out[256];
  const double spent = nanosecondsEach(samples, kRounds, [&] {
    for (std::size_t i = 0; i < kRounds; ++i) {
      use(path);
      NormalPath normal = normalizePath(path, {}, out);
      use(normal);
    }
  });
  std::printf("%-26s %8.1f ns\n", name, spent);
}

}  // namespace

int main(int argumentCount, char** arguments) {
  const std::size_t samples = argumentCount > 1 ? std::strtoul(arguments[1], nullptr, 10) : 101;
  if (samples == 0) {
    std::fprintf(stderr, "usage: router_bench [samples]\n");
    return 2;
  }
  std::printf("%-10s %12s %12s %7s %12s %12s %7s\n", "ns/match", "hot 10", "hot 10,000", "ratio",
              "cold 10", "cold 10,000", "ratio");
  for (const Workload& workload : kWorkloads) {
    const double hotFew = measure(workload, 10, kHot, samples);
    const double hotMany = measure(workload, 10000, kHot, samples);
    const double coldFew = measure(workload, 10, 10, samples);
    const double coldMany = measure(workload, 10000, 10000, samples);
    std::printf("%-10s %12.1f %12.1f %7.2f %12.1f %12.1f %7.2f\n", workload.name, hotFew, hotMany,
                hotMany / hotFew, coldFew, coldMany, coldMany / coldFew);
  }
  std::printf("\n");
  measurePath("plain path of 23 bytes", "/v1/orders/84215/history", samples);
  measurePath("plain path of 71 bytes",
              "/v1/organisations/84215/repositories/compiler/branches/main/files/a-b-c", samples);
  measurePath("path with escapes and dots", "/v1/./orders//%7e84215/a/../history%20x", samples);
  return 0;
}
