// Frames that make work for this side and do none (SETTINGS, PING, empty DATA ...) are taken from a
// budget, so that a peer cannot keep a connection busy with them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tidegate::http2 {

// A bucket that fills with time, and with what the connection is there for.
class ControlBudget {
 public:
  static constexpr std::uint32_t kBurst = 2'000;
  static constexpr std::uint32_t kPerSecond = 100;

  explicit ControlBudget(std::uint64_t nowMillis) : filledAt_(nowMillis) {}

  // False: the peer has spent it all.
  [[nodiscard]] bool spend(std::uint64_t nowMillis) {
    if (left_ == 0) {
      const std::uint64_t earned = (nowMillis - filledAt_) * kPerSecond / 1'000;
      if (earned == 0) return false;
      left_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(earned, kBurst));
      filledAt_ = nowMillis;
    }
    --left_;
    return true;
  }

  // A frame of a message was sent or received.
  void earn(std::uint32_t frames = 1) { left_ = std::min(left_ + frames, kBurst); }

 private:
  std::uint32_t left_ = kBurst;
  std::uint64_t filledAt_;
};

}  // namespace tidegate::http2
