// The ring between an I/O thread and the writer.
//
// Sleeping without a lost wake-up: the producer stores head_ and then loads wakeAt_, the consumer
// stores wakeAt_ and then loads head_. All four are sequentially consistent, so one of the two sees
// what the other has stored.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "observe/access_log.h"

namespace tidegate {

AccessRing::AccessRing(std::size_t bytes)
    : data_(std::make_unique_for_overwrite<char[]>(bytes)), mask_(bytes - 1) {
  assert(std::has_single_bit(bytes));
}

bool AccessRing::push(std::string_view line) {
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  if (line.size() > capacity() - (head - knownTail_)) {
    knownTail_ = tail_.load(std::memory_order_acquire);
    if (line.size() > capacity() - (head - knownTail_)) return false;
  }
  const std::size_t at = head & mask_;
  const std::size_t first = std::min(line.size(), capacity() - at);
  std::memcpy(data_.get() + at, line.data(), first);
  std::memcpy(data_.get(), line.data() + first, line.size() - first);
  head_.store(head + line.size(), std::memory_order_seq_cst);
  return true;
}

bool AccessRing::shouldWake() {
  const std::uint64_t wakeAt = wakeAt_.load(std::memory_order_seq_cst);
  if (head_.load(std::memory_order_relaxed) < wakeAt) [[likely]] {
    return false;
  }
  return wakeAt_.exchange(kNever, std::memory_order_relaxed) != kNever;
}

std::array<std::string_view, 2> AccessRing::peek() const {
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  const std::size_t length = head_.load(std::memory_order_acquire) - tail;
  const std::size_t at = tail & mask_;
  const std::size_t first = std::min(length, capacity() - at);
  return {std::string_view(data_.get() + at, first), {data_.get(), length - first}};
}

void AccessRing::release(std::size_t bytes) {
  tail_.store(tail_.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
}

bool AccessRing::arm(std::size_t bytes) {
  const std::uint64_t wakeAt = tail_.load(std::memory_order_relaxed) + bytes;
  wakeAt_.store(wakeAt, std::memory_order_seq_cst);
  if (head_.load(std::memory_order_seq_cst) < wakeAt) return true;
  disarm();
  return false;
}

void AccessRing::disarm() { wakeAt_.store(kNever, std::memory_order_relaxed); }

}  // namespace tidegate
