// The class `LimitCounters` as JavaScript sees it: what limits have counted, for one policy in one
// environment. Charges it makes are on the table that the I/O threads charge.
#pragma once

#include <napi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shared/counter_table.h"

namespace tidegate {

// Numbers go in and out by one Float64Array of kNumbers: the time (kTime numbers), then a row of
// kRow for each charge.
//   time  monotonic in µs, and ms since 1970; in: 0 and 0 for now; out: when it was. Behind it that
//         of the charges that refund() takes back.
//   row   in: algorithm, count, span (ms; Quota: the calendar period), burst, cost, as LimitSpec
//         has them; out: outcome, limit, remaining, ms until reset, ms until a retry, both rounded
//         up.
class LimitCountersObject : public Napi::ObjectWrap<LimitCountersObject> {
 public:
  static constexpr std::size_t kTime = 4;
  static constexpr std::size_t kRow = 5;
  static constexpr std::size_t kNumbers = kTime + CounterTable::kMaxCharges * kRow;
  static constexpr std::size_t kMaxKeyBytes = 1024;

  static Napi::Function define(Napi::Env env);

  // new LimitCounters(engine, owner): `engine` is an Engine's id(). Keys are `owner`'s own: another
  // owner's, and those of charges of verdicts, are other keys; with an empty owner they are the
  // latter. Throws "core_stopped" when there is no such engine any more. The counters may outlive
  // the engine.
  explicit LimitCountersObject(const Napi::CallbackInfo& info);

 private:
  // With their owner in front.
  using Keys = std::array<std::string, CounterTable::kMaxCharges>;

  struct Held {
    Permit permit;
    std::uint32_t generation = 0;
  };

  // charge(keys, numbers): the outcome of CounterTable::chargeAll. None is of Concurrency.
  Napi::Value charge(const Napi::CallbackInfo& info);
  // peek(key, numbers): the outcome of CounterTable::peek.
  Napi::Value peek(const Napi::CallbackInfo& info);
  // refund(keys, numbers): rows as they went into charge(), with the time that came out of it.
  Napi::Value refund(const Napi::CallbackInfo& info);
  // acquire(key, numbers): a number for release(), 0 when there is none. Of Concurrency.
  Napi::Value acquire(const Napi::CallbackInfo& info);
  // release(number): false when it has been given back already.
  Napi::Value release(const Napi::CallbackInfo& info);
  // Gives back all that is held. So do the collection of this object and the end of its
  // environment.
  Napi::Value close(const Napi::CallbackInfo& info);

  // These leave a JavaScript exception pending where they say false or nothing.
  bool readKey(const Napi::Value& value, std::string& key);
  static std::optional<Charge> readCharge(Napi::Env env, std::span<const double> row,
                                          std::string_view key);
  // Both arguments of charge() and refund(), into charges_; the numbers.
  std::optional<std::span<double>> readCharges(const Napi::CallbackInfo& info);
  std::uint64_t keep(Permit permit);

  std::shared_ptr<CounterTable> table_;  // empty only when the constructor threw
  std::string owner_;                    // in front of every key
  Keys keys_;                            // of the call under way, as charges_ are
  std::vector<Charge> charges_;
  std::vector<Held> held_;           // by the low bits of a permit's number
  std::vector<std::uint32_t> free_;  // places in held_
};

}  // namespace tidegate
