// The algorithms of limits against plain models: lists of what was admitted, counted anew for every
// charge.
#include "shared/limits.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <random>
#include <ranges>
#include <string>
#include <vector>

#include "check.h"

namespace tidegate {
namespace {

__extension__ using Wide = __int128;

constexpr std::uint64_t kNanosPerMilli = 1'000'000;
constexpr std::uint64_t kHour = 3'600'000;
constexpr std::uint64_t kDay = 24 * kHour;
constexpr std::uint64_t kTurn = std::uint64_t{1} << kPayloadBits;

Limit limitOf(const LimitSpec& spec) {
  const Result<Limit, std::string> made = makeLimit(spec);
  if (!made.ok()) test::reportFailure(__FILE__, __LINE__, made.error());
  return *made;
}

Limit gcra(std::uint64_t count, std::uint64_t periodMillis, std::uint64_t burst) {
  return limitOf({.algorithm = Algorithm::Gcra,
                  .count = count,
                  .periodMillis = periodMillis,
                  .burst = burst,
                  .calendar = {}});
}

Limit windows(Algorithm algorithm, std::uint64_t count, std::uint64_t periodMillis) {
  return limitOf({.algorithm = algorithm,
                  .count = count,
                  .periodMillis = periodMillis,
                  .burst = 0,
                  .calendar = {}});
}

Limit quota(std::uint64_t count, CalendarPeriod calendar) {
  return limitOf({.algorithm = Algorithm::Quota,
                  .count = count,
                  .periodMillis = 0,
                  .burst = 0,
                  .calendar = calendar});
}

Limit concurrency(std::uint64_t count) {
  return limitOf({.algorithm = Algorithm::Concurrency,
                  .count = count,
                  .periodMillis = 0,
                  .burst = 0,
                  .calendar = {}});
}

// A counter on its own.
struct Counter {
  Counter(const Limit& of, CounterTime time) : limit(of), payload(freshPayload(of, time)) {}

  Decision charge(CounterTime time, std::uint64_t cost) {
    const Charged charged = applyCharge(limit, payload, time, cost);
    if (!charged.decision.allowed()) CHECK_EQ(charged.payload, payload);
    payload = charged.payload;
    return charged.decision;
  }
  Decision peek(CounterTime time) const { return applyCharge(limit, payload, time, 0).decision; }

