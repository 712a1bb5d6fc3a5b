#include "addon/limit_counters_object.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "addon/live_engines.h"
#include "addon/values.h"
#include "base/clock.h"

namespace tidegate {
namespace {

constexpr std::uint64_t kNanosPerMicro = 1000;
constexpr std::uint64_t kNanosPerMilli = 1'000'000;
// Never in UTF-8, so that no key looks like one with an owner.
constexpr char kOwnerMark = '\xff';
constexpr int kPlaceBits = 21;
static_assert(CounterTable::kMaxPermits < std::size_t{1} << kPlaceBits);

void throwTypeError(Napi::Env env, const std::string& message) {
  if (!env.IsExceptionPending()) Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

std::optional<std::uint64_t> wholeOf(double number) {
  if (!(number >= 0 && number <= static_cast<double>(kMaxSafeInteger)) ||
      std::floor(number) != number) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(number);
}

// The clocks of the I/O threads' loops.
CounterTime now() { return {monotonicNanos(), realtimeMillis()}; }

std::optional<std::span<double>> readNumbers(const Napi::Value& value) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array) {
    auto array = value.As<Napi::Float64Array>();
    if (array.ElementLength() == LimitCountersObject::kNumbers)
      return std::span<double>(array.Data(), array.ElementLength());
  }
  throwTypeError(value.Env(), "expected a Float64Array of " +
                                  std::to_string(LimitCountersObject::kNumbers) +
                                  " numbers for numbers");
  return std::nullopt;
}

std::span<double> rowOf(std::span<double> numbers, std::size_t index) {
  return numbers.subspan(LimitCountersObject::kTime + index * LimitCountersObject::kRow,
                         LimitCountersObject::kRow);
}

// Nothing when the time is not one.
std::optional<CounterTime> readTime(Napi::Env env, std::span<const double> numbers) {
  const auto micros = wholeOf(numbers[0]);
  const auto millis = wholeOf(numbers[1]);
  if (micros && millis) return CounterTime{*micros * kNanosPerMicro, *millis};
  throwTypeError(env, "expected whole numbers for the time");
  return std::nullopt;
}

std::optional<CounterTime> timeOrNow(Napi::Env env, std::span<double> numbers) {
  if (numbers[0] != 0 || numbers[1] != 0) return readTime(env, numbers);
  const CounterTime time = now();
  const std::uint64_t micros = time.monotonicNanos / kNanosPerMicro;
  numbers[0] = static_cast<double>(micros);
  numbers[1] = static_cast<double>(time.wallMillis);
  return time;
}

double millisUp(std::uint64_t nanos) {
  const std::uint64_t millis = (nanos + kNanosPerMilli - 1) / kNanosPerMilli;
  return static_cast<double>(millis);
}

void writeDecision(std::span<double> row, const Decision& decision) {
  row[0] = static_cast<double>(decision.outcome);
  row[1] = static_cast<double>(decision.limit);
  row[2] = static_cast<double>(decision.remaining);
  row[3] = millisUp(decision.resetAfterNanos);
  row[4] = millisUp(decision.retryAfterNanos);
}

Napi::Value toValue(Napi::Env env, Outcome outcome) {
  return Napi::Number::New(env, static_cast<double>(outcome));
}

}  // namespace

Napi::Function LimitCountersObject::define(Napi::Env env) {
  return DefineClass(env, "LimitCounters",
                     {
                         InstanceMethod<&LimitCountersObject::charge>("charge"),
                         InstanceMethod<&LimitCountersObject::peek>("peek"),
                         InstanceMethod<&LimitCountersObject::refund>("refund"),
                         InstanceMethod<&LimitCountersObject::acquire>("acquire"),
                         InstanceMethod<&LimitCountersObject::release>("release"),
                         InstanceMethod<&LimitCountersObject::close>("close"),
                     });
}

