// Flow control, of a stream or of a connection (RFC 9113 5.2 and 6.9): how much may be sent, and
// how much may be received.
#pragma once

#include <cstdint>

#include "http2/frame.h"

namespace tidegate::http2 {

// What the peer lets this side send.
class SendWindow {
 public:
  explicit SendWindow(std::uint32_t size = kDefaultWindow) : size_(size) {}

  // 0 while it is used up, or below 0 because the peer made it smaller (RFC 9113 6.9.2).
  std::uint32_t available() const { return size_ > 0 ? static_cast<std::uint32_t>(size_) : 0; }
  // At most available().
  void take(std::uint32_t bytes) { size_ -= bytes; }
  // WINDOW_UPDATE. False when it would be more than kMaxWindow: a FLOW_CONTROL_ERROR.
  [[nodiscard]] bool grow(std::uint32_t bytes) { return change(bytes); }
  // SETTINGS_INITIAL_WINDOW_SIZE has changed by so much.
  [[nodiscard]] bool change(std::int64_t bytes) {
    size_ += bytes;
    return size_ <= std::int64_t{kMaxWindow};
  }

 private:
  std::int64_t size_;
};

// What this side lets the peer send. Bytes that were received are given back when they have been
// used; how many is said when it is worth a frame: half of the window.
class ReceiveWindow {
 public:
  explicit ReceiveWindow(std::uint32_t size) : size_(size), left_(size) {}

  // What came, padding included. False when it is more than was allowed: a FLOW_CONTROL_ERROR.
  [[nodiscard]] bool take(std::uint32_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }
  // They are not held any more. Returns the increment that is due now, 0: none yet.
  std::uint32_t giveBack(std::uint32_t bytes) {
    used_ += bytes;
    if (used_ < size_ / 2 || used_ == 0) return 0;
    return giveBackAll();
  }
  // Whatever has been used, however little.
  std::uint32_t giveBackAll() {
    const std::uint32_t increment = used_;
    left_ += increment;
    used_ = 0;
    return increment;
  }
  std::uint32_t left() const { return left_; }
  std::uint32_t size() const { return size_; }

 private:
  std::uint32_t size_;
  std::uint32_t left_;      // what may still come
  std::uint32_t used_ = 0;  // received and used, not yet said to the peer
};

}  // namespace tidegate::http2
