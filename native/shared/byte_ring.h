// A ring of messages from one thread to another, with the protocol by which either side may sleep.
//
// Memory order. A position is stored after the bytes that it covers were written (head) or read
// (tail), and loaded before the other side touches them: release and acquire. Going to sleep is
// Dekker's: the sleeper stores its flag, then loads the position; the other side stores the
// position, then loads the flag. All four are seq_cst, so at least one of the two sees the other's
// store: either the sleeper does not sleep, or it is woken. The flag is taken by an exchange, so it
// wakes once. (Operations and not fences, which ThreadSanitizer does not know.)
#pragma once

#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace tidegate {

// Messages are contiguous, each behind its length in 4 bytes, aligned to 8. One thread calls what
// stands under Producer, one what stands under Consumer. Allocates when constructed only.
class ByteRing {
 public:
  static constexpr std::size_t kSmallest = 4 * 1024;
  static constexpr std::size_t kLargest = 16 * 1024 * 1024;

  // With its length it fills a quarter of the ring, so that half a ring has room for any message,
  // wherever it wraps.
  static constexpr std::size_t largestMessage(std::size_t capacity) { return capacity / 4 - 4; }

  // A power of two, kSmallest to kLargest.
  explicit ByteRing(std::size_t capacity)
      : bytes_(static_cast<std::byte*>(::operator new(capacity, kAlignment))), capacity_(capacity) {
    assert(std::has_single_bit(capacity) && capacity >= kSmallest && capacity <= kLargest);
  }
  ByteRing(const ByteRing&) = delete;
  ByteRing& operator=(const ByteRing&) = delete;

  std::size_t largestMessage() const { return largestMessage(capacity_); }

  // Producer

  // Room for a message of 1 to largestMessage() bytes; empty when there is none. Without commit()
  // nothing has happened.
  std::span<std::byte> reserve(std::size_t size) {
    assert(size > 0 && size <= largestMessage());
    const std::size_t frame = frameBytes(size);
    const std::size_t toEnd = capacity_ - offset(written_);
    skip_ = frame <= toEnd ? 0 : toEnd;
    if (!hasRoom(skip_ + frame)) return {};
    return {at(written_ + skip_) + kLengthBytes, size};
  }

  // Keeps the first `size` bytes (at least 1) of what was reserved last.
  void commit(std::size_t size) {
    assert(size > 0);
    if (skip_ != 0) storeLength(written_, kWrap);
    written_ += skip_;
    skip_ = 0;
    storeLength(written_, static_cast<std::uint32_t>(size));
    written_ += frameBytes(size);
  }

  // Shows what was committed. True when the consumer sleeps: wake it; once for each sleep.
  [[nodiscard]] bool publish() {
    if (written_ == published_) return false;
    published_ = written_;
    head_.store(written_, std::memory_order_seq_cst);
    return take(sleeping_);
  }

  // After reserve() found no room and everything was published: true when release() will tell that
  // half of the ring is free; false when it is by now, and nothing will be told.
  [[nodiscard]] bool askForRoom() {
    assert(written_ == published_);
    roomWanted_.store(true, std::memory_order_seq_cst);
    knownTail_ = tail_.load(std::memory_order_seq_cst);
    if (written_ - knownTail_ > capacity_ / 2) return true;
    roomWanted_.store(false, std::memory_order_relaxed);
    return false;
  }

  // Consumer

  // The oldest message; empty when there is none. Valid until release().
  std::span<const std::byte> front() {
    if (read_ == knownHead_) {
      knownHead_ = head_.load(std::memory_order_acquire);
      if (read_ == knownHead_) return {};
    }
    if (announced_) {
      announced_ = false;
      sleeping_.store(false, std::memory_order_relaxed);
    }
    // A marker is published with the message behind it.
    if (loadLength(read_) == kWrap) read_ += capacity_ - offset(read_);
    return {at(read_) + kLengthBytes, loadLength(read_)};
  }

  // The message that front() gave is done with.
  void pop() { read_ += frameBytes(loadLength(read_)); }

  // Gives the room of popped messages back. True when the producer asked for room and half of the
  // ring is free: tell it.
  [[nodiscard]] bool release() {
    if (read_ == released_) return false;
    released_ = read_;
    tail_.store(read_, std::memory_order_seq_cst);
    if (!roomWanted_.load(std::memory_order_seq_cst)) return false;
    return head_.load(std::memory_order_acquire) - read_ <= capacity_ / 2 && take(roomWanted_);
  }

  // True: publish() of the next message will tell the producer to wake us. False: there is one.
  [[nodiscard]] bool trySleep() {
    announced_ = true;
    sleeping_.store(true, std::memory_order_seq_cst);
    knownHead_ = head_.load(std::memory_order_seq_cst);
    if (read_ == knownHead_) return true;
    announced_ = false;
    sleeping_.store(false, std::memory_order_relaxed);
    return false;
  }

 private:
  static constexpr std::size_t kLine = 64;
  static constexpr std::align_val_t kAlignment{kLine};
  static constexpr std::size_t kLengthBytes = 4;
  // In place of a length: the next message is at the beginning of the ring.
  static constexpr std::uint32_t kWrap = ~std::uint32_t{0};

  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlignment); }
  };

  static std::size_t frameBytes(std::size_t size) {
    return (size + kLengthBytes + 7) & ~std::size_t{7};
  }
  static bool take(std::atomic<bool>& flag) {
    return flag.load(std::memory_order_seq_cst) && flag.exchange(false, std::memory_order_seq_cst);
  }

  std::size_t offset(std::uint64_t position) const { return position & (capacity_ - 1); }
  std::byte* at(std::uint64_t position) const { return bytes_.get() + offset(position); }
  void storeLength(std::uint64_t position, std::uint32_t length) {
    std::memcpy(at(position), &length, sizeof length);
  }
  std::uint32_t loadLength(std::uint64_t position) const {
    std::uint32_t length = 0;
    std::memcpy(&length, at(position), sizeof length);
    return length;
  }
  bool hasRoom(std::size_t size) {
    if (written_ + size - knownTail_ <= capacity_) return true;
    knownTail_ = tail_.load(std::memory_order_acquire);
    return written_ + size - knownTail_ <= capacity_;
  }

  // Set once. Positions count bytes since the beginning.
  const std::unique_ptr<std::byte, Free> bytes_;
  const std::size_t capacity_;
  // The producer's.
  alignas(kLine) std::uint64_t written_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t knownTail_ = 0;
  std::size_t skip_ = 0;  // to the end of the ring, by the reservation
  // The consumer's.
  alignas(kLine) std::uint64_t read_ = 0;
  std::uint64_t released_ = 0;
  std::uint64_t knownHead_ = 0;
  bool announced_ = false;
  // Shared: written by the producer; by the consumer; flags that one side sets and the other takes.
  alignas(kLine) std::atomic<std::uint64_t> head_{0};
  alignas(kLine) std::atomic<std::uint64_t> tail_{0};
  alignas(kLine) std::atomic<bool> sleeping_{false};
  alignas(kLine) std::atomic<bool> roomWanted_{false};
};

}  // namespace tidegate
