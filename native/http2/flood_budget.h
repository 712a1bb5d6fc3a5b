// How much a peer may ask of a connection that is no work of ours: tokens that come back with time
// and with what the peer lets us do. Kept as the generic cell rate algorithm keeps it (ITU-T
// I.371): the moment at which all tokens will be back.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tidegate::http2 {

class FloodBudget {
 public:
  // `burst` at once, `perSecond` in the long run; full to begin with.
  constexpr FloodBudget(std::uint32_t burst, std::uint32_t perSecond)
      : burst_(std::uint64_t{burst} * kUnit), perSecond_(perSecond) {}

  // False when there are not so many left: the peer has to go.
  [[nodiscard]] bool spend(std::uint64_t nowMillis, std::uint32_t tokens = 1) {
    const std::uint64_t now = nowMillis * perSecond_;
    const std::uint64_t full = std::max(full_, now) + std::uint64_t{tokens} * kUnit;
    if (full - now > burst_) return false;
    full_ = full;
    return true;
  }
  void earn(std::uint32_t tokens) { full_ -= std::min(full_, std::uint64_t{tokens} * kUnit); }

 private:
  // Time counts in thousandths of what brings a token: milliseconds times tokens per second.
  static constexpr std::uint64_t kUnit = 1000;

  std::uint64_t burst_;
  std::uint64_t perSecond_;
  std::uint64_t full_ = 0;
};

}  // namespace tidegate::http2
