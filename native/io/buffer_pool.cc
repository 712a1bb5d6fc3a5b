// Free lists of blocks, one a size class.
#include "io/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace tidegate {

BufferPool::~BufferPool() {
  for (FreeList& list : free_) {
    while (list.first != nullptr) freeFirst(list);
  }
}

void BufferPool::freeFirst(FreeList& list) {
  Header* header = list.first;
  list.first = header->next;
  --list.count;
  kept_ -= header->capacity + sizeof(Header);
  free(header);
}

BufferPool::Header* BufferPool::allocate(std::size_t total) {
  if (kMapsLarge && total >= kMappedFrom) {
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

Block BufferPool::acquire(std::size_t bytes) {
  std::uint16_t sizeClass = 0;
  while (sizeClass < kClasses.size() && kClasses[sizeClass] - sizeof(Header) < bytes) ++sizeClass;
  const std::size_t total =
      sizeClass == kOversize ? bytes + sizeof(Header) : std::size_t{kClasses[sizeClass]};
  inUse_ += total;
  if (sizeClass != kOversize && free_[sizeClass].first != nullptr) {
    FreeList& list = free_[sizeClass];
    Header* header = list.first;
    list.first = header->next;
    --list.count;
    list.unused = std::min(list.unused, list.count);
    kept_ -= total;
    header->pool = this;
    return Block(header);
  }
  Header* const header = allocate(total);
  header->pool = this;
  header->capacity = static_cast<std::uint32_t>(total - sizeof(Header));
  header->sizeClass = sizeClass;
  return Block(header);
}

void BufferPool::giveBack(Header* header) {
  const std::size_t total = header->capacity + sizeof(Header);
  inUse_ -= total;
  if (header->sizeClass == kOversize || kept_ + total > kMaxKept) {
    free(header);
    return;
  }
  FreeList& list = free_[header->sizeClass];
  kept_ += total;
  ++list.count;
  header->next = list.first;
  list.first = header;
}

void BufferPool::trim() {
  for (FreeList& list : free_) {
    for (std::size_t surplus = (list.unused + 1) / 2; surplus > 0; --surplus) freeFirst(list);
    list.unused = list.count;
  }
}

}  // namespace tidegate
