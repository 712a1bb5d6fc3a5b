// The memory behind the counters, and their names.
#include "observe/stats.h"

#include <sys/mman.h>

#include <new>
#include <type_traits>

#include "base/large_pages.h"

namespace tidegate {
namespace {

struct CounterInfo {
  std::string_view name;
  bool gauge;
};

constexpr std::array<CounterInfo, kCounterCount> kCounters = {{
#define X(member, name, gauge, text) {name, gauge},
    TIDEGATE_COUNTERS(X)
#undef X
}};

// Readers take the block for an array of numbers: the counters, then the reasons, then padding.
static_assert(offsetof(ThreadCounters, reasons) == kCounterCount * sizeof(Counter));

}  // namespace

static_assert(std::is_trivially_destructible_v<SlotCounters>);

void ThreadStats::Free::operator()(SlotCounters* slots) const {
  ::operator delete(slots, std::align_val_t{kLargePage});
}

std::unique_ptr<SlotCounters, ThreadStats::Free> ThreadStats::reserve() {
  return std::unique_ptr<SlotCounters, Free>(static_cast<SlotCounters*>(
      ::operator new(kMaxSlots * sizeof(SlotCounters), std::align_val_t{kLargePage})));
}

bool ThreadStats::ensureSlots(std::size_t count) {
  if (count > kMaxSlots) return false;
  const std::size_t wanted = (count + kSlotsPerChunk - 1) / kSlotsPerChunk;
  // Where requests go to thousands of slots, finding the page costs as much as the cache line.
  // Whole large pages only, so that few slots stay small; that there are none is no error.
  const std::size_t large = wanted * sizeof(Chunk) / kLargePage * kLargePage;
  if (large > 0) madvise(slots_.get(), large, MADV_HUGEPAGE);
  for (; chunkCount_ < wanted; ++chunkCount_)
    std::uninitialized_value_construct_n(chunk(chunkCount_), kSlotsPerChunk);
  return true;
}

std::string_view counterName(std::size_t index) { return kCounters[index].name; }

bool counterIsGauge(std::size_t index) { return kCounters[index].gauge; }

}  // namespace tidegate
