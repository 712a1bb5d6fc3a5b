// Finding, charging, adding and reclaiming.
//
// The race to get right: between a charger's load of a word and its swap, the slot is reclaimed and
// given to another key. Why no charge is lost or lands on the wrong key:
// - The generation in the word is odd while the slot is in use, and goes up by one at each claim
//   and each release; nothing but a claim makes it odd. A charger touches odd words only.
// - A claim stores the key, then the word (release). A charger loads the word (acquire), then
//   compares the key: it sees the key that belongs to the word, or one of a later claim. A later
//   one means that the word has changed since, twice at least, so that the swap fails.
// - Release is a swap of the word as well, made only where the payload is neutral: of a charge and
//   a release one wins, and the other looks again.
// - Only who holds the latches of both groups of a key adds it, after having looked again: no key
//   is there twice. Slots do not move.
// - Who was late with its clock cannot bring back a window in which the counter was reclaimed:
//   new counters begin no earlier than the latest reclaiming (notBeforeReclaimed).
// What 8 bits leave open: 128 claims and releases of one slot between a load and its swap (some
// nanoseconds, or the time for which the thread was suspended), which end in the very payload that
// was loaded. Then one charge is booked on another counter. Each of those cycles takes latches, and
// a counter that is neutral in between: nobody can bring that about on purpose, and by chance it is
// too rare to be worth a second word.
#include "shared/counter_table.h"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cassert>

