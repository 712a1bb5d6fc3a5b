// The count of heap allocations.
#include "base/allocation_count.h"

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include "check.h"

namespace tidegate {
namespace {

struct alignas(128) Wide {
  char bytes[128];
};

// Keeps the compiler from removing a new with its delete.
template <typename T>
void use(const T& value) {
  __asm__ volatile("" : : "g"(&value) : "memory");
}

std::uint64_t expected(std::uint64_t count) { return allocationsAreCounted() ? count : 0; }

TEST("every form of new is counted once") {
  const std::uint64_t before = threadAllocations();
  const auto plain = std::make_unique<int>(1);
  use(plain);
  const auto array = std::make_unique<char[]>(100);
  use(array);
  const auto aligned = std::make_unique<Wide>();
  use(aligned);
  const std::unique_ptr<int> quiet(new (std::nothrow) int);
  use(quiet);
  CHECK_EQ(threadAllocations() - before, expected(4));
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(aligned.get()) % alignof(Wide), 0);
}

TEST("an alignment below that of a pointer is good enough") {
  constexpr std::align_val_t kFour{4};
  void* const memory = ::operator new(16, kFour);
  CHECK(memory != nullptr);
  ::operator delete(memory, kFour);
}

TEST("work that allocates nothing counts nothing") {
  std::string text(200, 'x');
  const std::uint64_t before = threadAllocations();
  text.assign(150, 'y');
  use(text);
  CHECK_EQ(threadAllocations() - before, 0);
}

TEST("an executable's count includes what libstdc++ allocates for it") {
  std::string text;
  const std::uint64_t before = threadAllocations();
  text.append(1000, 'x');
  use(text);
  CHECK_EQ(threadAllocations() - before, expected(1));
}

TEST("threads count for themselves") {
  const std::uint64_t before = threadAllocations();
  std::uint64_t others = 0;
  std::thread([&others] {
    const std::uint64_t start = threadAllocations();
    for (int i = 0; i < 10; ++i) use(std::make_unique<int>(i));
    others = threadAllocations() - start;
  }).join();
  CHECK_EQ(others, expected(10));
  // The thread object itself is this thread's.
  CHECK(threadAllocations() - before < 10);
}

}  // namespace
}  // namespace tidegate
