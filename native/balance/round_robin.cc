// At each choice every eligible endpoint gains its weight; the one that has gained most is chosen
// and pays the sum.
#include "balance/round_robin.h"

namespace tidegate {

RoundRobin::RoundRobin(std::span<const BalanceEndpoint> endpoints, std::uint32_t seed) {
  entries_.reserve(endpoints.size());
  for (const BalanceEndpoint& endpoint : endpoints) entries_.push_back({endpoint, 0});
  // Another thread's round begins elsewhere: as if some choices had been made already.
  const std::size_t skip = entries_.empty() ? 0 : seed % entries_.size();
  for (std::size_t i = 0; i < skip; ++i) pick({});
}

std::uint32_t RoundRobin::pick(const PickContext& context) {
  // Another thread may take the one try of an endpoint that is down; then the choice is made again
  // without it.
  for (std::size_t attempt = 0; attempt < entries_.size(); ++attempt) {
    const std::uint32_t chosen = choose(context);
    if (chosen == kNoEndpoint) return chosen;
    if (entries_[chosen].endpoint.state->admits(context.nowMillis, context.downForMillis))
      return chosen;
  }
  return kNoEndpoint;
}

std::uint32_t RoundRobin::choose(const PickContext& context) {
  if (entries_.size() == 1) {
    return context.tried != nullptr && context.tried->test(0) ? kNoEndpoint : 0;
  }
  std::uint32_t best = kNoEndpoint;
  std::int64_t total = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (context.tried != nullptr && context.tried->test(i)) continue;
    if (entry.endpoint.state->downUntilMillis() > context.nowMillis) continue;
    entry.current += entry.endpoint.weight;
    total += entry.endpoint.weight;
    if (best == kNoEndpoint || entry.current > entries_[best].current) best = i;
  }
  if (best == kNoEndpoint) return best;
  entries_[best].current -= total;
  return best;
}

}  // namespace tidegate
