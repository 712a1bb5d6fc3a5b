// What a connection has to write: bytes of its own in one pooled block, and at most one borrowed
// part that goes out without being copied unless the transport is full.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/buffer_pool.h"
#include "io/transport.h"

namespace tidegate {

class Output {
 public:
  // Room for `bytes` contiguous bytes; commit() says how many were written. Never fails.
  char* reserve(BufferPool& pool, std::size_t bytes) {
    if (end_ + bytes > block_.capacity()) grow(pool, bytes);
    return block_.data() + end_;
  }
  void commit(std::size_t bytes) { end_ += static_cast<std::uint32_t>(bytes); }

  void append(BufferPool& pool, std::string_view bytes);

  // The bytes must stay where they are until the next flush(), in the same event. Small parts are
  // copied; so are all after the first large one.
  void appendBorrowed(BufferPool& pool, std::string_view bytes);

  bool empty() const { return begin_ == end_ && borrowed_.empty(); }
  std::size_t size() const { return end_ - begin_ + borrowed_.size(); }

  enum class Status : std::uint8_t {
    Done,     // nothing is left, the block went back to the pool
    Blocked,  // the transport is full; what is left is owned
    Failed,
  };
  struct FlushResult {
    Status status = Status::Done;
    int error = 0;
    std::size_t bytes = 0;
  };
  FlushResult flush(BufferPool& pool, Transport& transport);

  void clear();

 private:
  // Below this, copying is cheaper than another part of the system call.
  static constexpr std::size_t kCopyBelow = 2 * 1024;

  IoResult writeOwn(Transport& transport) const;
  // With the borrowed part.
  IoResult writeAll(Transport& transport) const;
  // Another block, with room for `bytes` behind what is there.
  void grow(BufferPool& pool, std::size_t bytes);
  // Drops the first `bytes` and copies what is left of the borrowed part.
  void consume(BufferPool& pool, std::size_t bytes);

  Block block_;
  std::uint32_t begin_ = 0;
  std::uint32_t end_ = 0;
  std::uint32_t borrowedAt_ = 0;  // the borrowed part stands before this position of the block
  std::string_view borrowed_;
};

}  // namespace tidegate
