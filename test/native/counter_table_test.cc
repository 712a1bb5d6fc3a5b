// The table of counters: exact under threads, all or nothing, what happens when it is full, and
// that slots and permits come back.
#include "shared/counter_table.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/allocation_count.h"
#include "check.h"

namespace tidegate {
namespace {

constexpr SipKey kKey{1, 2};
constexpr std::size_t kThreads = 8;
constexpr CounterTime kTime{1'000'000'000'000, 1'700'000'000'000};

Limit limitOf(Algorithm algorithm, std::uint64_t count, std::uint64_t periodMillis = 0,
              std::uint64_t burst = 0) {
  const Result<Limit, std::string> made = makeLimit({.algorithm = algorithm,
                                                     .count = count,
                                                     .periodMillis = periodMillis,
                                                     .burst = burst,
                                                     .calendar = CalendarPeriod::Month});
  if (!made.ok()) test::reportFailure(__FILE__, __LINE__, made.error());
  return *made;
}

Limit fixed(std::uint64_t count) { return limitOf(Algorithm::FixedWindow, count, 60'000); }
Limit sliding(std::uint64_t count) { return limitOf(Algorithm::SlidingWindow, count, 60'000); }
Limit gcra(std::uint64_t burst) { return limitOf(Algorithm::Gcra, 1, 1000, burst); }
Limit quota(std::uint64_t count) { return limitOf(Algorithm::Quota, count); }
Limit concurrency(std::uint64_t count) { return limitOf(Algorithm::Concurrency, count); }

CounterTime after(std::uint64_t seconds) {
  return {kTime.monotonicNanos + seconds * 1'000'000'000, kTime.wallMillis + seconds * 1000};
}

template <typename Work>
void onThreads(std::size_t count, const Work& work) {
  std::atomic<std::size_t> ready{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      ready.fetch_add(1);
      while (ready.load() < count) std::this_thread::yield();
      work(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST("counters: eight threads on one key admit the limit and not one more") {
  for (const Limit& limit : {fixed(5000), sliding(5000), quota(5000), gcra(5000)}) {
    CounterTable table(1024, kKey);
    std::atomic<std::uint64_t> admitted{0};
    onThreads(kThreads, [&](std::size_t) {
      for (int i = 0; i < 1000; ++i) {
        admitted += table.charge("key", limit, kTime, 1).allowed() ? 1 : 0;
      }
    });
    CHECK_EQ(admitted.load(), 5000);
    CHECK_EQ(table.peek("key", limit, kTime).remaining, 0);
    CHECK_EQ(table.usage().used, 1);
  }
}

TEST("counters: gcra under threads with clocks that run and disagree keeps to burst and rate") {
  CounterTable table(1024, kKey);
  const Limit limit = limitOf(Algorithm::Gcra, 1000, 1000, 10);
  std::atomic<std::uint64_t> clock{0};
  std::atomic<std::uint64_t> admitted{0};
  onThreads(kThreads, [&](std::size_t) {
    for (int i = 0; i < 4000; ++i) {
      const std::uint64_t nanos = clock.fetch_add(10'000);
      if (i % 64 == 0) std::this_thread::yield();
      admitted +=
          table.charge("key", limit, {kTime.monotonicNanos + nanos, 0}, 1).allowed() ? 1 : 0;
    }
  });
  // 320 ms at one a ms.
  CHECK(admitted.load() <= 330);
  CHECK(admitted.load() >= 300);
}

TEST("counters: of eight threads never more hold a permit than the limit, and all come back") {
  CounterTable table(1024, kKey);
  const Limit limit = concurrency(3);
  std::atomic<int> holding{0};
  std::atomic<int> most{0};
  std::atomic<int> held{0};
  onThreads(kThreads, [&](std::size_t) {
    for (int i = 0; i < 1500; ++i) {
      const Acquired acquired = table.acquire("key", limit, kTime);
      if (!acquired.decision.allowed()) continue;
      const int now = ++holding;
      int known = most.load();
      while (known < now && !most.compare_exchange_weak(known, now)) {
      }
      ++held;
      if (i % 16 == 0) std::this_thread::yield();
      --holding;
      CHECK(table.release(acquired.permit));
    }
  });
  CHECK(most.load() <= 3);
  CHECK(held.load() > 0);
  CHECK_EQ(table.peek("key", limit, kTime).remaining, 3);
  table.sweep(after(2), 1024);
  CHECK_EQ(table.usage().used, 0);
}

TEST("counters: a look says what a cost would come to, and changes nothing") {
  CounterTable table(1024, kKey);
  const Limit limit = fixed(5);
  CHECK(table.peek("key", limit, kTime, 5).allowed());
  CHECK_EQ(table.usage().used, 0);
  CHECK(table.charge("key", limit, kTime, 3).allowed());
  const Decision fits = table.peek("key", limit, kTime, 2);
  CHECK(fits.allowed());
  CHECK_EQ(fits.remaining, 2);
  const Decision tooMuch = table.peek("key", limit, kTime, 3);
  CHECK(tooMuch.outcome == Outcome::Refused);
  CHECK_EQ(tooMuch.remaining, 2);
  CHECK(tooMuch.retryAfterNanos > 0);
  CHECK(table.peek("key", limit, kTime, 6).outcome == Outcome::TooCostly);
  CHECK_EQ(table.peek("key", limit, kTime).remaining, 2);
}

TEST("counters: a permit is given back exactly once, whoever tries") {
  CounterTable table(1024, kKey);
  const Limit limit = concurrency(100);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::uint64_t> permits;
    for (int i = 0; i < 20; ++i) permits.push_back(table.acquire("key", limit, kTime).permit);
    std::atomic<std::size_t> released{0};
    onThreads(4, [&](std::size_t) {
      for (const std::uint64_t permit : permits) released += table.release(permit) ? 1 : 0;
    });
    CHECK_EQ(released.load(), permits.size());
    CHECK_EQ(table.peek("key", limit, kTime).remaining, 100);
  }
}

TEST("counters: a permit that is stale, or never was, does nothing") {
  CounterTable table(1024, kKey);
  const Limit limit = concurrency(2);
  const std::uint64_t first = table.acquire("key", limit, kTime).permit;
  CHECK(first != 0);
  CHECK(table.release(first));
  CHECK(!table.release(first));
  const std::uint64_t second = table.acquire("key", limit, kTime).permit;
  CHECK(second != first);
  CHECK(!table.release(first));
  CHECK_EQ(table.peek("key", limit, kTime).remaining, 1);
  for (const std::uint64_t never : {std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{1} << 32 | 2,
                                    std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    CHECK(!table.release(never));
  }
  CHECK(table.release(second));
  CHECK_EQ(table.peek("key", limit, kTime).remaining, 2);
}

TEST("counters: a Permit gives back when it goes, moves, and may be detached") {
  CounterTable table(1024, kKey);
  const Limit limit = concurrency(3);
  const auto left = [&] { return table.peek("key", limit, kTime).remaining; };
  const auto take = [&] { return Permit(table, table.acquire("key", limit, kTime).permit); };
  {
    Permit one = take();
    Permit two = take();
    CHECK_EQ(left(), 1);
    Permit moved = std::move(one);
    CHECK(!one);  // NOLINT(bugprone-use-after-move): it is empty
    CHECK_EQ(left(), 1);
    two = std::move(moved);  // what it held is given back with `moved` at the latest
    two.release();
    two.release();
    CHECK(!two);
  }
  CHECK_EQ(left(), 3);
  std::uint64_t id = 0;
  {
    Permit permit = take();
    id = permit.detach();
  }
  CHECK_EQ(left(), 2);
  CHECK(table.release(id));
  CHECK_EQ(left(), 3);
}

TEST("counters: when all permits are held the next is Full, and counts for nothing") {
  CounterTable table(1024, kKey);
  const Limit limit = concurrency(5000);
  std::vector<std::uint64_t> permits;
  for (int i = 0; i < 1024; ++i) {
    const Acquired acquired = table.acquire("key", limit, kTime);
    REQUIRE(acquired.decision.allowed());
    permits.push_back(acquired.permit);
  }
  const Acquired more = table.acquire("key", limit, kTime);
  CHECK(more.decision.outcome == Outcome::Full);
  CHECK_EQ(more.permit, 0);
  CHECK_EQ(table.usage().full, 1);
  CHECK_EQ(table.peek("key", limit, kTime).remaining, 5000 - 1024);
  CHECK(table.release(permits.back()));
  CHECK(table.acquire("key", limit, kTime).decision.allowed());
}

TEST("counters: keys and limits of other periods count apart, changed counts together") {
  CounterTable table(1024, kKey);
  CHECK(table.charge("a", fixed(1), kTime, 1).allowed());
  CHECK(!table.charge("a", fixed(1), kTime, 1).allowed());
  CHECK(table.charge("b", fixed(1), kTime, 1).allowed());
  CHECK(table.charge("a", limitOf(Algorithm::FixedWindow, 1, 1000), kTime, 1).allowed());
  CHECK(table.charge("a", sliding(1), kTime, 1).allowed());
  CHECK_EQ(table.charge("a", fixed(3), kTime, 1).remaining, 1);
  CHECK_EQ(table.usage().used, 4);
}

TEST("counters: what does not change a counter makes none") {
  CounterTable table(1024, kKey);
  CHECK_EQ(table.peek("key", fixed(7), kTime).remaining, 7);
  CHECK_EQ(table.charge("key", fixed(7), kTime, 0).remaining, 7);
  CHECK(table.charge("key", fixed(7), kTime, 8).outcome == Outcome::TooCostly);
  table.refund("key", fixed(7), kTime, kTime, 1);
  CHECK_EQ(table.usage().used, 0);
}

TEST("counters: a refund gives back what was charged") {
  CounterTable table(1024, kKey);
  for (const Limit& limit : {fixed(5), sliding(5), quota(5), gcra(5)}) {
    CHECK_EQ(table.charge("key", limit, kTime, 2).remaining, 3);
    CHECK_EQ(table.charge("key", limit, kTime, 3).remaining, 0);
    table.refund("key", limit, kTime, kTime, 3);
    CHECK_EQ(table.peek("key", limit, kTime).remaining, 3);
  }
}

// Charges so many new keys of one slot each that no more fit; returns which of them have a counter.
std::vector<std::string> fill(CounterTable& table, const Limit& limit, int keys) {
  std::vector<std::string> in;
  for (int i = 0; i < keys; ++i) {
    std::string key = "fill" + std::to_string(i);
    if (table.charge(key, limit, kTime, 1).allowed()) in.push_back(std::move(key));
  }
  return in;
}

TEST(
    "counters: a full table refuses new keys as Full, keeps the old ones, and takes new ones "
    "later") {
  CounterTable table(1024, kKey);
  const Limit limit = fixed(2);
  const std::vector<std::string> in = fill(table, limit, 4000);
  // Two choices fill it to the last slots.
  CHECK(in.size() > 1000);
  CHECK(in.size() <= 1024);
  CHECK_EQ(table.usage().used, in.size());
  CHECK_EQ(table.usage().full, 4000 - in.size());
  CHECK_EQ(table.usage().capacity, 1024);
  for (const std::string& key : in) {
    CHECK(table.charge(key, limit, kTime, 1).allowed());
    CHECK(table.charge(key, limit, kTime, 1).outcome == Outcome::Refused);
  }
  // The next window, plus the second for which a counter stays: their slots are given away at once.
  const CounterTime later = after(62);
  for (int i = 0; i < 400; ++i) {
    CHECK(table.charge("new" + std::to_string(i), limit, later, 1).allowed());
  }
  CHECK(table.usage().reclaimed > 0);
  CHECK_EQ(table.usage().used + table.usage().reclaimed, in.size() + 400);
}

TEST("counters: a full table never holds a key twice") {
  CounterTable table(1024, kKey);
  const Limit limit = fixed(3);
  std::vector<std::atomic<int>> admitted(1500);
  onThreads(kThreads, [&](std::size_t thread) {
    std::mt19937 random(static_cast<unsigned>(thread));
    for (int i = 0; i < 3000; ++i) {
      const std::size_t key = random() % admitted.size();
      if (table.charge("k" + std::to_string(key), limit, kTime, 1).allowed()) ++admitted[key];
    }
  });
  std::uint64_t known = 0;
  for (const std::atomic<int>& each : admitted) {
    CHECK(each.load() <= 3);
    known += each.load() > 0 ? 1 : 0;
  }
  CHECK_EQ(table.usage().used, known);
  CHECK(table.usage().full > 0);
}

TEST("counters: sweeping frees what is neutral for a second, a part at a time") {
  CounterTable table(1024, kKey);
  for (const Limit& limit : {fixed(5), sliding(5), quota(5), gcra(5)}) {
    CHECK(table.charge("key", limit, kTime, 5).allowed());
  }
  const Permit permit(table, table.acquire("key", concurrency(1), kTime).permit);
  CHECK_EQ(table.usage().used, 5);
  table.sweep(kTime, 1024);
  CHECK_EQ(table.usage().used, 5);
  // Gcra is neutral after five seconds, and free a second later.
  table.sweep({after(6).monotonicNanos - 1, kTime.wallMillis}, 1024);
  CHECK_EQ(table.usage().used, 5);
  table.sweep({after(6).monotonicNanos, kTime.wallMillis}, 1024);
  CHECK_EQ(table.usage().used, 4);
  table.sweep(after(200), 1024);
  CHECK_EQ(table.usage().used, 2);
  for (std::size_t i = 0; i < 128; ++i) table.sweep(after(40 * 86'400), 8);
  CHECK_EQ(table.usage().used, 1);  // the permit's
  CHECK_EQ(table.usage().reclaimed, 4);
}

TEST("counters: who is late by less than a second finds a new counter whole") {
  CounterTable table(1024, kKey);
  const Limit limit = gcra(1);
  CHECK(table.charge("gone", limit, kTime, 1).allowed());
  table.sweep(after(10), 1024);
  CHECK_EQ(table.usage().used, 0);
  const CounterTime late{after(10).monotonicNanos - 999'999'999, after(10).wallMillis - 999};
  CHECK(table.charge("new", limit, late, 1).allowed());
}

TEST("counters: who is late by more does not open again a window whose counter is gone") {
  for (const Limit& limit : {fixed(1), quota(1), gcra(1)}) {
    CounterTable table(1024, kKey);
    CHECK(table.charge("key", limit, kTime, 1).allowed());
    const CounterTime sweep = after(40 * 86'400);
    table.sweep(sweep, 1024);
    CHECK_EQ(table.usage().used, 0);
    // A minute back, into a window of which the counter knew; a monotonic clock as late as can be.
    const CounterTime late{kTime.monotonicNanos, sweep.wallMillis - 60'000};
    const Decision decision = table.charge("key", limit, late, 1);
    if (limit.algorithm() == Algorithm::Gcra) {
      CHECK(decision.outcome == Outcome::Refused);
    } else {
      CHECK(decision.allowed());
      CHECK(
          table.charge("key", limit, {sweep.monotonicNanos, sweep.wallMillis - 1000}, 1).outcome ==
          Outcome::Refused);
    }
  }
}

TEST("counters: a wall clock that was wrong and is set back is followed by new counters") {
  CounterTable table(1024, kKey);
  const Limit limit = fixed(1);
  CHECK(table.charge("key", limit, after(0), 1).allowed());
  table.sweep(after(1'000'000), 1024);
  // Set right again: a new counter's window ends within its minute.
  const Decision decision = table.charge("new", limit, after(0), 1);
  CHECK(decision.allowed());
  CHECK(decision.resetAfterNanos <= 60'000'000'000);
  // And the protection is there at the right time too.
  table.sweep(after(120), 1024);
  CHECK_EQ(table.usage().used, 0);
  const Decision late =
      table.charge("key", limit, {after(120).monotonicNanos, after(70).wallMillis}, 1);
  CHECK_EQ(late.resetAfterNanos / 1'000'000 + after(70).wallMillis,
           after(119).wallMillis / 60'000 * 60'000 + 60'000);
}

// Permits that come and go make their counters neutral all the time, and a sweeper is after them.
TEST("counters: a counter that is swept while it is charged keeps the charge") {
  CounterTable table(1024, kKey);
  const Limit limit = concurrency(1);
  constexpr std::size_t kNames = 3;
  std::array<std::atomic<int>, kNames> holding{};
  std::atomic<bool> wrong{false};
  std::atomic<bool> done{false};
  std::thread sweeper([&] {
    while (!done.load(std::memory_order_relaxed)) table.sweep(kTime, 1024);
  });
  onThreads(3, [&](std::size_t thread) {
    // On a busy machine the sweeper may not have had its turn by then.
    const auto enough = [&](int i) { return i >= 40'000 && table.usage().reclaimed > 0; };
    for (int i = 0; !enough(i) && !wrong.load(std::memory_order_relaxed); ++i) {
      const std::size_t which = (thread + static_cast<std::size_t>(i)) % kNames;
      const std::string key(1, static_cast<char>('a' + which));
      const Acquired acquired = table.acquire(key, limit, kTime);
      if (!acquired.decision.allowed()) continue;
      if (++holding[which] != 1) wrong = true;
      --holding[which];
      if (!table.release(acquired.permit)) wrong = true;
    }
  });
  done = true;
  sweeper.join();
  CHECK(!wrong.load());
  CHECK(table.usage().reclaimed > 0);
  table.sweep(kTime, 1024);
  CHECK_EQ(table.usage().used, 0);
}

// Threads charge and let go of more keys than there is room for, a clock goes on, a sweeper frees.
TEST("counters: churn admits no key more than its limit a window, and leaves nothing") {
  constexpr std::size_t kKeys = 1400;
  constexpr std::uint64_t kLimit = 2;
  constexpr std::size_t kWindows = 12;
  constexpr std::size_t kChargers = 4;
  CounterTable table(1024, kKey);
  const Limit limit = limitOf(Algorithm::FixedWindow, kLimit, 1000);
  const Limit held = concurrency(1);
  std::vector<std::atomic<std::uint32_t>> admitted(kKeys * kWindows);
  std::vector<std::atomic<std::uint32_t>> holding(64);
  std::atomic<std::uint64_t> tick{0};  // 32 of each charger make a window
  std::atomic<bool> done{false};
  const auto timeOf = [](std::uint64_t at) {
    return CounterTime{kTime.monotonicNanos + at * 31'250'000,
                       1'700'000'000'000 + at * 31'250 / 1000};
  };
  std::thread sweeper([&] {
    while (!done.load()) {
      table.sweep(timeOf(tick.load() / kChargers), 256);
      std::this_thread::yield();
    }
  });
  std::atomic<bool> wrong{false};
  onThreads(kChargers, [&](std::size_t thread) {
    std::mt19937 random(static_cast<unsigned>(thread) + 100);
    while (true) {
      const std::uint64_t at = tick.fetch_add(1) / kChargers;
      if (at >= 32 * kWindows) return;
      const CounterTime time = timeOf(at);
      for (int i = 0; i < 25; ++i) {
        // Some nine hundred keys at a time; each comes back after some windows.
        const std::size_t key = (at * 4 + random() % 900) % kKeys;
        const Decision decision = table.charge("k" + std::to_string(key), limit, time, 1);
        if (decision.allowed()) {
          // Its window, which may be a later one than that of `time`: told by the reset.
          const std::uint64_t end = time.wallMillis + decision.resetAfterNanos / 1'000'000;
          const std::size_t window = (end - kTime.wallMillis) / 1000 - 1;
          if (++admitted[window % kWindows * kKeys + key] > kLimit) wrong = true;
        }
        const std::size_t name = random() % holding.size();
        const Acquired acquired = table.acquire("h" + std::to_string(name), held, time);
        if (acquired.decision.allowed()) {
          if (++holding[name] != 1) wrong = true;
          --holding[name];
          if (!table.release(acquired.permit)) wrong = true;
        }
      }
    }
  });
  done = true;
  sweeper.join();
  CHECK(!wrong.load());
  CHECK(table.usage().reclaimed > 500);
  table.sweep(after(kWindows + 100), 1024);
  CHECK_EQ(table.usage().used, 0);
}

// --- All or nothing ---

struct All {
  explicit All(std::vector<Charge> of) : charges(std::move(of)) {}

  Outcome charge(CounterTable& table, CounterTime time = kTime) {
    return table.chargeAll(charges, time, decisions, permits);
  }

  std::vector<Charge> charges;
  std::array<Decision, 8> decisions;
  std::array<Permit, 8> permits;
};

TEST("counters: several limits are charged together or not at all") {
  CounterTable table(1024, kKey);
  All all({{"a", fixed(10), 2},
           {"b", gcra(10), 3},
           {"c", concurrency(2)},
           {"d", sliding(10), 1},
           {"e", quota(4), 4}});
  CHECK(all.charge(table) == Outcome::Allowed);
  CHECK_EQ(all.decisions[0].remaining, 8);
  CHECK_EQ(all.decisions[1].remaining, 7);
  CHECK_EQ(all.decisions[2].remaining, 1);
  CHECK_EQ(all.decisions[3].remaining, 9);
  CHECK_EQ(all.decisions[4].remaining, 0);
  for (std::size_t i = 0; i < 5; ++i) CHECK_EQ(static_cast<bool>(all.permits[i]), i == 2);

  All more(all.charges);
  CHECK(more.charge(table) == Outcome::Refused);
  CHECK(more.decisions[4].outcome == Outcome::Refused);
  CHECK(more.decisions[4].retryAfterNanos > 0);
  // The others are told as they stand, which is as they were.
  CHECK_EQ(more.decisions[0].remaining, 8);
  CHECK_EQ(more.decisions[1].remaining, 7);
  CHECK_EQ(more.decisions[2].remaining, 1);
  CHECK_EQ(more.decisions[3].remaining, 9);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK_EQ(more.decisions[i].allowed(), i != 4);
    CHECK(!more.permits[i]);
  }
  all.permits[2].release();
  CHECK_EQ(table.peek("c", concurrency(2), kTime).remaining, 2);
}

TEST("counters: one limit twice in a list counts twice, and is taken back twice") {
  for (const Limit& limit : {fixed(5), sliding(5), quota(5), gcra(5)}) {
    CounterTable table(1024, kKey);
    // Each on its own would be allowed: only charging finds out.
    All all({{"p", concurrency(1)}, {"a", limit, 2}, {"a", limit, 2}, {"a", limit, 2}});
    CHECK(all.charge(table) == Outcome::Refused);
    CHECK(all.decisions[3].outcome == Outcome::Refused);
    CHECK_EQ(table.peek("a", limit, kTime).remaining, 5);
    CHECK_EQ(table.peek("p", concurrency(1), kTime).remaining, 1);
    all.charges.pop_back();
    CHECK(all.charge(table) == Outcome::Allowed);
    CHECK_EQ(all.decisions[2].remaining, 1);
    CHECK(static_cast<bool>(all.permits[0]));
  }
}

TEST("counters: of permits that are taken together, none stays when one is refused") {
  CounterTable table(1024, kKey);
  All all(
      {{"a", concurrency(5)}, {"a", concurrency(5)}, {"b", concurrency(1)}, {"b", concurrency(1)}});
  CHECK(all.charge(table) == Outcome::Refused);
  CHECK_EQ(all.decisions[3].retryAfterNanos, kConcurrencyRetryNanos);
  for (const Permit& permit : all.permits) CHECK(!permit);
  CHECK_EQ(table.peek("a", concurrency(5), kTime).remaining, 5);
  CHECK_EQ(table.peek("b", concurrency(1), kTime).remaining, 1);
}

TEST("counters: places for permits that hold some give them back first") {
  CounterTable table(1024, kKey);
  All all({{"a", concurrency(1)}});
  CHECK(all.charge(table) == Outcome::Allowed);
  CHECK(all.charge(table) == Outcome::Allowed);
  CHECK_EQ(table.peek("a", concurrency(1), kTime).remaining, 0);
}

TEST("counters: too costly, full and no charge at all are outcomes of a list too") {
  CounterTable table(1024, kKey);
  All costly({{"a", fixed(5), 1}, {"b", fixed(5), 6}});
  CHECK(costly.charge(table) == Outcome::TooCostly);
  CHECK_EQ(costly.decisions[0].remaining, 5);
  CHECK_EQ(costly.decisions[1].retryAfterNanos, 0);
  All none({});
  CHECK(none.charge(table) == Outcome::Allowed);
  CHECK_EQ(table.usage().used, 0);

  const std::vector<std::string> in = fill(table, fixed(5), 4000);
  std::string out;
  for (int i = 0; out.empty(); ++i) {
    std::string key = "fill" + std::to_string(i);
    if (std::ranges::find(in, key) == in.end()) out = key;
  }
  All full({{in[0], fixed(5), 2}, {out, fixed(5), 1}});
  CHECK(full.charge(table) == Outcome::Full);
  CHECK(full.decisions[1].outcome == Outcome::Full);
  CHECK_EQ(full.decisions[0].remaining, 4);
}

TEST(
    "counters: eight threads on the same lists admit the least of the limits, and no charge is "
    "lost") {
  CounterTable table(1024, kKey);
  std::atomic<std::uint64_t> admitted{0};
  std::atomic<std::uint64_t> refused{0};
  const auto limits = [](std::size_t thread) {
    // Each thread its own order, so that they get in each other's way.
    std::vector<Charge> charges = {{"a", fixed(3000)}, {"b", sliding(2000)}, {"c", quota(2500)}};
    std::rotate(charges.begin(), charges.begin() + static_cast<std::ptrdiff_t>(thread % 3),
                charges.end());
    return charges;
  };
  onThreads(kThreads, [&](std::size_t thread) {
    All all(limits(thread));
    for (int i = 0; i < 600; ++i) {
      ++(all.charge(table) == Outcome::Allowed ? admitted : refused);
    }
  });
  CHECK(admitted.load() <= 2000);
  // One too many may have been refused where two were in each other's way; those may come now.
  All all(limits(0));
  while (all.charge(table) == Outcome::Allowed) ++admitted;
  CHECK_EQ(admitted.load(), 2000);
  CHECK_EQ(table.peek("a", fixed(3000), kTime).remaining, 1000);
  CHECK_EQ(table.peek("c", quota(2500), kTime).remaining, 500);
}

TEST("counters: threads that take permits and tokens together lose none of either") {
  CounterTable table(1024, kKey);
  std::atomic<int> holding{0};
  std::atomic<bool> wrong{false};
  std::atomic<std::uint64_t> admitted{0};
  onThreads(kThreads, [&](std::size_t thread) {
    All all({{"p", concurrency(4)}, {"q", concurrency(3)}, {"t", gcra(1500)}, {"w", fixed(1200)}});
    if (thread % 2 == 1) std::ranges::reverse(all.charges);
    for (int i = 0; i < 400; ++i) {
      if (all.charge(table) != Outcome::Allowed) {
        for (const Permit& permit : all.permits) {
          if (permit) wrong = true;
        }
        continue;
      }
      ++admitted;
      if (++holding > 3) wrong = true;
      --holding;
      for (Permit& permit : all.permits) permit.release();
    }
  });
  CHECK(!wrong.load());
  CHECK(admitted.load() <= 1200);
  CHECK_EQ(table.peek("p", concurrency(4), kTime).remaining, 4);
  CHECK_EQ(table.peek("q", concurrency(3), kTime).remaining, 3);
  CHECK_EQ(table.peek("w", fixed(1200), kTime).remaining, 1200 - admitted.load());
  // Of Gcra a charge may stay that another thread has built upon; none is lost.
  CHECK(table.peek("t", gcra(1500), kTime).remaining <= 1500 - admitted.load());
}

// --- Memory ---

std::size_t residentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long size = 0;
  unsigned long resident = 0;
  const int read = std::fscanf(file, "%lu %lu", &size, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) : 0;
}

TEST("counters: a table that nobody uses takes no memory, and using it allocates nothing") {
  // Sanitizers keep books on the memory, and allocate.
  if (!allocationsAreCounted()) return;
  const std::size_t before = residentBytes();
  CounterTable table(CounterTable::kMaxCapacity, kKey);
  CHECK(residentBytes() < before + (1 << 20));
  All all({{"a", fixed(1000)}, {"b", concurrency(10)}});
  const std::uint64_t allocations = threadAllocations();
  for (int i = 0; i < 100; ++i) CHECK(all.charge(table) == Outcome::Allowed);
  table.sweep(after(100), 1024);
  CHECK_EQ(threadAllocations(), allocations);
  // A large page at most for each line that was touched.
  CHECK(residentBytes() < before + (32 << 20));
}

}  // namespace
}  // namespace tidegate
