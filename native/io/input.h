// Bytes that were read but could not be used yet: a partial head, pipelined requests, body that the
// other side does not take at the moment. Empty most of the time, and then it holds no block.
#pragma once

#include <cstring>
#include <span>
#include <string_view>

#include "io/buffer_pool.h"

namespace tidegate {

class Input {
 public:
  bool empty() const { return begin_ == end_; }
  std::string_view view() const {
    return {block_ ? block_.data() + begin_ : nullptr, end_ - begin_};
  }

  // Copies `bytes`, which are not part of this buffer, behind what is there.
  void keep(BufferPool& pool, std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(room(pool, bytes.size()).data(), bytes.data(), bytes.size());
    end_ += bytes.size();
  }

  // At least `bytes` of free space behind what is there, for reading into; grow() takes what was
  // read.
  std::span<char> room(BufferPool& pool, std::size_t bytes) {
    if (end_ + bytes > block_.capacity()) {
      const std::size_t used = end_ - begin_;
      Block larger = pool.acquire(used + bytes);
      if (used > 0) std::memcpy(larger.data(), block_.data() + begin_, used);
      block_ = std::move(larger);
      begin_ = 0;
      end_ = used;
    }
    return {block_.data() + end_, block_.capacity() - end_};
  }
  void grow(std::size_t bytes) { end_ += bytes; }

  // Drops bytes from the front (at most all); gives the block back when nothing is left.
  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ >= end_) clear();
  }

  void clear() {
    block_.release();
    begin_ = end_ = 0;
  }

 private:
  Block block_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace tidegate
