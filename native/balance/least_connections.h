// Least connections: the endpoint with the fewest exchanges under way for its weight, over all
// threads.
#pragma once

#include <vector>

#include "balance/balancer.h"

namespace tidegate {

class LeastConnections final : public Balancer {
 public:
  LeastConnections(std::span<const BalanceEndpoint> endpoints, std::uint32_t seed);
  std::uint32_t pick(const PickContext& context) override;

 private:
  std::vector<BalanceEndpoint> endpoints_;
  std::uint32_t start_;
};

}  // namespace tidegate
