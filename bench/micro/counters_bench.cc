// What a charge on the shared counters costs in CPU, the keyed hash of its key included: one hot
// key, 100,000 keys in random order, three limits at once, two threads on one key, and a refusal;
// the median of the rounds.
//
//   counters_bench [rounds, default 9]
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "shared/counter_table.h"

namespace tidegate {
namespace {

constexpr std::size_t kCapacity = 256 * 1024;  // the gateway's default
constexpr std::size_t kCharges = 2'000'000;
constexpr std::size_t kKeys = 100'000;
constexpr CounterTime kTime{1'000'000'000'000, 1'700'000'000'000};

Limit limitOf(const LimitSpec& spec) {
  const Result<Limit, std::string> made = makeLimit(spec);
  if (!made.ok()) std::abort();
  return *made;
}

Limit gcra() {
  return limitOf({.algorithm = Algorithm::Gcra,
                  .count = 10'000'000,
                  .periodMillis = 1000,
                  .burst = 100'000'000'000'000,
                  .calendar = {}});
}

Limit windows(Algorithm algorithm, std::uint64_t count, std::uint64_t periodMillis) {
  return limitOf({.algorithm = algorithm,
                  .count = count,
                  .periodMillis = periodMillis,
                  .burst = 0,
                  .calendar = {}});
}

constexpr std::uint64_t kPlenty = 1'000'000'000'000;

// CPU of this thread, so that a busy machine disturbs less.
double cpuNanos() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void expect(bool as) {
  if (!as) std::abort();
}

// ns for each of `count` calls in a row.
double each(std::size_t count, const std::function<void(std::size_t)>& all) {
  const double begin = cpuNanos();
  all(count);
  return (cpuNanos() - begin) / static_cast<double>(count);
}

double hotKey(const Limit& limit) {
  CounterTable table(kCapacity);
  return each(kCharges, [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      expect(table.charge("consumer-000001", limit, kTime, 1).allowed());
  });
}

double refusedKey() {
  CounterTable table(kCapacity);
  const Limit limit = windows(Algorithm::FixedWindow, 1, 60'000);
  expect(table.charge("consumer-000001", limit, kTime, 1).allowed());
  return each(kCharges, [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      expect(!table.charge("consumer-000001", limit, kTime, 1).allowed());
  });
}

std::vector<std::string> manyKeys() {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < kKeys; ++i) keys.push_back("consumer-" + std::to_string(100'000 + i));
  return keys;
}

double keysOf(const Limit& limit) {
  const std::vector<std::string> keys = manyKeys();
  CounterTable table(kCapacity);
  std::mt19937 random(1);
  std::vector<std::uint32_t> order(kCharges);
  for (std::uint32_t& which : order) which = static_cast<std::uint32_t>(random() % kKeys);
  for (const std::string& key : keys) expect(table.charge(key, limit, kTime, 1).allowed());
  return each(kCharges, [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      expect(table.charge(keys[order[i]], limit, kTime, 1).allowed());
  });
}

double firstCharges(const Limit& limit) {
  const std::vector<std::string> keys = manyKeys();
  CounterTable table(kCapacity);
  return each(kKeys, [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      expect(table.charge(keys[i], limit, kTime, 1).allowed());
  });
}

double threeAtOnce(std::uint64_t least) {
  CounterTable table(kCapacity);
  const std::array charges = {
      Charge{"consumer-000001", windows(Algorithm::FixedWindow, kPlenty, 1000)},
      Charge{"consumer-000001", windows(Algorithm::FixedWindow, kPlenty, 60'000)},
      Charge{"consumer-000001", windows(Algorithm::FixedWindow, least, 3'600'000)}};
  std::array<Decision, 3> decisions;
  std::array<Permit, 3> permits;
  return each(kCharges, [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      expect(table.chargeAll(charges, kTime, decisions, permits) ==
             (i < least ? Outcome::Allowed : Outcome::Refused));
  });
}

double permits() {
  CounterTable table(kCapacity);
  const Limit limit = windows(Algorithm::Concurrency, 10, 0);
  return each(kCharges, [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      expect(table.release(table.acquire("consumer-000001", limit, kTime).permit));
  });
}

// Of either thread, while both are at it.
double twoThreads(const Limit& limit) {
  CounterTable table(kCapacity);
  std::atomic<int> ready{0};
  std::array<double, 2> nanos{};
  std::array<std::thread, 2> threads;
  for (std::size_t t = 0; t < threads.size(); ++t) {
    threads[t] = std::thread([&, t] {
      ++ready;
      while (ready.load() < 2) {
      }
      nanos[t] = each(kCharges, [&](std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
          expect(table.charge("consumer-000001", limit, kTime, 1).allowed());
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  return (nanos[0] + nanos[1]) / 2;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(std::size_t rounds) {
  struct Case {
    const char* name;
    std::function<double()> measure;
    std::vector<double> nanos;
  };
  const Limit fixed = windows(Algorithm::FixedWindow, kPlenty, 60'000);
  const Limit sliding = windows(Algorithm::SlidingWindow, (1 << 23) - 1, 60'000);
  std::vector<Case> cases = {
      {"hot key, gcra", [] { return hotKey(gcra()); }, {}},
      {"hot key, fixed window", [&] { return hotKey(fixed); }, {}},
      {"hot key, sliding window", [&] { return hotKey(sliding); }, {}},
      {"hot key, refused", refusedKey, {}},
      {"100k keys, fixed window", [&] { return keysOf(fixed); }, {}},
      {"100k keys, the first charge of each", [&] { return firstCharges(fixed); }, {}},
      {"three limits at once", [] { return threeAtOnce(kPlenty); }, {}},
      {"three limits at once, the last refused", [] { return threeAtOnce(1); }, {}},
      {"a permit, taken and given back", permits, {}},
      {"2 threads on one key", [&] { return twoThreads(fixed); }, {}},
  };
  for (std::size_t round = 0; round < rounds; ++round) {
    for (Case& one : cases) one.nanos.push_back(one.measure());
  }
  for (const Case& one : cases) std::printf("%-40s %8.1f ns\n", one.name, median(one.nanos));
  return 0;
}

}  // namespace
}  // namespace tidegate

int main(int argumentCount, char** arguments) {
  const int rounds = argumentCount > 1 ? std::atoi(arguments[1]) : 9;
  return tidegate::run(static_cast<std::size_t>(std::max(rounds, 1)));
}
