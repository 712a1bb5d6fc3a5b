// The clock of the bench's programs, and a wait that ends on time.
#pragma once

#include <sys/epoll.h>
#include <sys/prctl.h>

#include <cstdint>
#include <ctime>
#include <span>

namespace tidegate::bench {

inline constexpr std::uint64_t kSecond = 1'000'000'000;

// Nanoseconds since some moment; never goes back.
inline std::uint64_t nanoseconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

// The kernel lets a sleep last some 50 microseconds longer, unless it is told not to.
inline void wakeOnTime() { ::prctl(PR_SET_TIMERSLACK, 1UL); }

// Waits for events, for as many nanoseconds at most; epoll_wait knows milliseconds only. How many
// there are.
inline std::size_t waitFor(int epoll, std::span<epoll_event> events, std::uint64_t atMost) {
  const timespec limit{.tv_sec = static_cast<std::time_t>(atMost / kSecond),
                       .tv_nsec = static_cast<long>(atMost % kSecond)};
  const int count =
      ::epoll_pwait2(epoll, events.data(), static_cast<int>(events.size()), &limit, nullptr);
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

}  // namespace tidegate::bench
