// The conformance suite of the balancer seam, and what each algorithm promises.
#include "balance/balancer.h"

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "check.h"

namespace tidegate {
namespace {

struct Set {
  std::vector<std::unique_ptr<EndpointState>> states;
  std::vector<BalanceEndpoint> endpoints;

  explicit Set(const std::vector<std::uint32_t>& weights) {
    for (const std::uint32_t weight : weights) {
      const auto id = static_cast<std::uint32_t>(states.size());
      states.push_back(
          std::make_unique<EndpointState>(id, "e", *SocketAddress::parse("127.0.0.1:1")));
      endpoints.push_back({states.back().get(), weight});
    }
  }
};

constexpr BalanceAlgorithm kAll[] = {BalanceAlgorithm::RoundRobin,
                                     BalanceAlgorithm::LeastConnections};

TEST(
    "every balancer: an endpoint that is down or was tried is not chosen, and none is left when "
    "all are") {
  std::mt19937_64 random(5);
  for (const BalanceAlgorithm algorithm : kAll) {
    for (int round = 0; round < 500; ++round) {
      Set set(std::vector<std::uint32_t>(1 + random() % 8,
                                         1 + static_cast<std::uint32_t>(random() % 5)));
      const auto balancer =
          makeBalancer(algorithm, set.endpoints, static_cast<std::uint32_t>(random() % 16));
      std::bitset<kMaxEndpoints> tried;
      std::size_t excluded = 0;
      for (std::size_t i = 0; i < set.states.size(); ++i) {
        const bool down = random() % 3 == 0;
        const bool wasTried = random() % 3 == 0;
        if (down) set.states[i]->recordFailure(1000, 1, 10'000);
        if (wasTried) tried.set(i);
        if (down || wasTried) ++excluded;
      }
      const std::uint32_t chosen = balancer->pick({1001, 10'000, &tried});
      if (excluded == set.states.size()) {
        CHECK_EQ(chosen, kNoEndpoint);
      } else {
        REQUIRE(chosen < set.states.size());
        CHECK(!tried.test(chosen));
        CHECK(!set.states[chosen]->isDown());
      }
    }
  }
}

TEST(
    "every balancer: an endpoint that was down long enough is tried once, and again after a "
    "success") {
  for (const BalanceAlgorithm algorithm : kAll) {
    Set set({1});
    const auto balancer = makeBalancer(algorithm, set.endpoints, 0);
    set.states[0]->recordFailure(1000, 1, 500);
    CHECK_EQ(balancer->pick({1499, 500, nullptr}), kNoEndpoint);
    CHECK_EQ(balancer->pick({1500, 500, nullptr}), 0u);
    CHECK_EQ(balancer->pick({1501, 500, nullptr}), kNoEndpoint);
    set.states[0]->recordSuccess();
    CHECK_EQ(balancer->pick({1502, 500, nullptr}), 0u);
    CHECK_EQ(balancer->pick({1502, 500, nullptr}), 0u);
  }
}

TEST("failures in a row take an endpoint out at the limit, a success in between begins anew") {
  Set set({1});
  EndpointState& state = *set.states[0];
  state.recordFailure(1, 3, 100);
  state.recordFailure(1, 3, 100);
  state.recordSuccess();
  state.recordFailure(1, 3, 100);
  state.recordFailure(1, 3, 100);
  CHECK(!state.isDown());
  state.recordFailure(1, 3, 100);
  CHECK(state.isDown());
  Set off({1});
  for (int i = 0; i < 100; ++i) off.states[0]->recordFailure(1, 0, 100);
  CHECK(!off.states[0]->isDown());
}

TEST("round-robin: over one round each endpoint gets exactly its weight, evenly spread") {
  std::mt19937_64 random(9);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint32_t> weights(2 + random() % 6);
    std::uint32_t total = 0;
    for (auto& weight : weights) total += weight = 1 + static_cast<std::uint32_t>(random() % 9);
    Set set(weights);
    const auto balancer = makeBalancer(BalanceAlgorithm::RoundRobin, set.endpoints,
                                       static_cast<std::uint32_t>(random()));
    std::vector<std::uint32_t> counts(weights.size());
    std::vector<std::uint32_t> sequence;
    for (std::uint32_t i = 0; i < total; ++i) {
      const std::uint32_t chosen = balancer->pick({});
      REQUIRE(chosen < counts.size());
      ++counts[chosen];
      sequence.push_back(chosen);
    }
    CHECK_EQ(counts, weights);
    // Smooth: no endpoint is ever ahead of its share by more than one turn's worth.
    std::vector<double> seen(weights.size());
    for (std::uint32_t i = 0; i < sequence.size(); ++i) {
      seen[sequence[i]] += 1;
      for (std::size_t e = 0; e < weights.size(); ++e) {
        const double share = static_cast<double>(i + 1) * weights[e] / total;
        CHECK(seen[e] - share < 2.0 + static_cast<double>(weights.size()) / 2);
      }
    }
  }
}

TEST("least-connections: the least loaded endpoint for its weight is chosen, equals take turns") {
  Set set({1, 2, 1});
  const auto balancer = makeBalancer(BalanceAlgorithm::LeastConnections, set.endpoints, 0);
  set.states[0]->begin();
  set.states[2]->begin();
  set.states[2]->begin();
  set.states[1]->begin();
  CHECK_EQ(balancer->pick({}), 1u);
  set.states[1]->begin();
  set.states[1]->begin();
  set.states[1]->begin();
  CHECK_EQ(balancer->pick({}), 0u);

  Set equal({1, 1, 1, 1});
  const auto turns = makeBalancer(BalanceAlgorithm::LeastConnections, equal.endpoints, 0);
  std::map<std::uint32_t, int> counts;
  for (int i = 0; i < 400; ++i) ++counts[turns->pick({})];
  for (std::uint32_t i = 0; i < 4; ++i) CHECK_EQ(counts[i], 100);
}

}  // namespace
}  // namespace tidegate
