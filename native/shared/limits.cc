// Each algorithm: charge, refund, neutral.
#include "shared/limits.h"

#include <algorithm>
#include <cassert>
#include <chrono>

namespace tidegate {

namespace {

constexpr std::uint64_t kNanosPerMilli = 1'000'000;
constexpr std::uint64_t kHour = std::uint64_t{60} * 60 * 1000;
constexpr std::uint64_t kDay = 24 * kHour;

constexpr int kCountBits = 40;
constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kCountBits) - 1;
constexpr int kWindowBits = 16;

constexpr int kSlidingBits = 23;
constexpr std::uint64_t kSlidingMask = (std::uint64_t{1} << kSlidingBits) - 1;
constexpr int kSlidingWindowBits = 10;

// How many windows the counter's is ahead of the clock's, both modulo 2^bits. A sixteenth of a turn
// is taken as ahead, the rest as behind: clocks step back less than counters idle.
std::int64_t windowsAhead(std::uint64_t stored, std::uint64_t current, int bits) {
  const std::uint64_t turn = std::uint64_t{1} << bits;
  const auto ahead = static_cast<std::int64_t>((stored - current) & (turn - 1));
  return ahead < static_cast<std::int64_t>(turn / 16) ? ahead
                                                      : ahead - static_cast<std::int64_t>(turn);
}

std::uint64_t remainingOf(std::uint64_t max, std::uint64_t used) {
  return max - std::min(max, used);
}

// Windows and calendar periods alike: numbered on the wall clock.
std::uint64_t ordinalAt(Algorithm algorithm, std::uint64_t unit, std::uint64_t wallMillis) {
  return algorithm == Algorithm::Quota
             ? calendarOrdinal(static_cast<CalendarPeriod>(unit), wallMillis)
             : wallMillis / unit;
}

std::uint64_t startOf(const Limit& limit, std::uint64_t ordinal) {
  return limit.algorithm() == Algorithm::Quota
             ? calendarStart(static_cast<CalendarPeriod>(limit.unit()), ordinal)
             : ordinal * limit.unit();
}

// Gcra: how far the theoretical arrival time lies in the future. Half a turn, 417 days, is more
// than the 366 that makeLimit() lets it be.
std::uint64_t aheadOf(std::uint64_t payload, std::uint64_t nowNanos) {
  const std::uint64_t ahead = (payload - nowNanos) & kPayloadMask;
  return ahead <= kPayloadMask / 2 ? ahead : 0;
}

Charged chargeGcra(const Limit& limit, std::uint64_t payload, CounterTime time,
                   std::uint64_t cost) {
  const std::uint64_t span = limit.max() * limit.unit();
  std::uint64_t ahead = aheadOf(payload, time.monotonicNanos);
  Charged result{payload, {}};
  Decision& decision = result.decision;
  const std::uint64_t after = ahead + cost * limit.unit();
  if (after <= span) {
    ahead = after;
    result.payload = (time.monotonicNanos + ahead) & kPayloadMask;
  } else if (cost > 0) {
    decision.outcome = Outcome::Refused;
    decision.retryAfterNanos = after - span;
  }
  decision.remaining = remainingOf(span, ahead) / limit.unit();
  decision.resetAfterNanos = ahead;
  return result;
}

// FixedWindow and Quota.
Charged chargeWindow(const Limit& limit, std::uint64_t payload, CounterTime time,
                     std::uint64_t cost) {
  std::uint64_t ordinal = ordinalAt(limit.algorithm(), limit.unit(), time.wallMillis);
  const std::int64_t ahead = windowsAhead(payload >> kCountBits, ordinal, kWindowBits);
  std::uint64_t used = 0;
  if (ahead >= 0) {
    used = payload & kCountMask;
    ordinal += static_cast<std::uint64_t>(ahead);
  }
  Charged result{payload, {}};
  Decision& decision = result.decision;
  decision.resetAfterNanos = (startOf(limit, ordinal + 1) - time.wallMillis) * kNanosPerMilli;
  if (used + cost <= limit.max()) {
    used += cost;
    result.payload = (ordinal << kCountBits | used) & kPayloadMask;
  } else if (cost > 0) {
    decision.outcome = Outcome::Refused;
    decision.retryAfterNanos = decision.resetAfterNanos;
  }
  decision.remaining = remainingOf(limit.max(), used);
  return result;
}

struct Sliding {
  std::uint64_t ordinal;
  std::uint64_t before;  // the count of the window before
  std::uint64_t count;
  std::uint64_t untilStart;  // ms; 0 unless the counter is ahead of the clock
  std::uint64_t elapsed;     // ms of this window
};

Sliding slidingAt(std::uint64_t period, std::uint64_t payload, std::uint64_t wallMillis) {
  const std::uint64_t current = wallMillis / period;
  const std::int64_t ahead =
      windowsAhead(payload >> (2 * kSlidingBits), current, kSlidingWindowBits);
  const std::uint64_t before = payload >> kSlidingBits & kSlidingMask;
  const std::uint64_t count = payload & kSlidingMask;
  const std::uint64_t elapsed = wallMillis % period;
  if (ahead > 0) {
    const std::uint64_t ordinal = current + static_cast<std::uint64_t>(ahead);
    return {ordinal, before, count, ordinal * period - wallMillis, 0};
  }
  if (ahead == 0) return {current, before, count, 0, elapsed};
  return {current, ahead == -1 ? count : 0, 0, 0, elapsed};
}

// The ms of a window that must pass until at most `room` is left of `before`.
std::uint64_t fadedAfter(std::uint64_t before, std::uint64_t room, std::uint64_t period) {
  return before <= room ? 0 : period - room * period / before;
}

// From the start of the window `at` on.
std::uint64_t slidingRetry(const Limit& limit, const Sliding& at, std::uint64_t cost) {
  const std::uint64_t period = limit.unit();
  const std::uint64_t most = limit.max() - cost;
  if (at.count <= most) return fadedAfter(at.before, most - at.count, period);
  return period + fadedAfter(at.count, most, period);
}

Charged chargeSliding(const Limit& limit, std::uint64_t payload, CounterTime time,
                      std::uint64_t cost) {
  const std::uint64_t period = limit.unit();
  Sliding at = slidingAt(period, payload, time.wallMillis);
  // Rounded up: of doubt, the limit has the benefit.
  const std::uint64_t share = (at.before * (period - at.elapsed) + period - 1) / period;
  Charged result{payload, {}};
  Decision& decision = result.decision;
  if (share + at.count + cost <= limit.max()) {
    at.count += cost;
    result.payload =
        (at.ordinal << (2 * kSlidingBits) | at.before << kSlidingBits | at.count) & kPayloadMask;
  } else if (cost > 0) {
    decision.outcome = Outcome::Refused;
    decision.retryAfterNanos =
        (at.untilStart + slidingRetry(limit, at, cost) - at.elapsed) * kNanosPerMilli;
  }
  decision.remaining = remainingOf(limit.max(), share + at.count);
  decision.resetAfterNanos = (at.untilStart + period - at.elapsed) * kNanosPerMilli;
  return result;
}

Charged chargeConcurrency(const Limit& limit, std::uint64_t payload, std::uint64_t cost) {
  Charged result{payload, {}};
  if (payload + cost <= limit.max()) {
    result.payload += cost;
  } else if (cost > 0) {
    result.decision.outcome = Outcome::Refused;
    result.decision.retryAfterNanos = kConcurrencyRetryNanos;
  }
  result.decision.remaining = remainingOf(limit.max(), result.payload);
  return result;
}

// Of a charge that has `elapsed` ns behind it, at least cost * interval - elapsed is still ahead,
// whatever else came; giving back more would let others have more than the rate.
std::uint64_t refundGcra(const Limit& limit, std::uint64_t payload, CounterTime chargedAt,
                         CounterTime now, std::uint64_t cost) {
  const std::uint64_t ahead = aheadOf(payload, now.monotonicNanos);
  const std::uint64_t elapsed =
      now.monotonicNanos - std::min(chargedAt.monotonicNanos, now.monotonicNanos);
  const std::uint64_t charged = cost * limit.unit();
  const std::uint64_t credit = std::min(charged - std::min(charged, elapsed), ahead);
  return (payload - credit) & kPayloadMask;
}

Failure<std::string> wrong(std::string text) { return Failure{std::move(text)}; }

Result<Limit, std::string> outOfRange(const char* what, std::uint64_t value, std::uint64_t least,
                                      std::uint64_t most) {
  return wrong(std::string(what) + " must be " + std::to_string(least) + " to " +
               std::to_string(most) + " but is " + std::to_string(value));
}

}  // namespace