  Limit limit;
  std::uint64_t payload;
};

struct Admitted {
  std::uint64_t at;  // ns of Gcra; window of the others
  std::uint64_t cost;
};

using Random = std::mt19937_64;

std::uint64_t upTo(Random& random, std::uint64_t most) { return random() % (most + 1); }

CounterTime monotonic(std::uint64_t nanos) { return {nanos, 0}; }
CounterTime wall(std::uint64_t millis) { return {0, millis}; }

// Says where it went wrong, once a schedule.
bool agree(std::uint64_t seed, int step, const char* what, std::uint64_t is, std::uint64_t should) {
  if (is == should) return true;
  test::reportFailure(__FILE__, __LINE__,
                      "seed " + std::to_string(seed) + ", step " + std::to_string(step) + ": " +
                          what + " is " + std::to_string(is) + ", expected " +
                          std::to_string(should));
  return false;
}

// --- Gcra ---

// What of the admitted costs has not flowed off at `now`, in ns: the worst interval counts.
Wide backlogOf(const std::vector<Admitted>& admitted, std::uint64_t interval, std::uint64_t now) {
  Wide worst = 0;
  Wide sum = 0;
  for (const Admitted& each : std::views::reverse(admitted)) {
    sum += Wide{each.cost} * interval;
    worst = std::max(worst, sum - (Wide{now} - Wide{each.at}));
  }
  return worst;
}

TEST("limits: gcra admits what a list of the admitted says, whatever the schedule") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const std::uint64_t period = 1 + upTo(random, 5000);
    const std::uint64_t count = 1 + upTo(random, std::min<std::uint64_t>(period * 10'000 - 1, 500));
    const std::uint64_t burst = 1 + upTo(random, 30);
    const Limit limit = gcra(count, period, burst);
    const std::uint64_t interval = limit.unit();
    const Wide span = Wide{burst} * interval;
    // Every other schedule goes through the turn of the payload.
    std::uint64_t now = seed % 2 == 0 ? upTo(random, kTurn) : 3 * kTurn - 20 * interval;
    Counter counter(limit, monotonic(now));
    std::vector<Admitted> admitted;
    for (int step = 0; step < 250; ++step) {
      now += upTo(random, 3) == 0 ? upTo(random, 4 * burst * interval) : upTo(random, 2 * interval);
      const std::uint64_t cost = upTo(random, 4) == 0 ? upTo(random, burst + 1) : 1;
      const Wide backlog = backlogOf(admitted, interval, now);
      const Wide after = backlog + Wide{cost} * interval;
      const Outcome outcome = cost > burst               ? Outcome::TooCostly
                              : cost > 0 && after > span ? Outcome::Refused
                                                         : Outcome::Allowed;
      const Decision decision = counter.charge(monotonic(now), cost);
      if (outcome == Outcome::Allowed && cost > 0) admitted.push_back({now, cost});
      const Wide left = outcome == Outcome::Allowed ? after : backlog;
      const bool good =
          agree(seed, step, "the outcome", static_cast<std::uint64_t>(decision.outcome),
                static_cast<std::uint64_t>(outcome)) &&
          agree(seed, step, "remaining", decision.remaining,
                static_cast<std::uint64_t>((span - left) / interval)) &&
          agree(seed, step, "resetAfter", decision.resetAfterNanos,
                static_cast<std::uint64_t>(left)) &&
          agree(seed, step, "retryAfter", decision.retryAfterNanos,
                outcome == Outcome::Refused ? static_cast<std::uint64_t>(after - span) : 0) &&
          agree(seed, step, "limit", decision.limit, burst);
      if (!good) break;
    }
    // Never more than the burst and the rate, which is exact: no rounding in its favour.
    for (std::size_t from = 0; from < admitted.size(); ++from) {
      std::uint64_t sum = 0;
      for (std::size_t to = from; to < admitted.size(); ++to) {
        sum += admitted[to].cost;
        const Wide elapsed = admitted[to].at - admitted[from].at;
        const Wide periodNanos = Wide{period} * kNanosPerMilli;
        if (Wide{sum} * periodNanos > Wide{burst} * periodNanos + elapsed * count) {
          test::reportFailure(__FILE__, __LINE__,
                              "more than the rate, seed " + std::to_string(seed));
          return;
        }
      }
    }
  }
}

TEST("limits: gcra rounds the interval up, so that the rate is never exceeded") {
  CHECK_EQ(gcra(3, 1000, 1).unit(), 333'333'334);
  CHECK_EQ(gcra(10'000'000, 1000, 1).unit(), 100);
  Counter counter(gcra(3, 1000, 1), monotonic(0));
  std::uint64_t admitted = 0;
  for (std::uint64_t now = 0; now < 100'000 * kNanosPerMilli; now += 333'333) {
    admitted += counter.charge(monotonic(now), 1).allowed() ? 1 : 0;
  }
  CHECK(admitted <= 301);
  CHECK(admitted >= 299);
}

TEST("limits: gcra holds a year of burst, and one idle for less than 417 days is neutral") {
  const Limit limit = gcra(1, 24 * kHour, 366);
  const std::uint64_t start = kTurn - 5;
  Counter counter(limit, monotonic(start));
  CHECK(counter.charge(monotonic(start), 366).allowed());
  CHECK_EQ(counter.peek(monotonic(start)).remaining, 0);
  CHECK_EQ(counter.peek(monotonic(start)).resetAfterNanos, 366 * kDay * kNanosPerMilli);
  const std::uint64_t over = start + 366 * kDay * kNanosPerMilli;
  CHECK(!isNeutral(limit.identity(), counter.payload, monotonic(over - 1)));
  CHECK(isNeutral(limit.identity(), counter.payload, monotonic(over)));
  CHECK(
      isNeutral(limit.identity(), counter.payload, monotonic(over + 416 * kDay * kNanosPerMilli)));
}

TEST("limits: gcra with clocks of threads that disagree never lets the latest of them see more") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    const Limit limit = gcra(1 + upTo(random, 100), 1000, 1 + upTo(random, 10));
    const std::uint64_t span = limit.max() * limit.unit();
    std::uint64_t latest = upTo(random, kTurn);
    Counter counter(limit, monotonic(latest));
    // By the latest clock everything is admitted at or before it: an upper bound of what it may be.
    std::vector<Admitted> admitted;
    for (int step = 0; step < 200; ++step) {
      latest += upTo(random, limit.unit());
      const std::uint64_t late = upTo(random, limit.unit());
      const std::uint64_t now = latest - std::min(late, latest);
      const std::uint64_t ahead = counter.peek(monotonic(now)).resetAfterNanos;
      const Decision decision = counter.charge(monotonic(now), 1);
      if (!agree(seed, step, "admitted", decision.allowed() ? 1 : 0,
                 ahead + limit.unit() <= span ? 1 : 0)) {
        return;
      }
      if (decision.allowed()) admitted.push_back({now, 1});
    }
    // Sorted by their own clocks they keep to burst and rate.
    std::ranges::sort(admitted, {}, &Admitted::at);
    for (std::size_t i = 0; i < admitted.size(); ++i) {
      const std::vector<Admitted> before(admitted.begin(),
                                         admitted.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      if (backlogOf(before, limit.unit(), admitted[i].at) > Wide{span}) {
        test::reportFailure(__FILE__, __LINE__, "above the burst, seed " + std::to_string(seed));
        return;
      }
    }
  }
}

// --- Windows ---

std::uint64_t periodStart(CalendarPeriod period, std::uint64_t wallMillis) {
  const auto seconds = static_cast<std::time_t>(wallMillis / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  parts.tm_sec = 0;
  parts.tm_min = 0;
  if (period == CalendarPeriod::Hour) return static_cast<std::uint64_t>(timegm(&parts)) * 1000;
  parts.tm_hour = 0;
  if (period == CalendarPeriod::Week) parts.tm_mday -= (parts.tm_wday + 6) % 7;
  if (period >= CalendarPeriod::Month) parts.tm_mday = 1;
  if (period == CalendarPeriod::Year) parts.tm_mon = 0;
  return static_cast<std::uint64_t>(std::max<std::time_t>(timegm(&parts), 0)) * 1000;
}

constexpr std::array kPeriods = {CalendarPeriod::Hour, CalendarPeriod::Day, CalendarPeriod::Week,
                                 CalendarPeriod::Month, CalendarPeriod::Year};

TEST("limits: calendar periods begin where the C library says, from 1970 to 2200") {
  Random random(20261125);
  for (const CalendarPeriod period : kPeriods) {
    CHECK_EQ(calendarOrdinal(period, 0), 0);
    CHECK_EQ(calendarStart(period, 0), 0);
    for (int i = 0; i < 4000; ++i) {
      const std::uint64_t millis = upTo(random, 230 * 365 * kDay);
      const std::uint64_t start = periodStart(period, millis);
      const std::uint64_t ordinal = calendarOrdinal(period, millis);
      if (!agree(20261125, i, "the start", calendarStart(period, ordinal), start)) break;
      const std::uint64_t next = calendarStart(period, ordinal + 1);
      if (!agree(20261125, i, "the next one", next, periodStart(period, next))) break;
      if (!agree(20261125, i, "the last ms", calendarOrdinal(period, next - 1), ordinal)) break;
      if (!agree(20261125, i, "the first ms", calendarOrdinal(period, next), ordinal + 1)) break;
    }
  }
}

TEST("limits: leap years, month ends, and weeks that begin on Monday") {
  const auto next = [](CalendarPeriod period, std::uint64_t millis) {
    return calendarStart(period, calendarOrdinal(period, millis) + 1);
  };
  const std::uint64_t feb28of2024 = 1'709'078'400'000;
  CHECK_EQ(next(CalendarPeriod::Day, feb28of2024), feb28of2024 + kDay);        // the 29th
  CHECK_EQ(next(CalendarPeriod::Month, feb28of2024), feb28of2024 + 2 * kDay);  // March
  const std::uint64_t feb28of2023 = 1'677'542'400'000;
  CHECK_EQ(next(CalendarPeriod::Month, feb28of2023), feb28of2023 + kDay);
  const std::uint64_t feb28of2100 = 4'107'456'000'000;  // no leap year
  CHECK_EQ(next(CalendarPeriod::Month, feb28of2100), feb28of2100 + kDay);
  const std::uint64_t newYear2000 = 946'684'800'000;
  CHECK_EQ(next(CalendarPeriod::Year, newYear2000), newYear2000 + 366 * kDay);
  CHECK_EQ(next(CalendarPeriod::Year, newYear2000 - 1), newYear2000);
  const std::uint64_t monday = 1'763'942'400'000;  // 2025-11-24
  CHECK_EQ(calendarOrdinal(CalendarPeriod::Week, monday),
           calendarOrdinal(CalendarPeriod::Week, monday - 1) + 1);
  CHECK_EQ(next(CalendarPeriod::Week, monday), monday + 7 * kDay);
}

std::uint64_t windowOf(const Limit& limit, std::uint64_t millis) {
  if (limit.algorithm() == Algorithm::Quota) {
    return periodStart(static_cast<CalendarPeriod>(limit.unit()), millis);
  }
  return millis / limit.unit() * limit.unit();
}

// Windows by their starts, so that the model knows nothing of numbers modulo anything.
std::uint64_t windowEnd(const Limit& limit, std::uint64_t start) {
  if (limit.algorithm() != Algorithm::Quota) return start + limit.unit();
  const auto period = static_cast<CalendarPeriod>(limit.unit());
  std::uint64_t later = start + (period == CalendarPeriod::Hour ? kHour : kDay);
  while (periodStart(period, later) == start) later += kDay;
  return periodStart(period, later);
}

std::uint64_t countIn(const std::vector<Admitted>& admitted, std::uint64_t window) {
  std::uint64_t sum = 0;
  for (const Admitted& each : admitted) sum += each.at == window ? each.cost : 0;
  return sum;
}

void checkCounted(std::uint64_t seed, const Limit& limit, std::uint64_t start, Random& random) {
  const std::uint64_t length = windowEnd(limit, windowOf(limit, start)) - windowOf(limit, start);
  std::uint64_t now = start;
  Counter counter(limit, wall(now));
  const std::uint64_t first = windowOf(limit, now);
  std::vector<Admitted> admitted;
  for (int step = 0; step < 200; ++step) {
    now += upTo(random, length / 8);
    // A step back, by up to two windows.
    if (upTo(random, 9) == 0) now -= std::min(now, upTo(random, 2 * length));
    if (upTo(random, 40) == 0) now += upTo(random, 6 * length);
    const std::uint64_t latest = admitted.empty() ? first : admitted.back().at;
    const std::uint64_t window = std::max(latest, windowOf(limit, now));
    const std::uint64_t used = countIn(admitted, window);
    const std::uint64_t cost = upTo(random, 3) == 0 ? upTo(random, limit.max() + 1) : 1;
    const bool refused = cost > 0 && used + cost > limit.max();
    const Outcome outcome = cost > limit.max() ? Outcome::TooCostly
                            : refused          ? Outcome::Refused
                                               : Outcome::Allowed;
    const Decision decision = counter.charge(wall(now), cost);
    std::uint64_t left = limit.max() - used;
    if (outcome == Outcome::Allowed) {
      if (cost > 0) admitted.push_back({window, cost});
      left -= cost;
    }
    const std::uint64_t reset = (windowEnd(limit, window) - now) * kNanosPerMilli;
    const bool good = agree(seed, step, "the outcome", static_cast<std::uint64_t>(decision.outcome),
                            static_cast<std::uint64_t>(outcome)) &&
                      agree(seed, step, "remaining", decision.remaining, left) &&
                      agree(seed, step, "resetAfter", decision.resetAfterNanos, reset) &&
                      agree(seed, step, "retryAfter", decision.retryAfterNanos,
                            outcome == Outcome::Refused ? reset : 0);
    if (!good) return;
  }
}

TEST(
    "limits: fixed windows admit what a list of the admitted says, also where the clock steps "
    "back") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    const std::uint64_t period = 1000 + upTo(random, seed % 3 == 0 ? 30 * kDay : 5000);
    const Limit limit = windows(Algorithm::FixedWindow, 1 + upTo(random, 20), period);
    // Every other schedule goes through the turn of the window numbers.
    const std::uint64_t start =
        seed % 2 == 0 ? 65'536 * period - 5 * period : upTo(random, 60 * 365 * kDay);
    checkCounted(seed, limit, start, random);
  }
}