LimitCountersObject::LimitCountersObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  const auto id = readNumber(info[0], "engine", kMaxSafeInteger);
  if (!id) return;
  if (!info[1].IsString()) {
    throwTypeError(env, "expected a string for owner");
    return;
  }
  if (const std::string owner = info[1].As<Napi::String>().Utf8Value(); !owner.empty()) {
    owner_ += kOwnerMark;
    owner_ += owner;
    owner_ += kOwnerMark;
  }
  const std::shared_ptr<Engine> engine = findEngine(*id);
  if (engine == nullptr) {
    throwEngineError(env, {"core_stopped", "the core has been stopped"});
    return;
  }
  table_ = engine->limits();
}

Napi::Value LimitCountersObject::charge(const Napi::CallbackInfo& info) {
  const auto numbers = readCharges(info);
  if (!numbers) return info.Env().Undefined();
  const auto time = timeOrNow(info.Env(), *numbers);
  if (!time) return info.Env().Undefined();
  std::array<Decision, CounterTable::kMaxCharges> decisions;
  std::array<Permit, CounterTable::kMaxCharges> none;
  const Outcome outcome = table_->chargeAll(charges_, *time, decisions, none);
  for (std::size_t i = 0; i < charges_.size(); ++i) writeDecision(rowOf(*numbers, i), decisions[i]);
  return toValue(info.Env(), outcome);
}

Napi::Value LimitCountersObject::refund(const Napi::CallbackInfo& info) {
  const auto numbers = readCharges(info);
  if (!numbers) return info.Env().Undefined();
  const auto time = timeOrNow(info.Env(), *numbers);
  if (!time) return info.Env().Undefined();
  const auto chargedAt = readTime(info.Env(), numbers->subspan(2));
  if (!chargedAt) return info.Env().Undefined();
  for (const Charge& each : charges_)
    table_->refund(each.key, each.limit, *chargedAt, *time, each.cost);
  return info.Env().Undefined();
}

Napi::Value LimitCountersObject::peek(const Napi::CallbackInfo& info) {
  const auto numbers = readNumbers(info[1]);
  if (!numbers || !readKey(info[0], keys_[0])) return info.Env().Undefined();
  const auto row = rowOf(*numbers, 0);
  const auto charge = readCharge(info.Env(), row, keys_[0]);
  if (!charge) return info.Env().Undefined();
  const auto time = timeOrNow(info.Env(), *numbers);
  if (!time) return info.Env().Undefined();
  const Decision decision = table_->peek(charge->key, charge->limit, *time, charge->cost);
  writeDecision(row, decision);
  return toValue(info.Env(), decision.outcome);
}

Napi::Value LimitCountersObject::acquire(const Napi::CallbackInfo& info) {
  const auto numbers = readNumbers(info[1]);
  if (!numbers || !readKey(info[0], keys_[0])) return info.Env().Undefined();
  const auto row = rowOf(*numbers, 0);
  const auto charge = readCharge(info.Env(), row, keys_[0]);
  if (!charge) return info.Env().Undefined();
  if (charge->limit.algorithm() != Algorithm::Concurrency) {
    throwTypeError(info.Env(), "expected a limit of concurrency");
    return info.Env().Undefined();
  }
  const auto time = timeOrNow(info.Env(), *numbers);
  if (!time) return info.Env().Undefined();
  const Acquired acquired = table_->acquire(charge->key, charge->limit, *time);
  writeDecision(row, acquired.decision);
  const std::uint64_t number = acquired.permit == 0 ? 0 : keep(Permit(*table_, acquired.permit));
  return Napi::Number::New(info.Env(), static_cast<double>(number));
}

std::uint64_t LimitCountersObject::keep(Permit permit) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(held_.size()));
    held_.emplace_back();
  }
  const std::uint32_t place = free_.back();
  free_.pop_back();
  Held& held = held_[place];
  held.permit = std::move(permit);
  // From 1 on, so that no permit is number 0.
  held.generation += held.generation == ~std::uint32_t{0} ? 2 : 1;
  return std::uint64_t{held.generation} << kPlaceBits | place;
}

