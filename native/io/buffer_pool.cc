// Free lists of blocks, one a size class.
#include "io/buffer_pool.h"

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
  ::operator delete(header, std::align_val_t{alignof(Header)});
}

Block BufferPool::acquire(std::size_t bytes) {
  std::uint32_t sizeClass = 0;
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
  auto* header = static_cast<Header*>(::operator new(total, std::align_val_t{alignof(Header)}));
  header->pool = this;
  header->capacity = static_cast<std::uint32_t>(total - sizeof(Header));
  header->sizeClass = sizeClass;
  return Block(header);
}

void BufferPool::giveBack(Header* header) {
  const std::size_t total = header->capacity + sizeof(Header);
  inUse_ -= total;
  if (header->sizeClass == kOversize || kept_ + total > kMaxKept) {
    ::operator delete(header, std::align_val_t{alignof(Header)});
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