TEST("limits: quotas admit what a list of the admitted says") {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    Random random(seed);
    const CalendarPeriod period = kPeriods[seed % kPeriods.size()];
    const Limit limit = quota(1 + upTo(random, 20), period);
    // Hours come round in 1977.
    const std::uint64_t start =
        seed % 10 == 0 ? 65'536 * kHour - 3 * kHour : 800 * kDay + upTo(random, 50 * 365 * kDay);
    checkCounted(seed, limit, start, random);
  }
}

TEST("limits: sliding windows admit what the weighted sum of two lists says") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const std::uint64_t period = 1000 + upTo(random, seed % 3 == 0 ? 100'000'000 : 500);
    const std::uint64_t most = seed % 4 == 0 ? (1 << 23) - 1 : 1 + upTo(random, 30);
    const Limit limit = windows(Algorithm::SlidingWindow, most, period);
    std::uint64_t now = seed % 2 == 0 ? 1024 * 3 * period - 4 * period : upTo(random, 9'999 * kDay);
    Counter counter(limit, wall(now));
    const std::uint64_t first = windowOf(limit, now);
    std::vector<Admitted> admitted;
    for (int step = 0; step < 250; ++step) {
      now += upTo(random, period / 6);
      if (upTo(random, 9) == 0) now -= std::min(now, upTo(random, 2 * period));
      if (upTo(random, 40) == 0) now += upTo(random, 5 * period);
      const std::uint64_t latest = admitted.empty() ? first : admitted.back().at;
      const std::uint64_t window = std::max(latest, windowOf(limit, now));
      const std::uint64_t elapsed = now > window ? now - window : 0;
      const std::uint64_t before = window >= period ? countIn(admitted, window - period) : 0;
      const std::uint64_t used = countIn(admitted, window);
      const std::uint64_t cost =
          upTo(random, 3) == 0 ? upTo(random, std::min(most + 1, kMaxCost)) : 1;
      // before * (period - elapsed) / period + used + cost <= max, without the division.
      const Wide weighted = Wide{before} * (period - elapsed) + Wide{used} * period;
      const bool fits = weighted + Wide{cost} * period <= Wide{most} * period;
      const Outcome outcome = cost > most         ? Outcome::TooCostly
                              : cost > 0 && !fits ? Outcome::Refused
                                                  : Outcome::Allowed;
      const std::uint64_t payload = counter.payload;
      const Decision decision = counter.charge(wall(now), cost);
      Wide left = Wide{most} * period - weighted;
      if (outcome == Outcome::Allowed) {
        if (cost > 0) admitted.push_back({window, cost});
        left -= Wide{cost} * period;
      }
      const std::uint64_t remaining = left > 0 ? static_cast<std::uint64_t>(left / period) : 0;
      bool good = agree(seed, step, "the outcome", static_cast<std::uint64_t>(decision.outcome),
                        static_cast<std::uint64_t>(outcome)) &&
                  agree(seed, step, "remaining", decision.remaining, remaining) &&
                  agree(seed, step, "resetAfter", decision.resetAfterNanos,
                        (window + period - now) * kNanosPerMilli);
      const std::uint64_t retry = decision.retryAfterNanos / kNanosPerMilli;
      if (good && outcome == Outcome::Refused) {
        // The very first ms at which it would be allowed.
        good =
            agree(seed, step, "allowed after retryAfter",
                  applyCharge(limit, payload, wall(now + retry), cost).decision.allowed() ? 1 : 0,
                  1) &&
            agree(
                seed, step, "allowed before retryAfter",
                applyCharge(limit, payload, wall(now + retry - 1), cost).decision.allowed() ? 1 : 0,
                0);
      } else if (good) {
        good = agree(seed, step, "retryAfter", retry, 0);
      }
      if (!good) break;
    }
  }
}