Result<Limit, std::string> makeLimit(const LimitSpec& spec) {
  const auto made = [&spec](std::uint64_t unit, std::uint64_t most) -> Result<Limit, std::string> {
    if (spec.count < 1 || spec.count > most) return outOfRange("the count", spec.count, 1, most);
    return Limit(spec.algorithm, unit, spec.count);
  };
  switch (spec.algorithm) {
    case Algorithm::Concurrency:
      return made(0, kMaxCost);
    case Algorithm::Quota:
      if (spec.calendar > CalendarPeriod::Year) return wrong("there is no such calendar period");
      return made(static_cast<std::uint64_t>(spec.calendar), kCountMask);
    case Algorithm::FixedWindow:
    case Algorithm::SlidingWindow:
      if (spec.periodMillis < 1000 || spec.periodMillis > kMaxSpanMillis) {
        return outOfRange("the period in ms", spec.periodMillis, 1000, kMaxSpanMillis);
      }
      return made(spec.periodMillis,
                  spec.algorithm == Algorithm::FixedWindow ? kCountMask : kSlidingMask);
    case Algorithm::Gcra:
      break;
    default:
      return wrong("there is no such algorithm");
  }
  if (spec.periodMillis < 1 || spec.periodMillis > kMaxSpanMillis) {
    return outOfRange("the period in ms", spec.periodMillis, 1, kMaxSpanMillis);
  }
  const std::uint64_t most = spec.periodMillis * 10'000;
  if (spec.count < 1 || spec.count > most) return outOfRange("the count", spec.count, 1, most);
  const std::uint64_t interval = (spec.periodMillis * kNanosPerMilli + spec.count - 1) / spec.count;
  const std::uint64_t mostBurst = kMaxSpanMillis * kNanosPerMilli / interval;
  if (spec.burst < 1 || spec.burst > mostBurst) {
    return outOfRange("the burst (it may take 366 days to come back)", spec.burst, 1, mostBurst);
  }
  return Limit(Algorithm::Gcra, interval, spec.burst);
}

