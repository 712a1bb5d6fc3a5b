// operator new and delete over malloc and free, with a count for each thread.
//
// Memory may cross to and from code that uses the operators of libstdc++ (a shared object's
// strings, for one): both sides are malloc and free underneath, so either may end what the other
// began.
#include "base/allocation_count.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIDEGATE_COUNT_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define TIDEGATE_COUNT_ALLOCATIONS 0
#endif
#endif
#ifndef TIDEGATE_COUNT_ALLOCATIONS
#define TIDEGATE_COUNT_ALLOCATIONS 1
#endif

namespace tidegate {
namespace {

thread_local constinit std::uint64_t allocations = 0;

}  // namespace

bool allocationsAreCounted() { return TIDEGATE_COUNT_ALLOCATIONS; }

std::uint64_t threadAllocations() { return allocations; }

#if TIDEGATE_COUNT_ALLOCATIONS
namespace {

void* allocate(std::size_t size) {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);  // operator new never gives null for nothing
}

void* allocateAligned(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  void* memory = nullptr;
  // posix_memalign() refuses less than the alignment of a pointer.
  const std::size_t multiple = std::max(static_cast<std::size_t>(alignment), sizeof(void*));
  const int error = ::posix_memalign(&memory, multiple, size);
  return error == 0 ? memory : nullptr;
}

// What std::bad_alloc comes to where nothing catches.
void* orAbort(void* memory) {
  if (memory == nullptr) [[unlikely]] {
    std::abort();
  }
  return memory;
}

}  // namespace
#endif

}  // namespace tidegate

#if TIDEGATE_COUNT_ALLOCATIONS

using tidegate::allocate;
using tidegate::allocateAligned;
using tidegate::orAbort;

void* operator new(std::size_t size) { return orAbort(allocate(size)); }
void* operator new[](std::size_t size) { return orAbort(allocate(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return orAbort(allocateAligned(size, alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return orAbort(allocateAligned(size, alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocateAligned(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocateAligned(size, alignment);
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(memory);
}

#endif
