// The pool of blocks: what it keeps, and what goes back to the system.
#include "io/buffer_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "check.h"

namespace tidegate {

namespace {

// Whether the page in which the block begins is part of the process.
bool mapped(const char* data) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<std::uintptr_t>(data) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it was a pointer.
  return msync(reinterpret_cast<void*>(at), page, MS_ASYNC) == 0;
}

}  // namespace

TEST("buffer pool: the next block of a size is the last that came back") {
  BufferPool pool;
  for (const std::size_t bytes : {1'000U, 10'000U, 60'000U, 250'000U}) {
    Block first = pool.acquire(bytes);
    CHECK(first.capacity() >= bytes);
    const char* const data = first.data();
    first.release();
    CHECK_EQ(pool.acquire(bytes).data(), data);
  }
  CHECK_EQ(pool.bytesInUse(), std::size_t{0});
}

TEST("buffer pool: after a peak, large blocks go back to the system") {
  if (!BufferPool::kMapsLarge) return;
  for (const std::size_t bytes : {64 * 1024U, 256 * 1024U, 1024 * 1024U}) {
    BufferPool pool;
    std::vector<Block> blocks;
    std::vector<char*> all;
    while (pool.bytesInUse() < 3 * BufferPool::kMaxKept) {
      blocks.push_back(pool.acquire(bytes));
      all.push_back(blocks.back().data());
      *all.back() = 'x';
    }
    blocks.clear();
    const auto left = [&all] { return std::ranges::count_if(all, mapped); };
    CHECK(pool.bytesKept() <= BufferPool::kMaxKept);
    CHECK(static_cast<std::size_t>(left()) * bytes <= BufferPool::kMaxKept);
    while (pool.bytesKept() > 0) {
      pool.age();
      while (pool.reclaim() > 0) {
      }
    }
    CHECK_EQ(left(), std::ptrdiff_t{0});
  }
}

}  // namespace tidegate
