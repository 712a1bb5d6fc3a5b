// Chunks of small blocks, and free lists of large ones, one a size class.
#include "io/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace tidegate {

BufferPool::~BufferPool() {
  for (FreeList& list : large_) {
    while (list.first != nullptr) freeFirst(list);
  }
}

std::size_t BufferPool::freeFirst(FreeList& list) {
  Header* header = list.first;
  list.first = header->next;
  --list.count;
  const std::size_t total = header->capacity + sizeof(Header);
  kept_ -= total;
  free(header);
  return total;
}

BufferPool::Header* BufferPool::allocate(std::size_t total) {
  if (kMapsLarge) {
    void* const pages =
        mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // The system counts mappings too: out of those, the allocator may still have memory.
    if (pages != MAP_FAILED) {
      auto* const header = static_cast<Header*>(pages);
      header->mapped = true;
      return header;
    }
  }
  auto* const header =
      static_cast<Header*>(::operator new(total, std::align_val_t{alignof(Header)}));
  header->mapped = false;
  return header;
}

void BufferPool::free(Header* header) {
  if (header->mapped) {
    munmap(header, header->capacity + sizeof(Header));
  } else {
    ::operator delete(header, std::align_val_t{alignof(Header)});
  }
}

Block BufferPool::acquireLarger(std::size_t bytes) {
  std::uint16_t sizeClass = 1;
  while (sizeClass < kClasses.size() && kClasses[sizeClass] - sizeof(Header) < bytes) ++sizeClass;
  const std::size_t total =
      sizeClass == kOversize ? bytes + sizeof(Header) : std::size_t{kClasses[sizeClass]};
  if (sizeClass < kSmallClasses) return takeSmall(sizeClass);
  Header* header = nullptr;
  if (sizeClass != kOversize && large_[sizeClass - kSmallClasses].first != nullptr) {
    FreeList& list = large_[sizeClass - kSmallClasses];
    header = list.first;
    list.first = header->next;
    --list.count;
    list.unneeded = std::min(list.unneeded, list.count);
    kept_ -= total;
  } else {
    header = allocate(total);
  }
  return begin(header, total, sizeClass);
}

void BufferPool::giveBack(Header* header) {
  const std::size_t total = header->capacity + sizeof(Header);
  inUse_ -= total;
  if (header->sizeClass < kSmallClasses) {
    small_[header->sizeClass].giveBack(header);
    return;
  }
  if (header->sizeClass == kOversize || kept_ + total > kMaxKept) {
    free(header);
    return;
  }
  FreeList& list = large_[header->sizeClass - kSmallClasses];
  kept_ += total;
  ++list.count;
  header->next = list.first;
  list.first = header;
}

std::size_t BufferPool::bytesKept() const {
  std::size_t bytes = kept_;
  for (const CellPool& cells : small_) bytes += cells.idleBytes();
  return bytes;
}

void BufferPool::age() {
  for (CellPool& cells : small_) cells.age();
  for (FreeList& list : large_) {
    list.due = (list.unneeded + 1) / 2;
    list.unneeded = list.count;
  }
}

std::size_t BufferPool::reclaim() {
  for (CellPool& cells : small_) {
    if (const std::size_t bytes = cells.reclaim()) return bytes;
  }
  for (FreeList& list : large_) {
    if (list.due == 0 || list.count == 0) continue;
    --list.due;
    const std::size_t bytes = freeFirst(list);
    list.unneeded = std::min(list.unneeded, list.count);
    return bytes;
  }
  return 0;
}

}  // namespace tidegate
