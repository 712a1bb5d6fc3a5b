// io_uring without a library: one thread's submission and completion rings, and a pool of receive
// buffers that the kernel picks from. Needs Linux 6.1.
#pragma once

#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace tidegate::bench {

class Ring {
 public:
  // Nothing when the kernel has no io_uring, an old one, or forbids it.
  static std::optional<Ring> open();

  Ring(Ring&& other) noexcept;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  Ring& operator=(Ring&&) = delete;
  ~Ring();

  void accept(int listener, std::uint64_t tag);  // multishot
  // Into a buffer of the pool: see `received`. `multishot` goes on until a completion without
  // IORING_CQE_F_MORE.
  void receive(int fd, bool multishot, std::uint64_t tag);
  void send(int fd, std::string_view bytes, std::uint64_t tag);  // all of it, or an error
  void connect(int fd, const void* address, std::uint32_t length, std::uint64_t tag);
  void read(int fd, std::span<char> into, std::uint64_t tag);
  void close(int fd);  // completes unseen

  // Hands the kernel what was queued and collects completions. With `wait`, blocks until there is
  // one; otherwise does not enter the kernel unless it has work for it.
  void turn(bool wait);

  // Calls `use(tag, result, flags)` for each completion at hand, which may queue more. False when
  // there was none.
  template <typename Use>
  bool drain(Use use) {
    const std::uint32_t first = *cqHead_;
    std::uint32_t head = first;
    while (head != __atomic_load_n(cqTail_, __ATOMIC_ACQUIRE)) {
      const io_uring_cqe cqe = cqes_[head & cqMask_];
      __atomic_store_n(cqHead_, ++head, __ATOMIC_RELEASE);
      use(cqe.user_data, cqe.res, cqe.flags);
    }
    return head != first;
  }

  // The bytes of a receive's completion; borrowed until `recycle`.
  std::string_view received(std::int32_t result, std::uint32_t flags) const;
  void recycle(std::uint32_t flags);

 private:
  Ring() = default;
  io_uring_sqe& next();
  void enter(std::uint32_t wait);
  void provide(std::uint16_t buffer);

  static constexpr std::uint32_t kEntries = 4096;
  static constexpr std::uint32_t kBuffers = 1024;  // a power of two
  static constexpr std::uint32_t kBufferSize = 16u << 10;

  int fd_ = -1;
  std::byte* rings_ = nullptr;
  std::size_t ringsSize_ = 0;
  io_uring_sqe* sqes_ = nullptr;
  std::uint32_t* sqHead_ = nullptr;
  std::uint32_t* sqTail_ = nullptr;
  std::uint32_t* sqFlags_ = nullptr;
  std::uint32_t queued_ = 0;  // the tail to tell the kernel of
  std::uint32_t sqMask_ = 0;
  std::uint32_t* cqHead_ = nullptr;
  std::uint32_t* cqTail_ = nullptr;
  io_uring_cqe* cqes_ = nullptr;
  std::uint32_t cqMask_ = 0;
  io_uring_buf_ring* pool_ = nullptr;
  std::uint16_t poolTail_ = 0;
  std::vector<char> buffers_;
};

}  // namespace tidegate::bench