Napi::Value LimitCountersObject::release(const Napi::CallbackInfo& info) {
  const auto number = readNumber(info[0], "permit", kMaxSafeInteger);
  if (!number) return info.Env().Undefined();
  const std::uint64_t place = *number & ((std::uint64_t{1} << kPlaceBits) - 1);
  const bool known = place < held_.size() && held_[place].permit &&
                     held_[place].generation == *number >> kPlaceBits;
  if (known) {
    held_[place].permit.release();
    free_.push_back(static_cast<std::uint32_t>(place));
  }
  return Napi::Boolean::New(info.Env(), known);
}

Napi::Value LimitCountersObject::close(const Napi::CallbackInfo& info) {
  for (std::uint32_t place = 0; place < held_.size(); ++place) {
    if (!held_[place].permit) continue;
    held_[place].permit.release();
    free_.push_back(place);
  }
  return info.Env().Undefined();
}

std::optional<std::span<double>> LimitCountersObject::readCharges(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto numbers = readNumbers(info[1]);
  if (!numbers) return std::nullopt;
  if (!info[0].IsArray()) {
    throwTypeError(env, "expected an array for keys");
    return std::nullopt;
  }
  const auto keys = info[0].As<Napi::Array>();
  const std::uint32_t count = keys.Length();
  if (count > CounterTable::kMaxCharges) {
    throwTypeError(env, "expected at most " + std::to_string(CounterTable::kMaxCharges) + " keys");
    return std::nullopt;
  }
  charges_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!readKey(keys.Get(i), keys_[i])) return std::nullopt;
    const auto charge = readCharge(env, rowOf(*numbers, i), keys_[i]);
    if (!charge) return std::nullopt;
    if (charge->limit.algorithm() == Algorithm::Concurrency) {
      throwTypeError(env, "expected no limit of concurrency, which is acquired");
      return std::nullopt;
    }
    charges_.push_back(*charge);
  }
  return numbers;
}

bool LimitCountersObject::readKey(const Napi::Value& value, std::string& key) {
  const Napi::Env env = value.Env();
  // With the zero that Node-API writes behind the text, and one byte to tell what is too long.
  std::array<char, kMaxKeyBytes + 4> text;
  std::size_t length = 0;
  if (value.IsString()) {
    napi_get_value_string_utf8(env, value, text.data(), text.size(), &length);
  }
  if (length == 0 || length > kMaxKeyBytes) {
    throwTypeError(env,
                   "expected a string of 1 to " + std::to_string(kMaxKeyBytes) + " bytes for key");
    return false;
  }
  key.assign(owner_);
  key.append(text.data(), length);
  return true;
}

std::optional<Charge> LimitCountersObject::readCharge(Napi::Env env, std::span<const double> row,
                                                      std::string_view key) {
  std::array<std::uint64_t, kRow> in{};
  for (std::size_t i = 0; i < kRow; ++i) {
    const auto number = wholeOf(row[i]);
    if (!number) {
      throwTypeError(env, "expected whole numbers for a charge");
      return std::nullopt;
    }
    in[i] = *number;
  }
  const auto [algorithm, count, span, burst, cost] = in;
  if (algorithm > static_cast<std::uint64_t>(Algorithm::Quota) || span > kMaxSpanMillis ||
      cost > kMaxCost) {
    throwTypeError(env, "expected an algorithm, a span and a cost within their bounds");
    return std::nullopt;
  }
  LimitSpec spec{static_cast<Algorithm>(algorithm), count, span, burst};
  if (spec.algorithm == Algorithm::Quota) {
    // What is no period, makeLimit() refuses.
    spec.calendar = static_cast<CalendarPeriod>(
        std::min(span, static_cast<std::uint64_t>(CalendarPeriod::Year) + 1));
  }
  const auto limit = makeLimit(spec);
  if (limit) return Charge{key, *limit, cost};
  throwTypeError(env, limit.error());
  return std::nullopt;
}

}  // namespace tidegate
