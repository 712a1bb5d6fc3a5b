// The algorithms of limits as pure functions on 56 bits, which a counter keeps in one word. Nothing
// here reads a clock or shares memory.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace tidegate {

enum class Algorithm : std::uint8_t {
  Gcra,           // a rate with a burst; payload: the theoretical arrival time in ns, modulo 2^56
  FixedWindow,    // windows aligned to the wall clock; payload: window (16 bits), count (40)
  SlidingWindow,  // this window and a share of the one before; window (10), before (23), count (23)
  Concurrency,    // how many are under way; payload: their number
  Quota,          // a count by calendar period in UTC; payload as of FixedWindow
};

enum class CalendarPeriod : std::uint8_t { Hour, Day, Week, Month, Year };  // weeks begin on Monday

// Both clocks at one moment. The monotonic one drives GCRA, the wall clock the windows. A time that
// is a little older than another thread's is fine: where a counter has seen a later window, that is
// the current one, and a clock that steps back does not open a window again. A clock that steps
// back by more (64 windows of SlidingWindow, 4,096 of FixedWindow and Quota) has been set: the
// counter follows it and begins anew.
struct CounterTime {
  std::uint64_t monotonicNanos = 0;
  std::uint64_t wallMillis = 0;  // since 1970
};

inline constexpr std::uint64_t kMaxCost = 1 << 20;
inline constexpr int kPayloadBits = 56;
inline constexpr std::uint64_t kPayloadMask = (std::uint64_t{1} << kPayloadBits) - 1;
inline constexpr std::uint64_t kMaxSpanMillis = std::uint64_t{366} * 24 * 60 * 60 * 1000;

// What makeLimit() is asked for. Fields that the algorithm does not use are ignored.
struct LimitSpec {
  Algorithm algorithm = Algorithm::FixedWindow;
  std::uint64_t count = 0;         // how many, in a period; Concurrency: at once
  std::uint64_t periodMillis = 0;  // Gcra, FixedWindow, SlidingWindow
  std::uint64_t burst = 0;         // Gcra: how many at once after a rest; at least 1
  CalendarPeriod calendar = CalendarPeriod::Hour;  // Quota
};

// A limit whose numbers fit the payload.
class Limit {
 public:
  Algorithm algorithm() const { return algorithm_; }

  // The most that can be had at once: the burst of Gcra, the count of the others.
  std::uint64_t max() const { return max_; }

  // Algorithm and period as one number (Gcra: the interval between two). Counters of another
  // identity are other counters; a changed count alone keeps what was counted.
  std::uint64_t identity() const {
    return static_cast<std::uint64_t>(algorithm_) << kPayloadBits | unit_;
  }

  // Gcra: ns between two at the steady rate. Rounded up, so that never more than the rate passes,
  // and less by up to that nanosecond each: 3 a second are 333,333,334 ns apart. (The model in
  // src/policy/testing/counters.ts counts in fractions.) Windows: ms. Quota: the CalendarPeriod.
  std::uint64_t unit() const { return unit_; }

 private:
  friend Result<Limit, std::string> makeLimit(const LimitSpec& spec);

  Limit(Algorithm algorithm, std::uint64_t unit, std::uint64_t max)
      : algorithm_(algorithm), unit_(unit), max_(max) {}

  Algorithm algorithm_;
  std::uint64_t unit_;
  std::uint64_t max_;
};

// Or what is wrong with it, for people. Accepted are
// - Gcra: up to 10 million a second, and a burst that takes at most 366 days to come back;
// - FixedWindow, SlidingWindow: periods of 1 s to 366 days, counts below 2^40 and 2^23;
// - Concurrency: up to 2^20; Quota: counts below 2^40.
Result<Limit, std::string> makeLimit(const LimitSpec& spec);

enum class Outcome : std::uint8_t {
  Allowed,
  Refused,    // for now
  TooCostly,  // the cost is above the limit: never
  Full,       // from a counter table: there is no room for the counter
};

// The least that Retry-After can say.
inline constexpr std::uint64_t kConcurrencyRetryNanos = 1'000'000'000;

struct Decision {
  Outcome outcome = Outcome::Allowed;
  std::uint64_t limit = 0;      // Limit::max()
  std::uint64_t remaining = 0;  // what could still be had now, after this charge
  // Until the window ends; Gcra: until the whole burst is there again. Concurrency: 0.
  std::uint64_t resetAfterNanos = 0;
  // Refused: the least after which the same charge is allowed if nobody else comes. Concurrency, of
  // which no clock knows: kConcurrencyRetryNanos. Otherwise 0.
  std::uint64_t retryAfterNanos = 0;

  bool allowed() const { return outcome == Outcome::Allowed; }
};

struct Charged {
  std::uint64_t payload = 0;  // the new one; the old one unless allowed
  Decision decision;
};

// The payload of a counter that nobody has charged.
std::uint64_t freshPayload(const Limit& limit, CounterTime time);

// Cost 0 to kMaxCost; 0 is always allowed and just tells.
Charged applyCharge(const Limit& limit, std::uint64_t payload, CounterTime time,
                    std::uint64_t cost);

// Takes back a charge that was allowed at `chargedAt`. It gives back no more than is certain to be
// still counted: nothing once the window has changed, and of Gcra what has not flowed off since.
// Where others have charged since with clocks ahead of `now`, Gcra may let them have as much of its
// rate again as those were ahead.
std::uint64_t applyRefund(const Limit& limit, std::uint64_t payload, CounterTime chargedAt,
                          CounterTime now, std::uint64_t cost);

// Whether a counter behaves as one that does not exist, so that its place can be given away.
// `identity` is that of its limit.
//
// Numbers of windows are kept modulo a power of two, so that an idle counter must be seen neutral,
// and dropped, before they come round: within 960 windows of SlidingWindow (16 minutes at 1 s),
// 61,440 of FixedWindow (17 hours at 1 s) and Quota (7 years of hours), 417 days of Gcra. One that
// was not counts as ahead of the clock for the rest of the turn.
bool isNeutral(std::uint64_t identity, std::uint64_t payload, CounterTime now);

// Calendar periods are numbered from 1970 on (weeks from the one that holds 1970-01-01).
std::uint64_t calendarOrdinal(CalendarPeriod period, std::uint64_t wallMillis);
// In ms since 1970; of week 0, which begins before, 0.
std::uint64_t calendarStart(CalendarPeriod period, std::uint64_t ordinal);

}  // namespace tidegate
