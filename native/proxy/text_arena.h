// Short-lived text of one event (composed header values, rewritten paths): bump allocation over
// pooled blocks.
#pragma once

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "io/buffer_pool.h"

namespace tidegate {

// One thread owns it. Everything that it gave out is void after reset().
class TextArena {
 public:
  explicit TextArena(BufferPool& pool) : pool_(pool) {}

  char* allocate(std::size_t bytes) {
    if (blocks_.empty() || used_ + bytes > blocks_.back().capacity()) {
      blocks_.push_back(pool_.acquire(bytes));
      used_ = 0;
    }
    char* at = blocks_.back().data() + used_;
    used_ += bytes;
    return at;
  }

  std::string_view join(std::initializer_list<std::string_view> parts) {
    std::size_t size = 0;
    for (const std::string_view part : parts) size += part.size();
    char* const begin = allocate(size);
    char* at = begin;
    for (const std::string_view part : parts) {
      if (part.empty()) continue;
      std::memcpy(at, part.data(), part.size());
      at += part.size();
    }
    return {begin, size};
  }

  // Keeps one block for the next event; the vector keeps its capacity.
  void reset() {
    if (blocks_.size() > 1) blocks_.resize(1);
    used_ = 0;
  }

 private:
  BufferPool& pool_;
  std::vector<Block> blocks_;
  std::size_t used_ = 0;
};

}  // namespace tidegate
