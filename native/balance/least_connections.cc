// Compares (active + 1) / weight by cross multiplication; among equals the turn goes round.
#include "balance/least_connections.h"

namespace tidegate {

LeastConnections::LeastConnections(std::span<const BalanceEndpoint> endpoints, std::uint32_t seed)
    : endpoints_(endpoints.begin(), endpoints.end()), start_(seed) {}

std::uint32_t LeastConnections::pick(const PickContext& context) {
  const auto count = static_cast<std::uint32_t>(endpoints_.size());
  ++start_;
  for (std::uint32_t attempt = 0; attempt < count; ++attempt) {
    std::uint32_t best = kNoEndpoint;
    std::uint64_t bestLoad = 0;
    for (std::uint32_t k = 0; k < count; ++k) {
      const std::uint32_t i = (start_ + k) % count;
      const BalanceEndpoint& endpoint = endpoints_[i];
      if (context.tried != nullptr && context.tried->test(i)) continue;
      if (endpoint.state->downUntilMillis() > context.nowMillis) continue;
      const std::uint64_t load = std::uint64_t{endpoint.state->active()} + 1;
      if (best == kNoEndpoint || load * endpoints_[best].weight < bestLoad * endpoint.weight) {
        best = i;
        bestLoad = load;
      }
    }
    if (best == kNoEndpoint) return best;
    if (endpoints_[best].state->admits(context.nowMillis, context.downForMillis)) return best;
  }
  return kNoEndpoint;
}

}  // namespace tidegate
