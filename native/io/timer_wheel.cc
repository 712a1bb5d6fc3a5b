// The wheel's arithmetic. A timer stands on the level of the highest bit in which its time differs
// from the wheel's, so it cascades at most once a level on its way down.
#include "io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace tidegate {

void TimerWheel::schedule(Timer& timer, std::uint64_t whenMillis) {
  timer.unlink();
  timer.when_ = std::max(whenMillis, elapsed_ + 1);
  place(timer);
}

void TimerWheel::place(Timer& timer) {
  constexpr std::uint64_t kReach = std::uint64_t{1} << (kBits * kLevels);
  const std::uint64_t when = std::min(timer.when_, elapsed_ + kReach - 1);
  const std::uint64_t differing = (elapsed_ ^ when) | (kSlots - 1);
  unsigned level = static_cast<unsigned>(std::bit_width(differing) - 1) / kBits;
  level = std::min(level, kLevels - 1);
  const unsigned slot = static_cast<unsigned>(when >> (level * kBits)) & (kSlots - 1);
  slots_[level][slot].pushBack(&timer);
  occupied_[level] |= std::uint64_t{1} << slot;
}

TimerWheel::Expiry TimerWheel::next() const {
  for (unsigned level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const unsigned shift = level * kBits;
    const unsigned now = static_cast<unsigned>(elapsed_ >> shift) & (kSlots - 1);
    const auto ahead =
        static_cast<unsigned>(std::countr_zero(std::rotr(occupied_[level], static_cast<int>(now))));
    const unsigned slot = (now + ahead) & (kSlots - 1);
    const std::uint64_t range = std::uint64_t{1} << (shift + kBits);
    std::uint64_t deadline = (elapsed_ & ~(range - 1)) + (std::uint64_t{slot} << shift);
    // Only the top level wraps: on the others, every slot that is behind has been emptied already.
    if (slot < now || (level > 0 && slot == now)) deadline += range;
    return {true, level, slot, deadline};
  }
  return {};
}

void TimerWheel::advance(std::uint64_t nowMillis, std::size_t most) {
  for (;;) {
    const Expiry expiry = next();
    if (!expiry.any || expiry.deadline > nowMillis) break;
    elapsed_ = std::max(elapsed_, expiry.deadline);
    List& slot = slots_[expiry.level][expiry.slot];
    List due;
    due.splice(slot);
    occupied_[expiry.level] &= ~(std::uint64_t{1} << expiry.slot);
    // Those of a higher level that are due now pass by the lowest one, where the rest can wait.
    if (expiry.level > 0) {
      while (Timer* timer = due.popFront()) place(*timer);
    }
    while (!due.empty()) {
      if (most-- == 0) {
        slot.splice(due);
        occupied_[expiry.level] |= std::uint64_t{1} << expiry.slot;
        return;
      }
      due.popFront()->onTimer();
    }
  }
  elapsed_ = std::max(elapsed_, nowMillis);
}

int TimerWheel::timeoutMillis(std::uint64_t nowMillis) const {
  const Expiry expiry = next();
  if (!expiry.any) return -1;
  if (expiry.deadline <= nowMillis) return 0;
  return static_cast<int>(std::min<std::uint64_t>(expiry.deadline - nowMillis, 60'000));
}

}  // namespace tidegate
