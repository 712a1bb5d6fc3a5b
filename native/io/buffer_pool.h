// Pooled blocks of bytes in few size classes. The next block is one that came back lately, and so
// warm in cache.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/cell_pool.h"
#include "base/reclaimer.h"

namespace tidegate {

class BufferPool;

// Owns one block; gives it back to its pool when it goes. Empty blocks cost eight bytes.
class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept : header_(std::exchange(other.header_, nullptr)) {}
  Block& operator=(Block&& other) noexcept {
    if (this != &other) {
      release();
      header_ = std::exchange(other.header_, nullptr);
    }
    return *this;
  }
  ~Block() { release(); }

  explicit operator bool() const { return header_ != nullptr; }
  // Only when there is a block.
  char* data() const { return reinterpret_cast<char*>(header_ + 1); }
  std::size_t capacity() const { return header_ == nullptr ? 0 : header_->capacity; }

  void release();

 private:
  friend class BufferPool;
  struct alignas(16) Header {
    union {
      BufferPool* pool;  // while in use
      Header* next;      // while in the pool
    };
    std::uint32_t capacity;
    std::uint16_t sizeClass;
    bool mapped;  // by itself, and not from the allocator
  };
  explicit Block(Header* header) : header_(header) {}
  Header* header_ = nullptr;
};

// One thread owns it; it must outlive its blocks.
class BufferPool final : public Reclaimable {
 public:
  static constexpr std::array<std::uint32_t, 4> kClasses = {4 * 1024, 16 * 1024, 80 * 1024,
                                                            272 * 1024};
  // Smaller ones are cells of chunks. From here on each is mapped by itself, so that the system has
  // its memory back when it is freed: from the allocator, what a flood has taken would stay with
  // the process.
  static constexpr std::size_t kMappedFrom = kClasses[2];
  // Bytes kept for reuse over the large classes; blocks beyond that are freed at once.
  static constexpr std::size_t kMaxKept = 32 * 1024 * 1024;
  // AddressSanitizer's allocator sees a byte too far, which a mapping of whole pages hides.
  static constexpr bool kMapsLarge = !CellPool::kOneEach;

  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  // A block of at least `bytes`. Larger than the largest class: allocated as asked and not kept.
  Block acquire(std::size_t bytes) {
    return bytes <= kClasses[0] - sizeof(Header) ? takeSmall(0) : acquireLarger(bytes);
  }

  std::size_t bytesInUse() const { return inUse_; }
  // Of blocks that are not in use; of small ones those in chunks that are empty.
  std::size_t bytesKept() const;

  // Reclaimable: what a steady load uses stays.
  void age() override;
  std::size_t reclaim() override;

 private:
  friend class Block;
  using Header = Block::Header;
  static constexpr std::uint16_t kOversize = kClasses.size();
  static constexpr std::uint16_t kSmallClasses = 2;
  static_assert(kClasses[kSmallClasses] == kMappedFrom);

  static Header* allocate(std::size_t total);
  static void free(Header* header);
  // `bytes` are more than a block of the smallest class has.
  Block acquireLarger(std::size_t bytes);
  Block takeSmall(std::uint16_t sizeClass) {
    auto* const header = static_cast<Header*>(small_[sizeClass].take());
    header->mapped = false;
    return begin(header, kClasses[sizeClass], sizeClass);
  }
  // A block of `total` bytes, its header included.
  Block begin(Header* header, std::size_t total, std::uint16_t sizeClass) {
    inUse_ += total;
    header->pool = this;
    header->capacity = static_cast<std::uint32_t>(total - sizeof(Header));
    header->sizeClass = sizeClass;
    return Block(header);
  }
  void giveBack(Header* header);

  struct FreeList {
    Header* first = nullptr;
    std::size_t count = 0;
    std::size_t unneeded = 0;  // the smallest count since the last age()
    std::size_t due = 0;
  };

  std::size_t freeFirst(FreeList& list);

  std::array<CellPool, kSmallClasses> small_ = {CellPool(kClasses[0], alignof(Header)),
                                                CellPool(kClasses[1], alignof(Header))};
  std::array<FreeList, kClasses.size() - kSmallClasses> large_{};
  std::size_t inUse_ = 0;
  std::size_t kept_ = 0;  // of large blocks
};

inline void Block::release() {
  if (header_ == nullptr) return;
  Header* header = std::exchange(header_, nullptr);
  header->pool->giveBack(header);
}

}  // namespace tidegate
