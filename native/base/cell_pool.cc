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

constexpr std::size_t roundUp(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
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
    : stride_(roundUp(std::max(bytes, sizeof(Cell)), std::max(alignment, alignof(Cell)))),
      offset_(roundUp(sizeof(Chunk), std::max(alignment, alignof(Chunk)))),
      chunkBytes_(kOneEach ? offset_ + stride_
                           : std::max(kLeastChunk, std::bit_ceil(stride_ * kLeastCells))),
      cells_(static_cast<std::uint32_t>((chunkBytes_ - offset_) / stride_)) {}

CellPool::~CellPool() {
  for (Chunks* chunks : {&open_, &full_, &idle_}) freeAll(*chunks);
}

void CellPool::freeAll(Chunks& chunks) {
  while (Chunk* chunk = chunks.popFront()) free(chunk);
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

void CellPool::reopen(Chunk* chunk) {
  Chunk* const first = open_.front();
  if (first != nullptr && first->used == 0) setAside(first);
  chunk->unlink();
  open_.pushFront(chunk);
}

void CellPool::setAside(Chunk* chunk) {
  chunk->unlink();
  idle_.pushFront(chunk);
  ++idleCount_;
}

void CellPool::age() {
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
