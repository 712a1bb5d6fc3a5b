// The charges of an exchange's verdict: made all or none, told to the client in the response's
// fields, and given back at the exchange's end where they hold something (Concurrency).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "policy/verdict_store.h"
#include "proxy/extra_fields.h"
#include "proxy/text_arena.h"
#include "shared/counter_table.h"

namespace tidegate {

// Makes the charges of verdicts, of one after the other. One thread owns it.
class Charging {
 public:
  Charging() { charges_.reserve(kMaxVerdictCharges); }

  Outcome make(const Verdict& verdict, CounterTable& table, CounterTime time);

  // After an Allowed make(): something of it is to be said or given back.
  bool lasts() const { return shown_ != LimitFields::None || holds_; }

 private:
  friend class ExchangeCharges;

  std::vector<Charge> charges_;
  std::array<Decision, kMaxVerdictCharges> decisions_;
  std::array<Permit, kMaxVerdictCharges> permits_;
  Outcome outcome_ = Outcome::Allowed;
  LimitFields shown_ = LimitFields::None;  // of any of the limits
  bool holds_ = false;                     // one of the limits is of Concurrency
};

// What came of the charges of an exchange's verdict. Lives as long as the exchange.
class ExchangeCharges {
 public:
  // `made` has just made those of the verdict; its permits go over.
  ExchangeCharges(VerdictRef verdict, Charging& made);

  // Where they were not allowed: what the answer says.
  std::uint16_t refusedStatus() const { return refusedStatus_; }
  std::string_view refusedReason() const { return refusedReason_; }

  // Adds Retry-After where waiting helps.
  void addRetryAfter(TextArena& arena, ExtraFields& added) const;

  // Adds what the client is told of its limits, in place of fields of that name in `added` or (it
  // may be nullptr) in `head`. The texts are the arena's.
  void addFields(HeadFields* head, TextArena& arena, ExtraFields& added) const;

 private:
  struct Target {
    HeadFields* head;
    TextArena& arena;
    ExtraFields& added;
  };
  void addRateLimit(const Target& target) const;
  void addXRateLimit(const Target& target) const;
  static void replace(const Target& target, std::string_view name, std::string_view value);

  VerdictRef verdict_;
  std::array<Decision, kMaxVerdictCharges> decisions_;
  std::array<Permit, kMaxVerdictCharges> permits_;
  LimitFields shown_;
  std::uint64_t retryAfterNanos_ = 0;
  std::uint16_t refusedStatus_ = 0;
  std::string_view refusedReason_;  // of the verdict's bytes
};

}  // namespace tidegate
