// The memory behind the counters, and their names.
#include "observe/stats.h"

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

bool ThreadStats::ensureSlots(std::size_t count) {
  if (count > kMaxSlots) return false;
  const std::size_t wanted = (count + kSlotsPerChunk - 1) / kSlotsPerChunk;
  for (; chunkCount_ < wanted; ++chunkCount_) chunks_[chunkCount_] = std::make_unique<Chunk>();
  return true;
}

std::string_view counterName(std::size_t index) { return kCounters[index].name; }

bool counterIsGauge(std::size_t index) { return kCounters[index].gauge; }

}  // namespace tidegate
