// One table of counters that all threads charge together: I/O threads and policy workers alike.
//
// A slot is a cache line; eight slots and a line of their tags are a group, and a key may live in
// either of two groups. A charge reads the tags and the slot and swaps one word: no lock, no
// allocation. Only a key's first charge takes the latches of its two groups.
//
// When both groups of a key are full of counters that still count for something, or did a second
// ago, the charge comes back as Outcome::Full and is counted in Usage::full; nothing is pushed out,
// since an evicted counter would admit its limit again. What then happens to the request is the
// policy's business. A key of which a counter exists is never refused as Full.
//
// The memory is the system's and takes no room until counters come; then, on large pages, 2 MiB at
// a time.
//
// Every function may be called by any thread, sweep() by one at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "shared/limits.h"
#include "shared/siphash.h"

namespace tidegate {

class CounterTable;

// One of Limit::max() that may be held at a time; given back when it goes. Not past the table's
// life.
class Permit {
 public:
  Permit() = default;
  Permit(CounterTable& table, std::uint64_t id) : table_(&table), id_(id) {}
  Permit(Permit&& other) noexcept : table_(std::exchange(other.table_, nullptr)), id_(other.id_) {}
  Permit& operator=(Permit&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Permit() { release(); }

  explicit operator bool() const { return table_ != nullptr; }
  void release() {
    if (table_ != nullptr) releaseHeld();
  }

  // Hands the duty to release over to whoever keeps the id. Only of one that holds.
  std::uint64_t detach() {
    table_ = nullptr;
    return id_;
  }

 private:
  void releaseHeld();

  CounterTable* table_ = nullptr;
  std::uint64_t id_ = 0;
};

struct Acquired {
  Decision decision;
  std::uint64_t permit = 0;  // for release(); 0 unless allowed
};

// One of several limits that a request is charged on together.
struct Charge {
  std::string_view key;
  Limit limit;
  std::uint64_t cost = 1;                      // Concurrency: one, whatever it says
  std::optional<Hash128> hash = std::nullopt;  // CounterTable::hashOf(), where it is known
};

class CounterTable {
 public:
  static constexpr std::size_t kMinCapacity = 1024;
  static constexpr std::size_t kMaxCapacity = std::size_t{16} * 1024 * 1024;
  // Permits that can be held at once: the capacity, but not more than this.
  static constexpr std::size_t kMaxPermits = std::size_t{1} * 1024 * 1024;
  // Of one chargeAll().
  static constexpr std::size_t kMaxCharges = 16;

  struct Usage {
    std::uint64_t used = 0;  // slots
    std::uint64_t capacity = 0;
    std::uint64_t full = 0;       // charges that found no room
    std::uint64_t reclaimed = 0;  // slots taken from counters that counted for nothing any more
  };

  // A power of two from kMinCapacity to kMaxCapacity; 72 bytes a slot, and 16 a permit. The key is
  // the secret of the hash, for tests to fix. Without that much address space the process ends.
  explicit CounterTable(std::size_t capacity, const SipKey& key = SipKey::random());

  CounterTable(const CounterTable&) = delete;
  CounterTable& operator=(const CounterTable&) = delete;

  // Of a counter, in this table alone: finding it takes most of a charge's time.
  Hash128 hashOf(std::string_view key, const Limit& limit) const;

  // Charges the counter of `key` under `limit`, which is not of Concurrency. Cost 0 is peek().
  Decision charge(std::string_view key, const Limit& limit, CounterTime time, std::uint64_t cost);

  // How things stand, and whether a charge of `cost`, 0 to kMaxCost, would be allowed; the numbers
  // are those before it. Makes no counter.
  Decision peek(std::string_view key, const Limit& limit, CounterTime time, std::uint64_t cost = 0);

  // Takes back a charge that was allowed at `chargedAt`, as far as it still counts (applyRefund).
  void refund(std::string_view key, const Limit& limit, CounterTime chargedAt, CounterTime now,
              std::uint64_t cost);

  // Charges all or nothing, in order; the first that is not allowed decides. It looks at all before
  // it charges any, so that a request that is refused takes nothing from others. Where one is
  // refused all the same, since another thread came between, those before it are taken back, as far
  // as they still count (applyRefund); of Gcra what another thread has built upon is left to flow
  // off. Never admits one too many, but somebody else may be refused meanwhile who need not have
  // been.
  //
  // `decisions` and `permits` have as many places: when all are allowed, their decisions, otherwise
  // that of the first that is not, and how things stand with the others. A limit of Concurrency has
  // a permit in its place when all are allowed; all other places are empty.
  Outcome chargeAll(std::span<const Charge> charges, CounterTime time,
                    std::span<Decision> decisions, std::span<Permit> permits);

  // Takes one of limit.max(), which is of Concurrency. Also Full when all permits are held. Refused
  // says to come back after kConcurrencyRetryNanos: when a permit comes back is not known.
  Acquired acquire(std::string_view key, const Limit& limit, CounterTime time);

  // False, and nothing happens, when that permit has been given back already or never was.
  bool release(std::uint64_t permit);

