// Free lists of blocks, one a size class.
#include "io/buffer_pool.h"

#include <new>

namespace tidegate {

BufferPool::~BufferPool() {
  for (Header*& list : free_) {
    while (list != nullptr) {
      Header* next = list->next;
      ::operator delete(list, std::align_val_t{alignof(Header)});
      list = next;
    }
  }
}

Block BufferPool::acquire(std::size_t bytes) {
  std::uint32_t sizeClass = 0;
  while (sizeClass < kClasses.size() && kClasses[sizeClass] - sizeof(Header) < bytes) ++sizeClass;
  const std::size_t total =
      sizeClass == kOversize ? bytes + sizeof(Header) : std::size_t{kClasses[sizeClass]};
  inUse_ += total;
  if (sizeClass != kOversize && free_[sizeClass] != nullptr) {
    Header* header = free_[sizeClass];
    free_[sizeClass] = header->next;
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
  kept_ += total;
  header->next = free_[header->sizeClass];
  free_[header->sizeClass] = header;
}

void BufferPool::trim() {
  const std::size_t target = kept_ / 2;
  for (Header*& list : free_) {
    while (list != nullptr && kept_ > target) {
      Header* next = list->next;
      kept_ -= list->capacity + sizeof(Header);
      ::operator delete(list, std::align_val_t{alignof(Header)});
      list = next;
    }
  }
}

}  // namespace tidegate