namespace tidegate {

namespace {

constexpr std::uint64_t kGeneration = std::uint64_t{1} << kPayloadBits;

// How far the wall clock may step back without a reclaimed counter beginning anew. Further back, it
// has been set, and new counters follow it.
constexpr std::uint64_t kMaxStepBackMillis = 60'000;

bool inUse(std::uint64_t word) { return (word & kGeneration) != 0; }

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

void raise(std::atomic<std::uint64_t>& latest, std::uint64_t value) {
  std::uint64_t known = latest.load(std::memory_order_relaxed);
  while (known < value && !latest.compare_exchange_weak(known, value, std::memory_order_relaxed)) {
  }
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

void Permit::release() {
  if (table_ != nullptr) std::exchange(table_, nullptr)->release(id_);
}

CounterTable::CounterTable(std::size_t capacity, const SipKey& key)
    : key_(key),
      mask_(capacity / kGroupSlots - 1),
      groups_(capacity / kGroupSlots),
      permits_(std::min(capacity, kMaxPermits)) {
  assert(std::has_single_bit(capacity) && capacity >= kMinCapacity && capacity <= kMaxCapacity);
  for (auto index = static_cast<std::uint32_t>(permits_.size()); index > 0; --index) {
    putRecord(index - 1);
  }
}

CounterTable::Place CounterTable::placeOf(std::string_view key, const Limit& limit) {
  const Hash128 hash = sipHash128(key_, limit.identity(), key);
  Group* const first = &groups_[hash.low & mask_];
  Group* const second = &groups_[hash.low >> 32 & mask_];
  const auto tag = static_cast<std::uint16_t>(hash.high >> 48);
  // 0 is a free slot's.
  return {
      hash, tag == 0 ? std::uint16_t{1} : tag, {std::min(first, second), std::max(first, second)}};
}

CounterTable::Found CounterTable::find(const Place& place) {
  for (Group* const group : place.groups) {
    for (std::size_t part = 0; part < group->header.tags.size(); ++part) {
      std::uint64_t lanes =
          lanesOf(group->header.tags[part].load(std::memory_order_acquire), place.tag);
      for (; lanes != 0; lanes &= lanes - 1) {
        const std::size_t lane = static_cast<std::size_t>(std::countr_zero(lanes)) / 16;
        Slot& slot = group->slots[part * kLanesPerWord + lane];
        const std::uint64_t word = slot.word.load(std::memory_order_acquire);
        if (inUse(word) && slot.hashLow.load(std::memory_order_relaxed) == place.hash.low &&
            slot.hashHigh.load(std::memory_order_relaxed) == place.hash.high) {
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

Decision CounterTable::peek(std::string_view key, const Limit& limit, CounterTime time) {
  return chargePlace(placeOf(key, limit), limit, time, 0).decision;
}

CounterTable::Outcomed CounterTable::chargePlace(const Place& place, const Limit& limit,
                                                 CounterTime time, std::uint64_t cost) {
  for (;;) {
    Found found = find(place);
    if (found.slot == nullptr) {
      // What would not change the counter makes none.
      if (cost == 0 || cost > limit.max()) {
        return {applyCharge(limit, freshPayload(limit, time), time, cost).decision, nullptr};
      }
      if (const std::optional<Outcomed> added = add(place, limit, time, cost)) return *added;
      continue;
    }
    const std::uint64_t generation = found.word >> kPayloadBits;
    do {
      const Charged charged = applyCharge(limit, found.word & kPayloadMask, time, cost);
      if (!charged.decision.allowed() || cost == 0) return {charged.decision, nullptr};
      if (found.slot->word.compare_exchange_weak(
              found.word, withPayload(found.word, charged.payload), std::memory_order_acq_rel,
              std::memory_order_acquire)) {
        return {charged.decision, found.slot};
      }
    } while (found.word >> kPayloadBits == generation);
  }
}

// The counter's first charge. Nothing when somebody else has added the counter meanwhile.
std::optional<CounterTable::Outcomed> CounterTable::add(const Place& place, const Limit& limit,
                                                        CounterTime time, std::uint64_t cost) {
  const Latched latched(place);
  if (find(place).slot != nullptr) return std::nullopt;
  const CounterTime begin = notBeforeReclaimed(time);
  const auto charge = [&] { return applyCharge(limit, freshPayload(limit, begin), time, cost); };
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
  const Charged charged = charge();
  if (!charged.decision.allowed()) return Outcomed{charged.decision, nullptr};
  if (free[0] == 0 && free[1] == 0) {
    full_.fetch_add(1, std::memory_order_relaxed);
    Decision decision;
    decision.outcome = Outcome::Full;
    decision.limit = limit.max();
    return Outcomed{decision, nullptr};
  }
  Group& group = *place.groups[free[1] > free[0] ? 1 : 0];
  std::size_t index = 0;
  while (inUse(group.slots[index].word.load(std::memory_order_relaxed))) ++index;
  claim(group, index, place, limit.identity(), charged.payload);
  return Outcomed{charged.decision, &group.slots[index]};
}

// Under the latch; the slot is free.
void CounterTable::claim(Group& group, std::size_t index, const Place& place,
                         std::uint64_t identity, std::uint64_t payload) {
  Slot& slot = group.slots[index];
  const std::uint64_t word = slot.word.load(std::memory_order_relaxed);
  slot.hashLow.store(place.hash.low, std::memory_order_relaxed);
  slot.hashHigh.store(place.hash.high, std::memory_order_relaxed);
  slot.identity.store(identity, std::memory_order_relaxed);
  slot.word.store(withPayload(word + kGeneration, payload), std::memory_order_release);
  setTag(group.header.tags[index / kLanesPerWord], index % kLanesPerWord, place.tag);
  used_.fetch_add(1, std::memory_order_relaxed);
}

// Frees what is neutral. Under the latch.
void CounterTable::reclaim(Group& group, CounterTime now) {
  // Before anything is free, so that whoever misses a counter knows.
  raise(reclaimedNanos_, now.monotonicNanos);
  raise(reclaimedMillis_, now.wallMillis);
  for (std::size_t index = 0; index < kGroupSlots; ++index) {
    Slot& slot = group.slots[index];
    std::uint64_t word = slot.word.load(std::memory_order_acquire);
    if (!inUse(word) ||
        !isNeutral(slot.identity.load(std::memory_order_relaxed), word & kPayloadMask, now)) {
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
  Found found = find(placeOf(key, limit));
  if (found.slot == nullptr) return;  // reclaimed: nothing is counted any more
  const std::uint64_t generation = found.word >> kPayloadBits;
  while (found.word >> kPayloadBits == generation) {
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
  assert(decisions.size() >= charges.size() && permits.size() >= charges.size());
  for (std::size_t i = 0; i < charges.size(); ++i) {
    const Charge& each = charges[i];
    if (each.limit.algorithm() == Algorithm::Concurrency) {
      const Acquired acquired = acquire(each.key, each.limit, time);
      decisions[i] = acquired.decision;
      if (acquired.permit != 0) permits[i] = Permit(*this, acquired.permit);
    } else {
      decisions[i] = charge(each.key, each.limit, time, each.cost);
    }
    if (decisions[i].allowed()) continue;
    for (std::size_t j = 0; j < i; ++j) {
      if (permits[j]) {
        permits[j].release();
      } else {
        refund(charges[j].key, charges[j].limit, time, time, charges[j].cost);
      }
    }
    for (std::size_t j = 0; j < charges.size(); ++j) {
      if (j != i) decisions[j] = peek(charges[j].key, charges[j].limit, time);
    }
    return decisions[i].outcome;
  }
  return Outcome::Allowed;
}

Acquired CounterTable::acquire(std::string_view key, const Limit& limit, CounterTime time) {
  assert(limit.algorithm() == Algorithm::Concurrency);
  Outcomed charged = chargePlace(placeOf(key, limit), limit, time, 1);
  if (!charged.decision.allowed()) return {charged.decision, 0};
  const std::uint32_t taken = takeRecord();
  if (taken == 0) {
    giveBack(*charged.slot);
    full_.fetch_add(1, std::memory_order_relaxed);
    charged.decision.outcome = Outcome::Full;
    return {charged.decision, 0};
  }
  // The slot stays this counter's while its count is not 0.
  std::atomic<std::uint64_t>& state = permits_[taken - 1].state;
  const std::uint64_t generation = (state.load(std::memory_order_relaxed) >> 32) + 1;
  state.store(generation << 32 | (indexOf(*charged.slot) + 1), std::memory_order_release);
  return {charged.decision, generation << 32 | taken};
}

bool CounterTable::release(std::uint64_t permit) {
  const std::uint64_t taken = permit & 0xffff'ffff;
  if (taken == 0 || taken > permits_.size()) return false;
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
                                              reinterpret_cast<const char*>(groups_.data())) /
                     sizeof(Group);
  const auto inGroup = static_cast<std::size_t>(&slot - groups_[group].slots.data());
  return static_cast<std::uint32_t>(group * kGroupSlots + inGroup);
}

CounterTable::Slot& CounterTable::slotAt(std::uint32_t index) {
  return groups_[index / kGroupSlots].slots[index % kGroupSlots];
}

// 1 + the index of a free permit, or 0.
std::uint32_t CounterTable::takeRecord() {
  std::uint64_t head = freePermits_.load(std::memory_order_acquire);
  for (;;) {
    const auto first = static_cast<std::uint32_t>(head);
    if (first == 0) return 0;
    // May be out of date, but then the head has changed.
    const std::uint64_t next = permits_[first - 1].next.load(std::memory_order_relaxed);
    const std::uint64_t changed = ((head >> 32) + 1) << 32 | next;
    if (freePermits_.compare_exchange_weak(head, changed, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
      return first;
    }
  }
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
  const std::size_t groups = (slots + kGroupSlots - 1) / kGroupSlots;
  for (std::size_t i = 0; i < std::min(groups, groups_.size()); ++i) {
    Group& group = groups_[cursor_];
    cursor_ = (cursor_ + 1) & mask_;
    if (!hasNeutral(group, now)) continue;
    lock(group.header.latch);
    reclaim(group, now);
    unlock(group.header.latch);
  }
}

// A guess, without the latch.
bool CounterTable::hasNeutral(const Group& group, CounterTime now) {
  return std::any_of(group.slots.begin(), group.slots.end(), [now](const Slot& slot) {
    const std::uint64_t word = slot.word.load(std::memory_order_acquire);
    return inUse(word) &&
           isNeutral(slot.identity.load(std::memory_order_relaxed), word & kPayloadMask, now);
  });
}

CounterTable::Usage CounterTable::usage() const {
  return {used_.load(std::memory_order_relaxed), groups_.size() * kGroupSlots,
          full_.load(std::memory_order_relaxed), reclaimed_.load(std::memory_order_relaxed)};
}

}  // namespace tidegate