TEST("limits: a clock that steps back stays in the counter's window, one that is set begins anew") {
  struct Case {
    Limit limit;
    std::uint64_t period;
    std::uint64_t ahead;  // windows that are taken as the counter's
  };
  const std::array cases = {
      Case{windows(Algorithm::FixedWindow, 3, 1000), 1000, 4095},
      Case{windows(Algorithm::SlidingWindow, 3, 1000), 1000, 63},
      Case{quota(3, CalendarPeriod::Day), kDay, 4095},
  };
  for (const Case& each : cases) {
    const std::uint64_t now = 10'000 * each.period;
    Counter counter(each.limit, wall(now));
    CHECK(counter.charge(wall(now), 3).allowed());
    for (const std::uint64_t back : {std::uint64_t{1}, each.ahead}) {
      const CounterTime earlier = wall(now - back * each.period);
      CHECK(counter.charge(earlier, 1).outcome == Outcome::Refused);
      CHECK(!isNeutral(each.limit.identity(), counter.payload, earlier));
      CHECK_EQ(counter.peek(earlier).resetAfterNanos, (back + 1) * each.period * kNanosPerMilli);
    }
    const CounterTime set = wall(now - (each.ahead + 1) * each.period);
    CHECK(isNeutral(each.limit.identity(), counter.payload, set));
    CHECK(counter.charge(set, 3).allowed());
  }
}

