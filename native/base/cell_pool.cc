// Chunks: where they come from, and how they go.
#include "base/cell_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace tidegate {

namespace {

// So that mapping one is seldom, and so that one that is left over costs little.
constexpr std::size_t kLeastChunk = 64 * 1024;
constexpr std::size_t kLeastCells = 16;
constexpr std::size_t kLeastCell = sizeof(void*);

// Kept in front of the chunks: what a steady load has under way comes and goes here. An HTTP/2
// client may begin and end hundreds of requests in one turn of the loop.
constexpr std::size_t kSpareBytes = 1024 * 1024;
constexpr std::size_t kLeastSpare = 16;
constexpr std::size_t kMostSpare = 512;

constexpr std::size_t kCacheLine = 64;
// Addresses so far apart share a place in the first cache.
constexpr std::size_t kCachePeriod = 4 * 1024;

constexpr std::size_t roundUp(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// From a cell to the next. Cells of whole pages would compete for the same places in the caches.
constexpr std::size_t strideOf(std::size_t bytes, std::size_t alignment) {
  const std::size_t unit = std::max(alignment, kLeastCell);
  const std::size_t stride = roundUp(std::max(bytes, kLeastCell), unit);
  const bool pages = !CellPool::kOneEach && stride % kCachePeriod == 0;
  return pages ? stride + std::max(unit, kCacheLine) : stride;
}

// Pages at an address that is a multiple of `bytes`, which is a power of two; nullptr: the system
// has none.
void* mapAligned(std::size_t bytes) {
  const std::size_t room = 2 * bytes;
  void* const pages =
      mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  auto* const at = static_cast<std::byte*>(pages);
  const std::size_t before = (bytes - reinterpret_cast<std::uintptr_t>(at) % bytes) % bytes;
  if (before > 0) munmap(at, before);
  munmap(at + before + bytes, room - before - bytes);
  return at + before;
}

}  // namespace

CellPool::CellPool(std::size_t bytes, std::size_t alignment)
    : stride_(strideOf(bytes, alignment)),
      offset_(roundUp(sizeof(Chunk), std::max(alignment, alignof(Chunk)))),
      chunkBytes_(kOneEach ? offset_ + stride_
                           : std::max(kLeastChunk, std::bit_ceil(stride_ * kLeastCells))),
      cells_(static_cast<std::uint32_t>((chunkBytes_ - offset_) / stride_)),
      mostSpare_(std::clamp(kSpareBytes / stride_, kLeastSpare, kMostSpare)) {}

CellPool::~CellPool() {
  while (spare_ != nullptr) releaseSpare();
  for (Chunks* chunks : {&open_, &full_, &idle_}) freeAll(*chunks);
}

void CellPool::freeAll(Chunks& chunks) {
  while (Chunk* chunk = chunks.popFront()) free(chunk);
}

void* CellPool::takeFromChunk() {
  Chunk* chunk = open_.front();
  if (chunk == nullptr) chunk = openAnother();
  void* cell = chunk->free;
  if (cell != nullptr) {
    unpoison(cell);
    chunk->free = static_cast<Cell*>(cell)->next;
  } else {
    // Not before it is needed: memory that nobody has touched costs nothing.
    cell = reinterpret_cast<std::byte*>(chunk) + offset_ + chunk->fresh++ * stride_;
  }
  ++taken_;
  if (++chunk->used == cells_) {
    chunk->unlink();
    full_.pushBack(chunk);
  }
  return cell;
}

void CellPool::giveBackToChunk(void* cell) {
  Chunk* const chunk = chunkOf(cell);
  auto* const link = static_cast<Cell*>(cell);
  link->next = chunk->free;
  chunk->free = link;
  poison(cell);
  --taken_;
  if (--chunk->used == 0) {
    chunk->unlink();
    idle_.pushFront(chunk);
    ++idleCount_;
  } else if (chunk->used == cells_ - 1) {
    chunk->unlink();
    open_.pushFront(chunk);
  }
}

void CellPool::releaseSpare() {
  Cell* const cell = spare_;
  unpoison(cell);
  spare_ = cell->next;
  --spareCount_;
  giveBackToChunk(cell);
}

CellPool::Chunk* CellPool::openAnother() {
  Chunk* chunk = idle_.popFront();
  if (chunk != nullptr) {
    unneeded_ = std::min(unneeded_, --idleCount_);
  } else {
    bool mapped = false;
    void* const memory = allocate(mapped);
    chunk = new (memory) Chunk;
    chunk->mapped = mapped;
    ++chunks_;
  }
  open_.pushFront(chunk);
  return chunk;
}

void CellPool::age() {
  for (; unneededSpare_ > 0; --unneededSpare_) releaseSpare();
  unneededSpare_ = spareCount_;
  due_ = (unneeded_ + 1) / 2;
  unneeded_ = idleCount_;
}

std::size_t CellPool::reclaim() {
  if (due_ == 0 || idleCount_ == 0) return due_ = 0;
  --due_;
  Chunk* const chunk = idle_.back();
  chunk->unlink();
  free(chunk);
  unneeded_ = std::min(unneeded_, --idleCount_);
  return chunkBytes_;
}

std::align_val_t CellPool::alignment() const {
  // The first cell's, where it is the only one.
  return std::align_val_t{kOneEach ? std::size_t{1} << std::countr_zero(offset_) : chunkBytes_};
}

void* CellPool::allocate(bool& mapped) const {
  if constexpr (!kOneEach) {
    void* const pages = mapAligned(chunkBytes_);
    // The system counts mappings too: out of those, the allocator may still have memory.
    mapped = pages != nullptr;
    if (mapped) return pages;
  }
  return ::operator new(chunkBytes_, alignment());
}

void CellPool::free(Chunk* chunk) {
  --chunks_;
  if (kOneEach && chunk->free != nullptr) unpoison(chunk->free);
  const bool mapped = chunk->mapped;
  chunk->~Chunk();
  if (mapped) {
    munmap(chunk, chunkBytes_);
  } else {
    ::operator delete(static_cast<void*>(chunk), alignment());
  }
}

}  // namespace tidegate
