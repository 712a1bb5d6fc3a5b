// Smooth weighted round-robin: each endpoint gets its share of every round, spread evenly over it
// (as in nginx).
#pragma once

#include <vector>

#include "balance/balancer.h"

namespace tidegate {

class RoundRobin final : public Balancer {
 public:
  RoundRobin(std::span<const BalanceEndpoint> endpoints, std::uint32_t seed);
  std::uint32_t pick(const PickContext& context) override;

 private:
  std::uint32_t choose(const PickContext& context);

  struct Entry {
    BalanceEndpoint endpoint;
    std::int64_t current = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace tidegate
