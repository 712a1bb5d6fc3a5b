// The system's clocks. Any thread.
#pragma once

#include <time.h>

#include <cstdint>

namespace tidegate {

namespace clocks {

inline std::uint64_t nanosOf(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace clocks

// Since some moment before; never set back.
inline std::uint64_t monotonicNanos() { return clocks::nanosOf(CLOCK_MONOTONIC); }
inline std::uint64_t monotonicMicros() { return monotonicNanos() / 1'000; }
inline std::uint64_t monotonicMillis() { return monotonicNanos() / 1'000'000; }

// Since 1970, as the system has it.
inline std::uint64_t realtimeMillis() { return clocks::nanosOf(CLOCK_REALTIME) / 1'000'000; }

}  // namespace tidegate