std::uint64_t freshPayload(const Limit& limit, CounterTime time) {
  switch (limit.algorithm()) {
    case Algorithm::Gcra:
      return time.monotonicNanos & kPayloadMask;
    case Algorithm::SlidingWindow:
      return time.wallMillis / limit.unit() << (2 * kSlidingBits) & kPayloadMask;
    case Algorithm::FixedWindow:
    case Algorithm::Quota:
      return ordinalAt(limit.algorithm(), limit.unit(), time.wallMillis) << kCountBits &
             kPayloadMask;
    case Algorithm::Concurrency:
      break;
  }
  return 0;
}

Charged applyCharge(const Limit& limit, std::uint64_t payload, CounterTime time,
                    std::uint64_t cost) {
  assert(cost <= kMaxCost);
  // A cost that can never be had only tells how things stand.
  const std::uint64_t charged = cost > limit.max() ? 0 : cost;
  Charged result;
  switch (limit.algorithm()) {
    case Algorithm::Gcra:
      result = chargeGcra(limit, payload, time, charged);
      break;
    case Algorithm::SlidingWindow:
      result = chargeSliding(limit, payload, time, charged);
      break;
    case Algorithm::FixedWindow:
    case Algorithm::Quota:
      result = chargeWindow(limit, payload, time, charged);
      break;
    case Algorithm::Concurrency:
      result = chargeConcurrency(limit, payload, charged);
      break;
  }
  result.decision.limit = limit.max();
  if (charged != cost) result.decision.outcome = Outcome::TooCostly;
  if (charged == 0) result.payload = payload;
  return result;
}

