// Finding, charging, adding and reclaiming.
//
// The race to get right: between a charger's load of a word and its swap, the slot is reclaimed and
// given to another key. Why no charge is lost or lands on the wrong key:
// - The generation in the word is odd while the slot is in use, and goes up by one at each claim
//   and each release; nothing but a claim makes it odd. A charger touches odd words only.
// - A claim stores the key (release), then the word (release). A charger loads the word (acquire),
//   compares the key (acquire), and looks at the word's generation once more: had it seen the key
//   of a later claim, it would now see that the word has changed too. So the word was the key's,
//   which is all that a charge needs that is refused; one that is allowed swaps that very word.
// - Release is a swap of the word as well, made only where the payload is neutral: of a charge and
//   a release one wins, and the other looks again.
// - Only who holds the latches of both groups of a key adds it, after having looked again: no key
//   is there twice. Slots do not move.
// - Who was late with its clock cannot bring back a window in which the counter was reclaimed: new
//   counters begin no earlier than the latest reclaiming (notBeforeReclaimed), which in turn takes
//   only what was neutral kLate ago, so that usual lateness does not make a new counter begin
//   later.
// What 8 bits leave open: 128 claims and releases of one slot between a load and its swap (some
// nanoseconds, or the time for which the thread was suspended), which end in the very payload that
// was loaded. Then one charge is booked on another counter. Each of those cycles takes latches, and
// a counter that is neutral in between: nobody can bring that about on purpose, and by chance it is
// too rare to be worth a second word.
#include "shared/counter_table.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>

#include "base/large_pages.h"

namespace tidegate {

namespace {

constexpr std::uint64_t kGeneration = std::uint64_t{1} << kPayloadBits;

// How far the wall clock may step back without a reclaimed counter beginning anew. Further back, it
// has been set, and new counters follow it.
constexpr std::uint64_t kMaxStepBackMillis = 60'000;

// How late a thread's clock may be, which it reads once a turn of its loop.
constexpr std::uint64_t kLateMillis = 1000;
constexpr std::uint64_t kLateNanos = kLateMillis * 1'000'000;

bool inUse(std::uint64_t word) { return (word & kGeneration) != 0; }

bool sameGeneration(std::uint64_t word, std::uint64_t other) {
  return word >> kPayloadBits == other >> kPayloadBits;
}

std::uint64_t withPayload(std::uint64_t word, std::uint64_t payload) {
  return (word & ~kPayloadMask) | payload;
}

constexpr std::uint64_t kLanes = 0x0001'0001'0001'0001;
constexpr std::size_t kLanesPerWord = 4;

// The top bit of each 16-bit lane that equals `tag`.
std::uint64_t lanesOf(std::uint64_t tags, std::uint16_t tag) {
  constexpr std::uint64_t kLow = kLanes * 0x7fff;
  const std::uint64_t other = tags ^ (kLanes * tag);
  return ~(((other & kLow) + kLow) | other | kLow);
}

void setTag(std::atomic<std::uint64_t>& tags, std::size_t lane, std::uint16_t tag) {
  const std::size_t shift = lane * 16;
  const std::uint64_t others =
      tags.load(std::memory_order_relaxed) & ~(std::uint64_t{0xffff} << shift);
  tags.store(others | std::uint64_t{tag} << shift, std::memory_order_release);
}

// To the later of both; also back to a `value` that is earlier by more than `mostBack`.
void advance(std::atomic<std::uint64_t>& latest, std::uint64_t value, std::uint64_t mostBack) {
  std::uint64_t known = latest.load(std::memory_order_relaxed);
  while ((known < value || known - value > mostBack) &&
         !latest.compare_exchange_weak(known, value, std::memory_order_relaxed)) {
  }
}

CounterTime someLate(CounterTime time) {
  return {time.monotonicNanos - std::min(time.monotonicNanos, kLateNanos),
          time.wallMillis - std::min(time.wallMillis, kLateMillis)};
}

// A permit of Concurrency is for one.
std::uint64_t costOf(const Charge& charge) {
  return charge.limit.algorithm() == Algorithm::Concurrency ? 1 : charge.cost;
}

Decision fullDecision(const Limit& limit) {
  Decision decision;
  decision.outcome = Outcome::Full;
  decision.limit = limit.max();
  return decision;
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void lock(std::atomic<std::uint32_t>& latch) {
  constexpr int kSpins = 64;
  for (int spins = 0; latch.exchange(1, std::memory_order_acquire) != 0; ++spins) {
    // Its holder may wait for our processor.
    spins < kSpins ? pause() : static_cast<void>(sched_yield());
  }
}

void unlock(std::atomic<std::uint32_t>& latch) { latch.store(0, std::memory_order_release); }

}  // namespace

// The latches of a key's groups, taken in the order of their addresses.
class CounterTable::Latched {
 public:
  explicit Latched(const Place& place)
      : first_(place.groups[0]->header.latch), second_(place.groups[1]->header.latch) {
    lock(first_);
    if (&first_ != &second_) lock(second_);
  }
  ~Latched() {
    if (&first_ != &second_) unlock(second_);
    unlock(first_);
  }
  Latched(const Latched&) = delete;
  Latched& operator=(const Latched&) = delete;

