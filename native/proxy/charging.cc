#include "proxy/charging.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "base/ascii.h"

namespace tidegate {

namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

std::uint64_t secondsUp(std::uint64_t nanos) {
  return (nanos + kNanosPerSecond - 1) / kNanosPerSecond;
}

std::string_view numberText(std::uint64_t value, TextArena& arena) {
  constexpr std::size_t kDigits = 20;
  char* const begin = arena.allocate(kDigits);
  return {begin,
          static_cast<std::size_t>(std::to_chars(begin, begin + kDigits, value).ptr - begin)};
}

bool shows(LimitFields shown, LimitFields wanted) {
  return (static_cast<unsigned>(shown) & static_cast<unsigned>(wanted)) != 0;
}

}  // namespace

Outcome Charging::make(const Verdict& verdict, CounterTable& table, CounterTime time) {
  charges_.clear();
  shown_ = LimitFields::None;
  holds_ = false;
  for (const VerdictCharge& charge : verdict.charges) {
    if (!charge.counter) charge.counter = table.hashOf(charge.key, charge.limit);
    charges_.push_back({charge.key, charge.limit, charge.cost, charge.counter});
    shown_ = static_cast<LimitFields>(static_cast<unsigned>(shown_) |
                                      static_cast<unsigned>(charge.fields));
    holds_ = holds_ || charge.limit.algorithm() == Algorithm::Concurrency;
  }
  outcome_ = table.chargeAll(charges_, time, decisions_, permits_);
  return outcome_;
}

ExchangeCharges::ExchangeCharges(VerdictRef verdict, Charging& made)
    : verdict_(std::move(verdict)), shown_(made.shown_) {
  std::size_t index = 0;
  for (const VerdictCharge& charge : verdict_->charges) {
    const Decision& decision = decisions_[index] = made.decisions_[index];
    permits_[index] = std::move(made.permits_[index]);
    ++index;
    // The first of those decides.
    if (made.outcome_ == Outcome::Allowed || decision.outcome != made.outcome_ ||
        refusedStatus_ != 0)
      continue;
    refusedStatus_ = charge.status;
    refusedReason_ = charge.reason;
    retryAfterNanos_ = decision.retryAfterNanos;
  }
}

void ExchangeCharges::addRetryAfter(TextArena& arena, ExtraFields& added) const {
  if (retryAfterNanos_ == 0) return;
  added.add("Retry-After", numberText(secondsUp(retryAfterNanos_), arena));
}

void ExchangeCharges::addFields(HeadFields* head, TextArena& arena, ExtraFields& added) const {
  const Target target{head, arena, added};
  if (shows(shown_, LimitFields::RateLimit)) addRateLimit(target);
  if (shows(shown_, LimitFields::XRateLimit)) addXRateLimit(target);
}

// Its own value stands: two would leave the client to guess which limit is meant.
void ExchangeCharges::replace(const Target& target, std::string_view name, std::string_view value) {
  if (target.head != nullptr) {
    for (Field& field : target.head->fields()) {
      if (field.id == FieldId::Other && equalsIgnoreCase(target.head->name(field), name))
        field.dropped = true;
    }
  }
  target.added.remove(name);
  target.added.add(name, value);
}

// draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4.
void ExchangeCharges::addRateLimit(const Target& target) const {
  TextArena& arena = target.arena;
  std::string_view policies;
  std::string_view limits;
  std::size_t index = 0;
  for (const VerdictCharge& charge : verdict_->charges) {
    const Decision& decision = decisions_[index++];
    if (!shows(charge.fields, LimitFields::RateLimit)) continue;
    const std::string_view name = charge.name.empty() ? "default" : charge.name;
    const std::string_view comma = policies.empty() ? "" : ", ";
    const bool concurrency = charge.limit.algorithm() == Algorithm::Concurrency;
    policies = arena.join({policies, comma, "\"", name, "\";q=", numberText(charge.quota, arena),
                           concurrency                ? ";qu=\"concurrent-requests\""
                           : charge.windowSeconds > 0 ? ";w="
                                                      : "",
                           !concurrency && charge.windowSeconds > 0
                               ? numberText(charge.windowSeconds, arena)
                               : std::string_view{}});
    limits = arena.join({limits, comma, "\"", name, "\";r=", numberText(decision.remaining, arena),
                         concurrency ? "" : ";t=",
                         concurrency ? std::string_view{}
                                     : numberText(secondsUp(decision.resetAfterNanos), arena)});
  }
  replace(target, "RateLimit-Policy", policies);
  replace(target, "RateLimit", limits);
}

// Of the limit that is nearest to its end, by the share of it that is left.
void ExchangeCharges::addXRateLimit(const Target& target) const {
  const Decision* nearest = nullptr;
  std::size_t index = 0;
  for (const VerdictCharge& charge : verdict_->charges) {
    const Decision& decision = decisions_[index++];
    if (!shows(charge.fields, LimitFields::XRateLimit)) continue;
    // Limits are below 2^40 and their remainders too: the products need more than 64 bits.
    __extension__ using Wide = unsigned __int128;
    if (nearest == nullptr || static_cast<Wide>(decision.remaining) * nearest->limit <
                                  static_cast<Wide>(nearest->remaining) * decision.limit) {
      nearest = &decision;
    }
  }
  if (nearest == nullptr) return;
  TextArena& arena = target.arena;
  replace(target, "X-RateLimit-Limit", numberText(nearest->limit, arena));
  replace(target, "X-RateLimit-Remaining", numberText(nearest->remaining, arena));
  replace(target, "X-RateLimit-Reset", numberText(secondsUp(nearest->resetAfterNanos), arena));
}

}  // namespace tidegate