TEST("limits: idle counters are neutral for as long as the header promises") {
  struct Case {
    Limit limit;
    std::uint64_t period;
    std::uint64_t from;
    std::uint64_t to;
  };
  const std::array cases = {
      Case{windows(Algorithm::FixedWindow, 3, 1000), 1000, 1, 61'440},
      Case{windows(Algorithm::SlidingWindow, 3, 1000), 1000, 2, 960},
      Case{quota(3, CalendarPeriod::Hour), kHour, 1, 61'440},
  };
  for (const Case& each : cases) {
    const std::uint64_t now = 100'000 * each.period;
    Counter counter(each.limit, wall(now));
    CHECK(isNeutral(each.limit.identity(), counter.payload, wall(now)));
    CHECK(counter.charge(wall(now), 1).allowed());
    const auto neutralAfter = [&](std::uint64_t passed) {
      return isNeutral(each.limit.identity(), counter.payload, wall(now + passed * each.period));
    };
    CHECK(!neutralAfter(each.from - 1));
    CHECK(neutralAfter(each.from));
    CHECK(neutralAfter(each.to));
    CHECK(!neutralAfter(each.to + 1));
    CHECK_EQ(counter.peek(wall(now + each.to * each.period)).remaining, 3);
  }
}

// --- Concurrency, refunds, limits ---

TEST("limits: concurrency counts what is under way and says to come back in a second") {
  const Limit limit = concurrency(2);
  Counter counter(limit, {});
  CHECK_EQ(counter.charge({}, 1).remaining, 1);
  CHECK(counter.charge({}, 1).allowed());
  const Decision refused = counter.charge({}, 1);
  CHECK(refused.outcome == Outcome::Refused);
  CHECK_EQ(refused.retryAfterNanos, kConcurrencyRetryNanos);
  CHECK_EQ(refused.resetAfterNanos, 0);
  CHECK_EQ(counter.charge({}, 3).retryAfterNanos, 0);
  CHECK(!isNeutral(limit.identity(), counter.payload, {}));
  counter.payload = applyRefund(limit, counter.payload, {}, {}, 1);
  CHECK(counter.charge({}, 1).allowed());
  counter.payload = applyRefund(limit, counter.payload, {}, {}, 2);
  CHECK(isNeutral(limit.identity(), counter.payload, {}));
}

std::vector<Limit> oneOfEach() {
  return {gcra(10, 1000, 5), windows(Algorithm::FixedWindow, 5, 1000),
          windows(Algorithm::SlidingWindow, 5, 1000), quota(5, CalendarPeriod::Month),
          concurrency(5)};
}

TEST("limits: a refund at once leaves things as they were; too much is no harm") {
  const CounterTime time{123'456'789'012, 1'700'000'000'123};
  for (const Limit& limit : oneOfEach()) {
    Counter counter(limit, time);
    CHECK(counter.charge(time, 2).allowed());
    const std::uint64_t payload = counter.payload;
    CHECK(counter.charge(time, 3).allowed());
    counter.payload = applyRefund(limit, counter.payload, time, time, 3);
    CHECK_EQ(counter.payload, payload);
    CHECK_EQ(counter.peek(time).remaining, 3);
    counter.payload = applyRefund(limit, counter.payload, time, time, 5);
    CHECK_EQ(counter.peek(time).remaining, 5);
    CHECK(isNeutral(limit.identity(), counter.payload, time));
    // One that cannot have been made.
    CHECK(counter.charge(time, 2).allowed());
    CHECK_EQ(applyRefund(limit, counter.payload, time, time, 6), counter.payload);
  }
}

TEST("limits: a refund after the window gives nothing of the next one") {
  for (const Algorithm algorithm : {Algorithm::FixedWindow, Algorithm::SlidingWindow}) {
    const Limit limit = windows(algorithm, 5, 1000);
    Counter counter(limit, wall(500'000));
    CHECK(counter.charge(wall(500'000), 2).allowed());
    CHECK(counter.charge(wall(501'999), 2).allowed());
    CHECK_EQ(applyRefund(limit, counter.payload, wall(500'000), wall(501'999), 2), counter.payload);
  }
}

TEST("limits: gcra with refunds keeps to burst and rate in what was not refunded") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const Limit limit = gcra(1 + upTo(random, 50), 1000, 1 + upTo(random, 12));
    const std::uint64_t interval = limit.unit();
    std::uint64_t now = kTurn - 30 * interval;
    Counter counter(limit, monotonic(now));
    std::vector<Admitted> admitted;
    for (int step = 0; step < 200; ++step) {
      now += upTo(random, 3) == 0 ? upTo(random, 3 * interval) : upTo(random, interval / 4);
      const std::uint64_t cost = 1 + upTo(random, limit.max() - 1);
      if (counter.charge(monotonic(now), cost).allowed()) admitted.push_back({now, cost});
      if (!admitted.empty() && upTo(random, 3) == 0) {
        const std::size_t which = upTo(random, admitted.size() - 1);
        counter.payload = applyRefund(limit, counter.payload, monotonic(admitted[which].at),
                                      monotonic(now), admitted[which].cost);
        admitted.erase(admitted.begin() + static_cast<std::ptrdiff_t>(which));
      }
      const Wide backlog = backlogOf(admitted, interval, now);
      if (Wide{counter.peek(monotonic(now)).resetAfterNanos} < backlog) {
        test::reportFailure(__FILE__, __LINE__, "gave back too much, seed " + std::to_string(seed));
        return;
      }
    }
  }
}

TEST("limits: a cost of nothing is always allowed and changes nothing") {
  const CounterTime time{5'000'000'000, 1'700'000'000'000};
  for (const Limit& limit : oneOfEach()) {
    Counter counter(limit, time);
    CHECK(counter.charge(time, 5).allowed());
    CHECK(counter.charge(time, 1).outcome == Outcome::Refused);
    const std::uint64_t payload = counter.payload;
    const Decision decision = counter.charge(time, 0);
    CHECK(decision.allowed());
    CHECK_EQ(decision.remaining, 0);
    CHECK_EQ(counter.payload, payload);
    CHECK(counter.charge(time, 6).outcome == Outcome::TooCostly);
    CHECK_EQ(counter.payload, payload);
  }
}

TEST("limits: a limit that was lowered refuses, and one that was raised admits the rest") {
  for (const Algorithm algorithm : {Algorithm::FixedWindow, Algorithm::SlidingWindow}) {
    const CounterTime time = wall(7'000'000);
    Counter counter(windows(algorithm, 10, 1000), time);
    CHECK(counter.charge(time, 8).allowed());
    counter.limit = windows(algorithm, 5, 1000);
    CHECK(counter.charge(time, 1).outcome == Outcome::Refused);
    CHECK_EQ(counter.peek(time).remaining, 0);
    counter.limit = windows(algorithm, 12, 1000);
    CHECK_EQ(counter.peek(time).remaining, 4);
  }
  Counter counter(gcra(10, 1000, 10), monotonic(77));
  CHECK(counter.charge(monotonic(77), 8).allowed());
  counter.limit = gcra(10, 1000, 5);
  CHECK(counter.charge(monotonic(77), 1).outcome == Outcome::Refused);
  CHECK_EQ(counter.peek(monotonic(77)).remaining, 0);
}

TEST("limits: what does not fit is refused with what would") {
  struct Case {
    LimitSpec spec;
    const char* error;  // nullptr: accepted
  };
  const auto spec = [](Algorithm algorithm, std::uint64_t count, std::uint64_t period,
                       std::uint64_t burst) {
    return LimitSpec{.algorithm = algorithm,
                     .count = count,
                     .periodMillis = period,
                     .burst = burst,
                     .calendar = {}};
  };
  const std::uint64_t year = 366 * kDay;
  const std::vector<Case> cases = {
      {spec(Algorithm::Gcra, 10'000'000, 1000, 1), nullptr},
      {spec(Algorithm::Gcra, 10'000'001, 1000, 1),
       "the count must be 1 to 10000000 but is 10000001"},
      {spec(Algorithm::Gcra, 0, 1000, 1), "the count must be 1 to 10000000 but is 0"},
      {spec(Algorithm::Gcra, 1, 0, 1), "the period in ms must be 1 to 31622400000 but is 0"},
      {spec(Algorithm::Gcra, 1, kDay, 366), nullptr},
      {spec(Algorithm::Gcra, 1, kDay, 367),
       "the burst (it may take 366 days to come back) must be 1 to 366 but is 367"},
      {spec(Algorithm::Gcra, 1, kDay, 0),
       "the burst (it may take 366 days to come back) must be 1 to 366 but is 0"},
      {spec(Algorithm::FixedWindow, (std::uint64_t{1} << 40) - 1, year, 0), nullptr},
      {spec(Algorithm::FixedWindow, std::uint64_t{1} << 40, year, 0),
       "the count must be 1 to 1099511627775 but is 1099511627776"},
      {spec(Algorithm::FixedWindow, 1, year + 1, 0),
       "the period in ms must be 1000 to 31622400000 but is 31622400001"},
      {spec(Algorithm::FixedWindow, 1, 999, 0),
       "the period in ms must be 1000 to 31622400000 but is 999"},
      {spec(Algorithm::SlidingWindow, 8'388'607, 1000, 0), nullptr},
      {spec(Algorithm::SlidingWindow, 8'388'608, 1000, 0),
       "the count must be 1 to 8388607 but is 8388608"},
      {spec(Algorithm::Concurrency, 1'048'576, 0, 0), nullptr},
      {spec(Algorithm::Concurrency, 1'048'577, 0, 0),
       "the count must be 1 to 1048576 but is 1048577"},
      {spec(Algorithm::Quota, 1, 0, 0), nullptr},
      {{Algorithm::Quota, 1, 0, 0, static_cast<CalendarPeriod>(5)},
       "there is no such calendar period"},
      {spec(static_cast<Algorithm>(5), 1, 1000, 1), "there is no such algorithm"},
  };
  for (const Case& each : cases) {
    const Result<Limit, std::string> made = makeLimit(each.spec);
    CHECK_EQ(made.ok() ? "accepted" : made.error(), each.error ? each.error : "accepted");
  }
}

TEST("limits: another algorithm, period or interval is another identity, another count is not") {
  std::vector<std::uint64_t> identities;
  for (const Limit& limit : oneOfEach()) identities.push_back(limit.identity());
  identities.push_back(windows(Algorithm::FixedWindow, 5, 1001).identity());
  identities.push_back(quota(5, CalendarPeriod::Year).identity());
  identities.push_back(gcra(11, 1000, 5).identity());
  std::ranges::sort(identities);
  CHECK(std::ranges::adjacent_find(identities) == identities.end());
  CHECK_EQ(windows(Algorithm::FixedWindow, 6, 1000).identity(),
           windows(Algorithm::FixedWindow, 5, 1000).identity());
  CHECK_EQ(gcra(10, 1000, 7).identity(), gcra(10, 1000, 5).identity());
}

TEST("limits: the largest counts neither spill into the window nor wrap") {
  const std::uint64_t most = (std::uint64_t{1} << 40) - 1;
  const CounterTime time = wall(65'535 * std::uint64_t{1000});
  Counter counter(windows(Algorithm::FixedWindow, most, 1000), time);
  counter.payload += most - 5;
  CHECK_EQ(counter.peek(time).remaining, 5);
  CHECK(counter.charge(time, 6).outcome == Outcome::Refused);
  CHECK_EQ(counter.charge(time, 5).remaining, 0);
  CHECK_EQ(counter.payload, kPayloadMask);
  CHECK_EQ(counter.peek(wall(65'536'000)).remaining, most);
}

}  // namespace
}  // namespace tidegate
