// Budgets of frames, held against a bucket that fills up millisecond by millisecond.
#include <algorithm>
#include <cstdint>
#include <random>

#include "check.h"
#include "http2/flood_budget.h"

namespace tidegate::http2 {
namespace {

TEST("flood budget: spends what a bucket has that fills up as time goes by") {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t burst = 1 + random() % 200;
    const std::uint32_t perSecond = 1 + random() % 5'000;
    FloodBudget budget(burst, perSecond);
    const std::uint64_t full = std::uint64_t{burst} * 1'000;
    std::uint64_t bucket = full;  // thousandths of a token
    std::uint64_t now = 5'000'000;
    for (int step = 0; step < 500; ++step) {
      const std::uint64_t passed = random() % 4 == 0 ? random() % 2'000 : 0;
      now += passed;
      bucket = std::min(full, bucket + passed * perSecond);
      const std::uint32_t tokens = 1 + random() % 20;
      if (random() % 5 == 0) {
        budget.earn(tokens);
        bucket = std::min(full, bucket + std::uint64_t{tokens} * 1'000);
        continue;
      }
      const bool may = bucket >= std::uint64_t{tokens} * 1'000;
      CHECK_EQ(budget.spend(now, tokens), may);
      if (may) bucket -= std::uint64_t{tokens} * 1'000;
    }
  }
}

TEST("flood budget: a long life earns no second burst") {
  FloodBudget budget(100, 10);
  CHECK(budget.spend(1'000));
  CHECK(budget.spend(3'600'000, 100));
  CHECK(!budget.spend(3'600'000));
  CHECK(budget.spend(3'600'100));
}

}  // namespace
}  // namespace tidegate::http2
