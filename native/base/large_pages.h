// An allocator for large tables that are read at random: from a quarter of a megabyte on they lie
// on large pages where the system has them, so that finding the page does not cost more than the
// read.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <vector>

namespace tidegate {

inline constexpr std::size_t kLargePage = 2 * 1024 * 1024;

template <typename T>
class LargePageAllocator {
 public:
  using value_type = T;

  LargePageAllocator() = default;
  template <typename U>
  explicit LargePageAllocator(const LargePageAllocator<U>&) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes < kFrom) return static_cast<T*>(::operator new(bytes, kSmall));
    const std::size_t whole = (bytes + kLargePage - 1) / kLargePage * kLargePage;
    void* const pages = ::operator new(whole, kLarge);
    // That there are no large pages is no error.
    madvise(pages, whole, MADV_HUGEPAGE);
    return static_cast<T*>(pages);
  }

  void deallocate(T* pointer, std::size_t count) {
    ::operator delete(pointer, count * sizeof(T) < kFrom ? kSmall : kLarge);
  }

  friend bool operator==(LargePageAllocator, LargePageAllocator) { return true; }

 private:
  static constexpr std::size_t kFrom = 256 * 1024;
  static constexpr std::align_val_t kSmall{alignof(T)};
  static constexpr std::align_val_t kLarge{kLargePage};
};

template <typename T>
using LargeVector = std::vector<T, LargePageAllocator<T>>;

}  // namespace tidegate
