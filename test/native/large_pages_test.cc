// The allocator of large tables: vectors behave as ever, below and above the size from which it
// uses pages of its own.
#include "base/large_pages.h"

#include <cstdint>
#include <utility>

#include "check.h"

namespace tidegate {
namespace {

TEST("a vector on large pages grows, copies and moves like any other") {
  LargeVector<std::uint32_t> numbers;
  constexpr std::uint32_t kCount = 1'000'000;
  for (std::uint32_t i = 0; i < kCount; ++i) numbers.push_back(i);
  const LargeVector<std::uint32_t> copy = numbers;
  const std::uint32_t* const place = numbers.data();
  const LargeVector<std::uint32_t> moved = std::move(numbers);
  CHECK(moved.data() == place);
  CHECK(copy == moved);
  CHECK_EQ(copy[kCount - 1], kCount - 1);
}

TEST("a large table begins on a large page, a small one takes no more than it needs") {
  const LargeVector<char> large(kLargePage / 2);
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(large.data()) % kLargePage, 0);
  const LargeVector<char> small(16);
  CHECK(small[15] == 0);
}

}  // namespace
}  // namespace tidegate