 private:
  std::atomic<std::uint32_t>& first_;
  std::atomic<std::uint32_t>& second_;
};

void Permit::releaseHeld() { std::exchange(table_, nullptr)->release(id_); }

CounterTable::ZeroedPages::ZeroedPages(std::size_t bytes)
    // To begin on a large page, one more.
    : mapped_((bytes + kLargePage - 1) / kLargePage * kLargePage + kLargePage),
      mapping_(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (mapping_ == MAP_FAILED) std::abort();
  const std::size_t past = reinterpret_cast<std::uintptr_t>(mapping_) % kLargePage;
  data_ = static_cast<char*>(mapping_) + (past == 0 ? 0 : kLargePage - past);
  // Below that, small pages are better: they come one by one.
  if (bytes >= kLargePage) madvise(data_, mapped_ - kLargePage, MADV_HUGEPAGE);
}

CounterTable::ZeroedPages::~ZeroedPages() { munmap(mapping_, mapped_); }

CounterTable::CounterTable(std::size_t capacity, const SipKey& key)
    : key_(key),
      groupCount_(capacity / kGroupSlots),
      permitCount_(static_cast<std::uint32_t>(std::min(capacity, kMaxPermits))),
      groupPages_(groupCount_ * sizeof(Group)),
      permitPages_(permitCount_ * sizeof(PermitRecord)),
      groups_(static_cast<Group*>(groupPages_.data())),
      permits_(static_cast<PermitRecord*>(permitPages_.data())) {
  assert(std::has_single_bit(capacity) && capacity >= kMinCapacity && capacity <= kMaxCapacity);
}

Hash128 CounterTable::hashOf(std::string_view key, const Limit& limit) const {
  return sipHash128(key_, limit.identity(), key);
}

CounterTable::Place CounterTable::placeOf(const Hash128& hash) const {
  Group* const first = &groups_[hash.low & (groupCount_ - 1)];
  Group* const second = &groups_[hash.low >> 32 & (groupCount_ - 1)];
  const auto tag = static_cast<std::uint16_t>(hash.high >> 48);
  // 0 is a free slot's.
  return {
      hash, tag == 0 ? std::uint16_t{1} : tag, {std::min(first, second), std::max(first, second)}};
}

CounterTable::Found CounterTable::find(const Place& place) {
  // Half the keys are there: both headers come at once.
  __builtin_prefetch(place.groups[1]);
  for (Group* const group : place.groups) {
    for (std::size_t part = 0; part < group->header.tags.size(); ++part) {
      std::uint64_t lanes =
          lanesOf(group->header.tags[part].load(std::memory_order_acquire), place.tag);
      for (; lanes != 0; lanes &= lanes - 1) {
        const std::size_t lane = static_cast<std::size_t>(std::countr_zero(lanes)) / 16;
        Slot& slot = group->slots[part * kLanesPerWord + lane];
        const std::uint64_t word = slot.word.load(std::memory_order_acquire);
        if (inUse(word) && slot.hashLow.load(std::memory_order_acquire) == place.hash.low &&
            slot.hashHigh.load(std::memory_order_acquire) == place.hash.high &&
            sameGeneration(slot.word.load(std::memory_order_relaxed), word)) {
          return {&slot, word};
        }
      }
    }
  }
  return {};
}

Decision CounterTable::charge(std::string_view key, const Limit& limit, CounterTime time,
                              std::uint64_t cost) {
  assert(limit.algorithm() != Algorithm::Concurrency);
  return chargePlace(placeOf(key, limit), limit, time, cost).decision;
}

Decision CounterTable::peek(std::string_view key, const Limit& limit, CounterTime time,
                            std::uint64_t cost) {
  const std::uint64_t payload = payloadOf(placeOf(key, limit), limit, time);
  Decision decision = applyCharge(limit, payload, time, 0).decision;
  const Decision charged = applyCharge(limit, payload, time, cost).decision;
  decision.outcome = charged.outcome;
  decision.retryAfterNanos = charged.retryAfterNanos;
  return decision;
}

// That of a fresh counter where there is none.
std::uint64_t CounterTable::payloadOf(const Place& place, const Limit& limit,
                                      CounterTime time) const {
  const Found found = find(place);
  return found.slot != nullptr ? found.word & kPayloadMask
                               : freshPayload(limit, notBeforeReclaimed(time));
}

// What a charge would come to.
Decision CounterTable::peekPlace(const Place& place, const Limit& limit, CounterTime time,
                                 std::uint64_t cost) const {
  return applyCharge(limit, payloadOf(place, limit, time), time, cost).decision;
}

CounterTable::Booked CounterTable::chargePlace(const Place& place, const Limit& limit,
                                               CounterTime time, std::uint64_t cost) {
  // What would not change the counter makes none.
  if (cost == 0 || cost > limit.max()) return {peekPlace(place, limit, time, cost)};
  for (;;) {
    Found found = find(place);
    if (found.slot == nullptr) {
      if (const std::optional<Booked> added = add(place, limit, time, cost)) return *added;
      continue;
    }
    const std::uint64_t first = found.word;
    do {
      const Charged charged = applyCharge(limit, found.word & kPayloadMask, time, cost);
      if (!charged.decision.allowed()) return {charged.decision};
      const std::uint64_t before = found.word;
      const std::uint64_t after = withPayload(before, charged.payload);
      if (found.slot->word.compare_exchange_weak(found.word, after, std::memory_order_acq_rel,
                                                 std::memory_order_acquire)) {
        return {charged.decision, found.slot, before, after};
      }
    } while (sameGeneration(found.word, first));
  }
}

// The counter's first charge. Nothing when somebody else has added the counter meanwhile.
std::optional<CounterTable::Booked> CounterTable::add(const Place& place, const Limit& limit,
                                                      CounterTime time, std::uint64_t cost) {
  const Latched latched(place);
  if (find(place).slot != nullptr) return std::nullopt;
  const std::uint64_t fresh = freshPayload(limit, notBeforeReclaimed(time));
  const Charged charged = applyCharge(limit, fresh, time, cost);
  if (!charged.decision.allowed()) return Booked{charged.decision};
  const auto freeIn = [](const Group& group) {
    return std::count_if(group.slots.begin(), group.slots.end(), [](const Slot& slot) {
      return !inUse(slot.word.load(std::memory_order_relaxed));
    });
  };
  std::array free = {freeIn(*place.groups[0]), freeIn(*place.groups[1])};
  if (free[0] == 0 && free[1] == 0) {
    reclaim(*place.groups[0], time);
    reclaim(*place.groups[1], time);
    free = {freeIn(*place.groups[0]), freeIn(*place.groups[1])};
  }
  if (free[0] == 0 && free[1] == 0) {
    full_.fetch_add(1, std::memory_order_relaxed);
    return Booked{fullDecision(limit)};
  }
  Group& group = *place.groups[free[1] > free[0] ? 1 : 0];
  std::size_t index = 0;
  while (inUse(group.slots[index].word.load(std::memory_order_relaxed))) ++index;
  claim(group, index, place, limit.identity(), charged.payload);
  Slot& slot = group.slots[index];
  const std::uint64_t generation = slot.word.load(std::memory_order_relaxed);
  return Booked{charged.decision, &slot, withPayload(generation, fresh),
                withPayload(generation, charged.payload)};
}

// Under the latch; the slot is free.
void CounterTable::claim(Group& group, std::size_t index, const Place& place,
                         std::uint64_t identity, std::uint64_t payload) {
  Slot& slot = group.slots[index];
  const std::uint64_t word = slot.word.load(std::memory_order_relaxed);
  slot.hashLow.store(place.hash.low, std::memory_order_release);
  slot.hashHigh.store(place.hash.high, std::memory_order_release);
  slot.identity.store(identity, std::memory_order_relaxed);
  slot.word.store(withPayload(word + kGeneration, payload), std::memory_order_release);
  setTag(group.header.tags[index / kLanesPerWord], index % kLanesPerWord, place.tag);
  used_.fetch_add(1, std::memory_order_relaxed);
}

// Frees what has been neutral since kLate. Under the latch.
void CounterTable::reclaim(Group& group, CounterTime now) {
  const CounterTime past = someLate(now);
  // Before anything is free, so that whoever misses a counter knows.
  advance(reclaimedNanos_, past.monotonicNanos, ~std::uint64_t{0});
  advance(reclaimedMillis_, past.wallMillis, kMaxStepBackMillis);
  for (std::size_t index = 0; index < kGroupSlots; ++index) {
    Slot& slot = group.slots[index];
    std::uint64_t word = slot.word.load(std::memory_order_acquire);
    if (!inUse(word) ||
        !isNeutral(slot.identity.load(std::memory_order_relaxed), word & kPayloadMask, past)) {
      continue;
    }
    const std::uint64_t freed = (word + kGeneration) & ~kPayloadMask;
    // When it fails it has just been charged.
    if (!slot.word.compare_exchange_strong(word, freed, std::memory_order_acq_rel)) continue;
    setTag(group.header.tags[index / kLanesPerWord], index % kLanesPerWord, 0);
    used_.fetch_sub(1, std::memory_order_relaxed);
    reclaimed_.fetch_add(1, std::memory_order_relaxed);
  }
}

CounterTime CounterTable::notBeforeReclaimed(CounterTime time) const {
  const std::uint64_t nanos = reclaimedNanos_.load(std::memory_order_relaxed);
  const std::uint64_t millis = reclaimedMillis_.load(std::memory_order_relaxed);
  time.monotonicNanos = std::max(time.monotonicNanos, nanos);
  if (millis > time.wallMillis && millis - time.wallMillis <= kMaxStepBackMillis) {
    time.wallMillis = millis;
  }
  return time;
}

void CounterTable::refund(std::string_view key, const Limit& limit, CounterTime chargedAt,
                          CounterTime now, std::uint64_t cost) {
  refundPlace(placeOf(key, limit), limit, chargedAt, now, cost);
}

void CounterTable::refundPlace(const Place& place, const Limit& limit, CounterTime chargedAt,
                               CounterTime now, std::uint64_t cost) {
  Found found = find(place);
  if (found.slot == nullptr) return;  // reclaimed: nothing is counted any more
  const std::uint64_t first = found.word;
  while (sameGeneration(found.word, first)) {
    const std::uint64_t payload =
        applyRefund(limit, found.word & kPayloadMask, chargedAt, now, cost);
    if (found.slot->word.compare_exchange_weak(found.word, withPayload(found.word, payload),
                                               std::memory_order_acq_rel,
                                               std::memory_order_acquire)) {
      return;
    }
  }
}

Outcome CounterTable::chargeAll(std::span<const Charge> charges, CounterTime time,
                                std::span<Decision> decisions, std::span<Permit> permits) {
  assert(charges.size() <= kMaxCharges && decisions.size() >= charges.size() &&
         permits.size() >= charges.size());
  if (charges.size() == 1) return chargeOne(charges[0], time, decisions[0], permits[0]);
  std::array<Place, kMaxCharges> places;
  std::array<Booked, kMaxCharges> booked;
  const auto refused = [&](std::size_t which) {
    for (std::size_t i = 0; i < charges.size(); ++i) {
      if (i != which) decisions[i] = peekPlace(places[i], charges[i].limit, time, 0);
    }
    return decisions[which].outcome;
  };
  for (std::size_t i = 0; i < charges.size(); ++i) {
    places[i] = placeOf(charges[i]);
    permits[i] = {};
  }
  for (std::size_t i = 0; i < charges.size(); ++i) {
    decisions[i] = peekPlace(places[i], charges[i].limit, time, costOf(charges[i]));
    if (!decisions[i].allowed()) return refused(i);
  }
  for (std::size_t i = 0; i < charges.size(); ++i) {
    const Limit& limit = charges[i].limit;
    booked[i] = chargePlace(places[i], limit, time, costOf(charges[i]));
    if (limit.algorithm() == Algorithm::Concurrency) {
      if (const std::uint64_t permit = hold(booked[i]); permit != 0) {
        permits[i] = Permit(*this, permit);
      }
    }
    decisions[i] = booked[i].decision;
    if (decisions[i].allowed()) continue;
    for (std::size_t j = i; j-- > 0;) {
      permits[j].release();
      takeBack(places[j], charges[j], booked[j], time);
    }
    return refused(i);
  }
  return Outcome::Allowed;
}

// Most requests have one limit: there is nothing to look at before, nor to take back.
Outcome CounterTable::chargeOne(const Charge& charge, CounterTime time, Decision& decision,
                                Permit& permit) {
  permit = {};
  Booked booked = chargePlace(placeOf(charge), charge.limit, time, costOf(charge));
  if (charge.limit.algorithm() == Algorithm::Concurrency) {
    if (const std::uint64_t held = hold(booked); held != 0) permit = Permit(*this, held);
  }
  decision = booked.decision;
  return decision.outcome;
}

// Of a charge that was made at `time`. Permits give back what is of Concurrency.
void CounterTable::takeBack(const Place& place, const Charge& charge, const Booked& booked,
                            CounterTime time) {
  if (booked.slot == nullptr || charge.limit.algorithm() == Algorithm::Concurrency) return;
  if (charge.limit.algorithm() != Algorithm::Gcra) {
    refundPlace(place, charge.limit, time, time, charge.cost);
    return;
  }
  // Another thread's clock may be ahead of `time` and its charge have built upon ours; how much of
  // ours had flowed off by then, the arrival time does not tell (applyRefund). What nobody has
  // touched is as it was.
  std::uint64_t after = booked.after;
  booked.slot->word.compare_exchange_strong(after, booked.before, std::memory_order_acq_rel);
}

Acquired CounterTable::acquire(std::string_view key, const Limit& limit, CounterTime time) {
  assert(limit.algorithm() == Algorithm::Concurrency);
  Booked booked = chargePlace(placeOf(key, limit), limit, time, 1);
  const std::uint64_t permit = hold(booked);
  return {booked.decision, permit};
}

// The permit for what was charged; 0 when nothing was, or, with another decision, no permit is
// left.
std::uint64_t CounterTable::hold(Booked& booked) {
  if (booked.slot == nullptr) return 0;
  const std::uint32_t taken = takeRecord();
  if (taken == 0) {
    giveBack(*booked.slot);
    full_.fetch_add(1, std::memory_order_relaxed);
    booked.decision.outcome = Outcome::Full;
    booked.decision.remaining = 0;
    return 0;
  }
  // The slot stays this counter's while its count is not 0.
  std::atomic<std::uint64_t>& state = permits_[taken - 1].state;
  const std::uint64_t generation = (state.load(std::memory_order_relaxed) >> 32) + 1;
  state.store(generation << 32 | (indexOf(*booked.slot) + 1), std::memory_order_release);
  return generation << 32 | taken;
}

bool CounterTable::release(std::uint64_t permit) {
  const std::uint64_t taken = permit & 0xffff'ffff;
  if (taken == 0 || taken > permitCount_) return false;
  const auto index = static_cast<std::uint32_t>(taken - 1);
  std::atomic<std::uint64_t>& state = permits_[index].state;
  std::uint64_t held = state.load(std::memory_order_acquire);
  const auto slot = static_cast<std::uint32_t>(held);
  if (held >> 32 != permit >> 32 || slot == 0) return false;
  // Of several who release it at once, one wins.
  if (!state.compare_exchange_strong(held, held >> 32 << 32, std::memory_order_acq_rel)) {
    return false;
  }
  giveBack(slotAt(slot - 1));
  putRecord(index);
  return true;
}

void CounterTable::giveBack(Slot& slot) {
  [[maybe_unused]] const std::uint64_t before = slot.word.fetch_sub(1, std::memory_order_acq_rel);
  assert(inUse(before) && (before & kPayloadMask) > 0);
}

std::uint32_t CounterTable::indexOf(const Slot& slot) const {
  const auto group = static_cast<std::size_t>(reinterpret_cast<const char*>(&slot) -
                                              reinterpret_cast<const char*>(groups_)) /
                     sizeof(Group);
  const auto inGroup = static_cast<std::size_t>(&slot - groups_[group].slots.data());
  return static_cast<std::uint32_t>(group * kGroupSlots + inGroup);
}

CounterTable::Slot& CounterTable::slotAt(std::uint32_t index) {
  return groups_[index / kGroupSlots].slots[index % kGroupSlots];
}

// 1 + the index of a free permit, or 0: one that was given back, or else a fresh one.
std::uint32_t CounterTable::takeRecord() {
  std::uint64_t head = freePermits_.load(std::memory_order_acquire);
  while (const auto first = static_cast<std::uint32_t>(head)) {
    // May be out of date, but then the head has changed.
    const std::uint64_t next = permits_[first - 1].next.load(std::memory_order_relaxed);
    const std::uint64_t changed = ((head >> 32) + 1) << 32 | next;
    if (freePermits_.compare_exchange_weak(head, changed, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
      return first;
    }
  }
  std::uint32_t fresh = freshPermits_.load(std::memory_order_relaxed);
  while (fresh < permitCount_ && !freshPermits_.compare_exchange_weak(fresh, fresh + 1)) {
  }
  return fresh < permitCount_ ? fresh + 1 : 0;
}

void CounterTable::putRecord(std::uint32_t index) {
  std::uint64_t head = freePermits_.load(std::memory_order_relaxed);
  std::uint64_t changed = 0;
  do {
    permits_[index].next.store(static_cast<std::uint32_t>(head), std::memory_order_relaxed);
    changed = ((head >> 32) + 1) << 32 | (index + 1);
  } while (!freePermits_.compare_exchange_weak(head, changed, std::memory_order_acq_rel,
                                               std::memory_order_relaxed));
}

void CounterTable::sweep(CounterTime now, std::size_t slots) {
  const std::size_t groups = std::min((slots + kGroupSlots - 1) / kGroupSlots, groupCount_);
  for (std::size_t i = 0; i < groups; ++i) {
    Group& group = groups_[cursor_];
    cursor_ = (cursor_ + 1) & (groupCount_ - 1);
    if (!hasNeutral(group, now)) continue;
    lock(group.header.latch);
    reclaim(group, now);
    unlock(group.header.latch);
  }
}

// A guess, without the latch.
bool CounterTable::hasNeutral(const Group& group, CounterTime now) {
  const CounterTime past = someLate(now);
  const std::uint64_t tags = group.header.tags[0].load(std::memory_order_relaxed) |
                             group.header.tags[1].load(std::memory_order_relaxed);
  if (tags == 0) return false;  // empty, most of the time: without a look at eight more lines
  return std::any_of(group.slots.begin(), group.slots.end(), [past](const Slot& slot) {
    const std::uint64_t word = slot.word.load(std::memory_order_acquire);
    return inUse(word) &&
           isNeutral(slot.identity.load(std::memory_order_relaxed), word & kPayloadMask, past);
  });
}

CounterTable::Usage CounterTable::usage() const {
  return {used_.load(std::memory_order_relaxed), groupCount_ * kGroupSlots,
          full_.load(std::memory_order_relaxed), reclaimed_.load(std::memory_order_relaxed)};
}

}  // namespace tidegate
