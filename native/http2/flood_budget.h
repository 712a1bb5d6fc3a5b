// How much a peer may ask of a connection that is no work of ours: a bucket of tokens that fills up
// with time and with what the peer lets us do.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tidegate::http2 {

class FloodBudget {
 public:
  // `burst` at once, `perSecond` in the long run.
  constexpr FloodBudget(std::uint32_t burst, std::uint32_t perSecond, std::uint64_t nowMillis)
      : burst_(burst), perSecond_(perSecond), tokens_(burst), refilledAt_(nowMillis) {}

  // False when there are not so many left: the peer has to go.
  [[nodiscard]] bool spend(std::uint64_t nowMillis, std::uint32_t tokens = 1) {
    if (tokens_ < tokens) refill(nowMillis);
    if (tokens_ < tokens) return false;
    tokens_ -= tokens;
    return true;
  }
  void earn(std::uint32_t tokens) { tokens_ = std::min(burst_, tokens_ + tokens); }

 private:
  // Asked for only when the tokens do not suffice: what it costs otherwise is one subtraction.
  void refill(std::uint64_t nowMillis) {
    const std::uint64_t due = (nowMillis - refilledAt_) * perSecond_ / 1000;
    if (due == 0) return;
    tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(burst_, tokens_ + due));
    refilledAt_ = nowMillis;
  }

  const std::uint32_t burst_;
  const std::uint32_t perSecond_;
  std::uint32_t tokens_;
  std::uint64_t refilledAt_;
};

}  // namespace tidegate::http2