std::uint64_t applyRefund(const Limit& limit, std::uint64_t payload, CounterTime chargedAt,
                          CounterTime now, std::uint64_t cost) {
  if (cost > limit.max()) return payload;
  std::uint64_t count = 0;
  switch (limit.algorithm()) {
    case Algorithm::Gcra:
      return refundGcra(limit, payload, chargedAt, now, cost);
    case Algorithm::Concurrency:
      count = payload;
      break;
    case Algorithm::SlidingWindow:
      if (windowsAhead(payload >> (2 * kSlidingBits), chargedAt.wallMillis / limit.unit(),
                       kSlidingWindowBits) == 0) {
        count = payload & kSlidingMask;
      }
      break;
    case Algorithm::FixedWindow:
    case Algorithm::Quota:
      if (windowsAhead(payload >> kCountBits,
                       ordinalAt(limit.algorithm(), limit.unit(), chargedAt.wallMillis),
                       kWindowBits) == 0) {
        count = payload & kCountMask;
      }
      break;
  }
  // The count stands in the lowest bits of all of them.
  return payload - std::min(count, cost);
}

bool isNeutral(std::uint64_t identity, std::uint64_t payload, CounterTime now) {
  const auto algorithm = static_cast<Algorithm>(identity >> kPayloadBits);
  const std::uint64_t unit = identity & kPayloadMask;
  switch (algorithm) {
    case Algorithm::Gcra:
      return aheadOf(payload, now.monotonicNanos) == 0;
    case Algorithm::Concurrency:
      return payload == 0;
    case Algorithm::SlidingWindow: {
      const Sliding at = slidingAt(unit, payload, now.wallMillis);
      return at.untilStart == 0 && at.before == 0 && at.count == 0;
    }
    case Algorithm::FixedWindow:
    case Algorithm::Quota: {
      const std::int64_t ahead = windowsAhead(
          payload >> kCountBits, ordinalAt(algorithm, unit, now.wallMillis), kWindowBits);
      return ahead < 0 || (ahead == 0 && (payload & kCountMask) == 0);
    }
  }
  return false;
}

std::uint64_t calendarOrdinal(CalendarPeriod period, std::uint64_t wallMillis) {
  using std::chrono::days;
  const std::uint64_t day = wallMillis / kDay;
  switch (period) {
    case CalendarPeriod::Hour:
      return wallMillis / kHour;
    case CalendarPeriod::Day:
      return day;
    case CalendarPeriod::Week:
      return (day + 3) / 7;  // 1970-01-01 was a Thursday
    case CalendarPeriod::Month:
    case CalendarPeriod::Year:
      break;
  }
  const std::chrono::year_month_day date{std::chrono::sys_days{days{static_cast<int>(day)}}};
  const auto years = static_cast<std::uint64_t>(static_cast<int>(date.year()) - 1970);
  if (period == CalendarPeriod::Year) return years;
  return years * 12 + static_cast<unsigned>(date.month()) - 1;
}

std::uint64_t calendarStart(CalendarPeriod period, std::uint64_t ordinal) {
  switch (period) {
    case CalendarPeriod::Hour:
      return ordinal * kHour;
    case CalendarPeriod::Day:
      return ordinal * kDay;
    case CalendarPeriod::Week:
      return ordinal == 0 ? 0 : (ordinal * 7 - 3) * kDay;
    case CalendarPeriod::Month:
    case CalendarPeriod::Year:
      break;
  }
  const std::uint64_t months = period == CalendarPeriod::Year ? ordinal * 12 : ordinal;
  const std::chrono::sys_days start{std::chrono::year{1970 + static_cast<int>(months / 12)} /
                                    std::chrono::month{static_cast<unsigned>(months % 12 + 1)} / 1};
  return static_cast<std::uint64_t>(start.time_since_epoch().count()) * kDay;
}

}  // namespace tidegate
