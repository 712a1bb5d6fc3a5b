// Hierarchical timing wheel (Varghese and Lauck, 1987): O(1) insert and cancel for any number of
// timers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/intrusive_list.h"

namespace tidegate {

struct TimerLink;

// Intrusive: lives in the object that waits. Unlink (cancel) before it is destroyed.
class Timer : public ListNode<TimerLink> {
 public:
  // The time that the wheel will fire it at, in milliseconds of the wheel's clock; only while
  // linked().
  std::uint64_t when() const { return when_; }

 protected:
  ~Timer() = default;

 private:
  friend class TimerWheel;
  virtual void onTimer() = 0;
  std::uint64_t when_ = 0;
};

// Resolution one millisecond; six levels of 64 slots. One thread owns it.
class TimerWheel {
 public:
  explicit TimerWheel(std::uint64_t nowMillis) : elapsed_(nowMillis) {}

  // Fires once, at the first advance() whose time is `whenMillis` or later, never inside
  // schedule(). Re-schedules when linked.
  void schedule(Timer& timer, std::uint64_t whenMillis);
  static void cancel(Timer& timer) { timer.unlink(); }

  // Fires what is due, `most` of it at most; the next call goes on with the rest. Callbacks may
  // schedule and cancel any timer.
  void advance(std::uint64_t nowMillis, std::size_t most = ~std::size_t{0});

  // Milliseconds until advance() has work to do (at most; a cascade may find nothing due), -1 when
  // no timer is set.
  int timeoutMillis(std::uint64_t nowMillis) const;

 private:
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1u << kBits;
  static constexpr unsigned kLevels = 6;

  struct Expiry {
    bool any = false;
    unsigned level = 0;
    unsigned slot = 0;
    std::uint64_t deadline = 0;
  };

  using List = IntrusiveList<Timer, TimerLink>;

  void place(Timer& timer);
  // A set bit may stand for a slot that cancel() has emptied since; advance() clears it on passing.
  Expiry next() const;

  std::uint64_t elapsed_;
  std::array<std::uint64_t, kLevels> occupied_{};
  std::array<std::array<List, kSlots>, kLevels> slots_;
};

}  // namespace tidegate
