// The frames that a connection has to write: one pooled block, written in one call. Frames that
// have not been handed to the transport can still get a flag, so that the last one of a stream says
// that it is the last.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "http2/frame.h"
#include "io/buffer_pool.h"
#include "io/output.h"
#include "io/transport.h"

namespace tidegate::http2 {

class FrameBuffer {
 public:
  // Room for `bytes` contiguous bytes; commit() says where what was written ends.
  char* reserve(BufferPool& pool, std::size_t bytes) {
    if (end_ + bytes > block_.capacity()) {
      const std::size_t used = size();
      Block larger = pool.acquire(used + bytes);
      if (used > 0) std::memcpy(larger.data(), block_.data() + begin_, used);
      block_ = std::move(larger);
      begin_ = 0;
      end_ = static_cast<std::uint32_t>(used);
    }
    return block_.data() + end_;
  }
  void commit(const char* end) { end_ = static_cast<std::uint32_t>(end - block_.data()); }

  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }

  // Positions among all bytes of the connection: where the next frame begins, and up to where the
  // kernel has them.
  std::uint64_t position() const { return written_ + size(); }
  std::uint64_t written() const { return written_; }

  // Adds flags to the frame that begins at `position`. False when the transport may have seen it.
  bool addFlags(std::uint64_t position, std::uint8_t flags) {
    if (position < seen_ || position < written_ || position >= this->position()) return false;
    constexpr std::size_t kFlagsAt = 4;
    char& byte = block_.data()[begin_ + (position - written_) + kFlagsAt];
    byte = static_cast<char>(static_cast<std::uint8_t>(byte) | flags);
    return true;
  }

  Output::FlushResult flush(Transport& transport) {
    Output::FlushResult result;
    if (empty()) return result;
    const iovec all{block_.data() + begin_, size()};
    const IoResult io = transport.write({&all, 1});
    if (io.status == IoResult::Status::Failed) return {Output::Status::Failed, io.error, 0};
    result.bytes = io.bytes;
    begin_ += static_cast<std::uint32_t>(io.bytes);
    written_ += io.bytes;
    if (empty()) {
      clear();
    } else {
      // The transport is full, and may have made up its mind about the bytes that it did not take.
      result.status = Output::Status::Blocked;
      seen_ = position();
    }
    return result;
  }

  void clear() {
    block_.release();
    begin_ = end_ = 0;
  }

 private:
  Block block_;
  std::uint32_t begin_ = 0;
  std::uint32_t end_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace tidegate::http2