  // Looks at about `slots` slots, going on where the last call ended, and frees those that have
  // been neutral for a second. The whole table must have been looked at once in 15 minutes
  // (isNeutral); a minute is a good measure.
  void sweep(CounterTime now, std::size_t slots);

  Usage usage() const;

 private:
  static constexpr std::size_t kGroupSlots = 8;

  // Memory of zeros. All that lies in it is made of atomics that begin as 0, so that nothing has to
  // be written for objects to begin.
  class ZeroedPages {
   public:
    explicit ZeroedPages(std::size_t bytes);
    ~ZeroedPages();
    ZeroedPages(const ZeroedPages&) = delete;
    ZeroedPages& operator=(const ZeroedPages&) = delete;

    void* data() const { return data_; }

   private:
    std::size_t mapped_;
    void* mapping_;
    void* data_;
  };

  struct alignas(64) Slot {
    std::atomic<std::uint64_t> word{0};  // generation (8 bits; odd: in use), payload (56)
    std::atomic<std::uint64_t> hashLow{0};
    std::atomic<std::uint64_t> hashHigh{0};
    std::atomic<std::uint64_t> identity{0};  // Limit::identity(), for the sweeper
  };

  struct alignas(64) Header {
    std::array<std::atomic<std::uint64_t>, 2> tags{};  // 16 bits a slot; written under the latch
    std::atomic<std::uint32_t> latch{0};
  };

  struct Group {
    Header header;
    std::array<Slot, kGroupSlots> slots;
  };
  static_assert(sizeof(Group) == (1 + kGroupSlots) * 64);

  struct PermitRecord {
    std::atomic<std::uint64_t> state{0};  // generation (32 bits), 1 + index of the slot held (32)
    std::atomic<std::uint32_t> next{0};   // 1 + index of the next one given back
  };

  // Where a key may be, and what is to be found there.
  struct Place {
    Hash128 hash;
    std::uint16_t tag;
    std::array<Group*, 2> groups;  // in the order of their addresses; they may be one
  };

  struct Found {
    Slot* slot = nullptr;
    std::uint64_t word = 0;  // as it was when the slot was the key's
  };

  struct Booked {
    Decision decision;
    Slot* slot = nullptr;  // where it was charged; nullptr when nothing was
    std::uint64_t before = 0;
    std::uint64_t after = 0;  // its word
  };

  class Latched;

  Place placeOf(const Hash128& hash) const;
  Place placeOf(std::string_view key, const Limit& limit) const {
    return placeOf(hashOf(key, limit));
  }
  Place placeOf(const Charge& charge) const {
    return charge.hash ? placeOf(*charge.hash) : placeOf(charge.key, charge.limit);
  }
  Outcome chargeOne(const Charge& charge, CounterTime time, Decision& decision, Permit& permit);
  static Found find(const Place& place);
  std::uint64_t payloadOf(const Place& place, const Limit& limit, CounterTime time) const;
  Decision peekPlace(const Place& place, const Limit& limit, CounterTime time,
                     std::uint64_t cost) const;
  Booked chargePlace(const Place& place, const Limit& limit, CounterTime time, std::uint64_t cost);
  std::optional<Booked> add(const Place& place, const Limit& limit, CounterTime time,
                            std::uint64_t cost);
  static void refundPlace(const Place& place, const Limit& limit, CounterTime chargedAt,
                          CounterTime now, std::uint64_t cost);
  static void takeBack(const Place& place, const Charge& charge, const Booked& booked,
                       CounterTime time);
  void claim(Group& group, std::size_t index, const Place& place, std::uint64_t identity,
             std::uint64_t payload);
  void reclaim(Group& group, CounterTime now);
  static bool hasNeutral(const Group& group, CounterTime now);
  CounterTime notBeforeReclaimed(CounterTime time) const;
  std::uint64_t hold(Booked& booked);
  std::uint32_t indexOf(const Slot& slot) const;
  Slot& slotAt(std::uint32_t index);
  std::uint32_t takeRecord();
  void putRecord(std::uint32_t index);
  static void giveBack(Slot& slot);

  const SipKey key_;
  const std::size_t groupCount_;
  const std::uint32_t permitCount_;
  const ZeroedPages groupPages_;
  const ZeroedPages permitPages_;
  Group* const groups_;
  PermitRecord* const permits_;

  // Written when counters come and go, not by charges.
  alignas(64) std::atomic<std::uint64_t> used_{0};
  std::atomic<std::uint64_t> full_{0};
  std::atomic<std::uint64_t> reclaimed_{0};
  std::atomic<std::uint64_t> reclaimedNanos_{
      0};  // the latest times as of which slots were reclaimed
  std::atomic<std::uint64_t> reclaimedMillis_{0};
  std::size_t cursor_ = 0;  // sweep(): the next group

  // Written by acquire() and release(). Permits from freshPermits_ on have never been taken.
  alignas(64) std::atomic<std::uint64_t> freePermits_{0};  // changes (32 bits), 1 + first free (32)
  std::atomic<std::uint32_t> freshPermits_{0};
};

}  // namespace tidegate
