// Makes the balancer that an upstream asks for.
#include "balance/balancer.h"

#include "balance/least_connections.h"
#include "balance/round_robin.h"

namespace tidegate {

std::unique_ptr<Balancer> makeBalancer(BalanceAlgorithm algorithm,
                                       std::span<const BalanceEndpoint> endpoints,
                                       std::uint32_t seed) {
  switch (algorithm) {
    case BalanceAlgorithm::LeastConnections:
      return std::make_unique<LeastConnections>(endpoints, seed);
    case BalanceAlgorithm::RoundRobin:
      break;
  }
  return std::make_unique<RoundRobin>(endpoints, seed);
}

}  // namespace tidegate
