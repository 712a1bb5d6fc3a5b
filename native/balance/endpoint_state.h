// What all I/O threads share about one endpoint: its health and load. Lives as long as any snapshot
// that names the endpoint, so that a reload forgets nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "io/socket_address.h"

namespace tidegate {

// Passive health: `failures` in a row take the endpoint out for `downFor`; then single exchanges
// try it again until one succeeds. Any thread; times are milliseconds of the monotonic clock.
class alignas(64) EndpointState {
 public:
  EndpointState(std::uint32_t id, std::string name, SocketAddress address)
      : id(id), name(std::move(name)), address(address) {}

  const std::uint32_t id;  // dense over the process: index of each thread's pool
  const std::string name;  // as configured
  const SocketAddress address;

  // Whether an exchange may go there now. For an endpoint that is down, true once each
  // `downForMillis`, to one caller.
  bool admits(std::uint64_t nowMillis, std::uint64_t downForMillis) {
    std::uint64_t until = downUntil_.load(std::memory_order_relaxed);
    if (until == 0) return true;
    if (nowMillis < until) return false;
    return downUntil_.compare_exchange_strong(until, nowMillis + downForMillis,
                                              std::memory_order_relaxed);
  }

  void recordSuccess() {
    // Loads first: in the good case nothing is written, and the cache line stays shared.
    if (failures_.load(std::memory_order_relaxed) != 0)
      failures_.store(0, std::memory_order_relaxed);
    if (downUntil_.load(std::memory_order_relaxed) != 0)
      downUntil_.store(0, std::memory_order_relaxed);
  }

  // `limit` 0: passive health is off.
  void recordFailure(std::uint64_t nowMillis, std::uint32_t limit, std::uint64_t downForMillis) {
    if (limit == 0) return;
    if (failures_.fetch_add(1, std::memory_order_relaxed) + 1 >= limit) {
      downUntil_.store(nowMillis + downForMillis, std::memory_order_relaxed);
    }
  }

  bool isDown() const { return downUntil_.load(std::memory_order_relaxed) != 0; }
  // 0 when it is up.
  std::uint64_t downUntilMillis() const { return downUntil_.load(std::memory_order_relaxed); }

  // Exchanges under way, for least-connections.
  void begin() { active_.fetch_add(1, std::memory_order_relaxed); }
  void end() { active_.fetch_sub(1, std::memory_order_relaxed); }
  std::uint32_t active() const { return active_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint32_t> failures_{0};
  std::atomic<std::uint32_t> active_{0};
  std::atomic<std::uint64_t> downUntil_{0};
};

}  // namespace tidegate
