// Memory for many objects of one size. Last in, first out: the next cell is the one that came back
// last, and so warm in cache. What nobody has needed for a while goes back to the chunk that it is
// of. Another cell comes from a chunk that is in use already as long as one has room, so that after
// a peak whole chunks become empty and can go back to the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "base/intrusive_list.h"
#include "base/reclaimer.h"

// AddressSanitizer's allocator sees a byte too far where each cell is an allocation of its own.
#if defined(__SANITIZE_ADDRESS__)
#define TIDEGATE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TIDEGATE_ASAN 1
#endif
#endif
#if defined(TIDEGATE_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace tidegate {

struct ChunkLink;

// One thread owns it. Every operation takes constant time, but for age(), which may give some
// hundred cells back to their chunks. Cells must not be used after it.
class CellPool final : public Reclaimable {
 public:
#if defined(TIDEGATE_ASAN)
  static constexpr bool kOneEach = true;
#else
  static constexpr bool kOneEach = false;
#endif

  // `alignment` is a power of two, of at most a page.
  CellPool(std::size_t bytes, std::size_t alignment);
  CellPool(const CellPool&) = delete;
  CellPool& operator=(const CellPool&) = delete;
  ~CellPool();

  // A cell whose bytes are undefined. Never fails: the process ends when there is no memory.
  void* take() {
    Cell* const cell = spare_;
    if (cell == nullptr) return takeFromChunk();
    unpoison(cell);
    spare_ = cell->next;
    if (--spareCount_ < unneededSpare_) unneededSpare_ = spareCount_;
    return cell;
  }

  void giveBack(void* cell) {
    if (spareCount_ == mostSpare_) {
      giveBackToChunk(cell);
      return;
    }
    auto* const link = static_cast<Cell*>(cell);
    link->next = spare_;
    spare_ = link;
    ++spareCount_;
    poison(cell);
  }

  // Cells that are in use.
  std::size_t used() const { return taken_ - spareCount_; }
  // Of all chunks.
  std::size_t bytes() const { return chunks_ * chunkBytes_; }
  // Of those that no cell of is in use and that may go.
  std::size_t idleBytes() const { return idleCount_ * chunkBytes_; }

  // Reclaimable
  void age() override;
  std::size_t reclaim() override;

 private:
  struct Cell {
    Cell* next;
  };
  struct Chunk : ListNode<ChunkLink> {
    Cell* free = nullptr;     // those that came back
    std::uint32_t fresh = 0;  // how many have been used at all
    std::uint32_t used = 0;
    bool mapped = false;  // and not from the allocator
  };
  using Chunks = IntrusiveList<Chunk, ChunkLink>;

  Chunk* chunkOf(void* cell) const {
    auto* const at = static_cast<std::byte*>(cell);
    if constexpr (kOneEach) return reinterpret_cast<Chunk*>(at - offset_);
    const std::size_t beyond = reinterpret_cast<std::uintptr_t>(at) & (chunkBytes_ - 1);
    return reinterpret_cast<Chunk*>(at - beyond);
  }
  void* takeFromChunk();
  void giveBackToChunk(void* cell);
  void releaseSpare();
  Chunk* openAnother();
  std::align_val_t alignment() const;
  void* allocate(bool& mapped) const;
  void free(Chunk* chunk);
  void freeAll(Chunks& chunks);

  // What was given back is not to be used.
#if defined(TIDEGATE_ASAN)
  void poison(void* cell) const { ASAN_POISON_MEMORY_REGION(cell, stride_); }
  void unpoison(void* cell) const { ASAN_UNPOISON_MEMORY_REGION(cell, stride_); }
#else
  static void poison(void*) {}
  static void unpoison(void*) {}
#endif

  const std::size_t stride_;      // from a cell to the next
  const std::size_t offset_;      // of a chunk's first one
  const std::size_t chunkBytes_;  // a power of two, to which chunks are aligned; or one cell's
  const std::uint32_t cells_;     // of a chunk
  const std::size_t mostSpare_;
  // Those that came back last, in front of their chunks, which count them as used.
  Cell* spare_ = nullptr;
  std::size_t spareCount_ = 0;
  std::size_t unneededSpare_ = 0;  // the fewest since the last age()
  std::size_t taken_ = 0;          // from chunks
  std::size_t chunks_ = 0;
  Chunks open_;  // with room and with cells in use
  Chunks full_;
  Chunks idle_;
  std::size_t idleCount_ = 0;
  std::size_t unneeded_ = 0;  // the fewest idle ones since the last age()
  std::size_t due_ = 0;
};

}  // namespace tidegate
