// The balancer seam: choose an endpoint of a set, told what was tried already. A balancer is built
// from a set and swapped whole when the set changes; one I/O thread owns each.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <span>

#include "balance/endpoint_state.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// What one upstream may have at most; larger configurations are refused.
inline constexpr std::size_t kMaxEndpoints = 1024;

struct BalanceEndpoint {
  EndpointState* state = nullptr;  // outlives the balancer
  std::uint32_t weight = 1;
};

struct PickContext {
  std::uint64_t nowMillis = 0;
  std::uint64_t downForMillis = 0;
  // Endpoints that this exchange has failed on; they are chosen only when nothing else is left.
  // nullptr: none.
  const std::bitset<kMaxEndpoints>* tried = nullptr;
};

inline constexpr std::uint32_t kNoEndpoint = 0xffffffff;

class Balancer {
 public:
  virtual ~Balancer() = default;
  // Index into the set, or kNoEndpoint when every endpoint is down or was tried. Never allocates.
  virtual std::uint32_t pick(const PickContext& context) = 0;
};

// `seed` differs between threads, so that they do not all begin with the same endpoint.
std::unique_ptr<Balancer> makeBalancer(BalanceAlgorithm algorithm,
                                       std::span<const BalanceEndpoint> endpoints,
                                       std::uint32_t seed);

}  // namespace tidegate
