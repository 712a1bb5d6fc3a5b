#include "addon/values.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

namespace tidegate {
namespace {

// The first error stands: Node-API takes it as fatal when one is thrown with another pending.
void throwTypeError(Napi::Env env, std::string_view what, std::string_view expected) {
  if (env.IsExceptionPending()) return;
  std::string message = "expected ";
  message += expected;
  message += " for ";
  message += what;
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

std::optional<Napi::Object> readObject(const Napi::Value& value, std::string_view what) {
  if (value.IsObject()) return value.As<Napi::Object>();
  throwTypeError(value.Env(), what, "an object");
  return std::nullopt;
}

// Reads members of one object; after a failure the rest is skipped and failed() says so.
class Members {
 public:
  Members(Napi::Object object, std::string_view what) : object_(object), what_(what) {}

  bool failed() const { return failed_; }

  void number(const char* name, std::uint64_t max, std::uint64_t& out) {
    if (const auto read = readNumber(get(name), path(name), max)) {
      out = *read;
    } else {
      failed_ = true;
    }
  }

  void text(const char* name, std::string& out) {
    const Napi::Value value = get(name);
    if (failed_) return;
    if (value.IsString()) {
      out = value.As<Napi::String>().Utf8Value();
    } else {
      fail(name, "a string");
    }
  }

  // Calls `each` for the elements of an array.
  template <typename Each>
  void list(const char* name, Each each) {
    const Napi::Value value = get(name);
    if (failed_) return;
    if (!value.IsArray()) return fail(name, "an array");
    const auto array = value.As<Napi::Array>();
    for (std::uint32_t i = 0; i < array.Length() && !failed_; ++i) each(array.Get(i));
  }

  void fail(const char* name, std::string_view expected) {
    if (!failed_) throwTypeError(object_.Env(), path(name), expected);
    failed_ = true;
  }

 private:
  // Undefined once something has failed, so that no JavaScript runs with an exception pending.
  Napi::Value get(const char* name) {
    if (failed_) return object_.Env().Undefined();
    const auto value = object_.Get(name);
    if (object_.Env().IsExceptionPending()) failed_ = true;
    return failed_ ? object_.Env().Undefined() : Napi::Value(value);
  }

  std::string path(const char* name) const { return std::string(what_) + "." + name; }

  Napi::Object object_;
  std::string_view what_;
  bool failed_ = false;
};

void setText(Napi::Object& object, const char* name, std::string_view text) {
  object.Set(name, Napi::String::New(object.Env(), text.data(), text.size()));
}

}  // namespace

std::optional<std::uint64_t> readNumber(const Napi::Value& value, std::string_view what,
                                        std::uint64_t max) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  const double limit = static_cast<double>(std::min(max, kMaxSafeInteger));
  if (number >= 0 && number <= limit && std::floor(number) == number) {
    return static_cast<std::uint64_t>(number);
  }
  throwTypeError(value.Env(), what, "a whole number of 0.." + std::to_string(max));
  return std::nullopt;
}

std::optional<std::span<const std::uint8_t>> readBytes(const Napi::Value& value,
                                                       std::string_view what) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = value.As<Napi::Uint8Array>();
    return std::span<const std::uint8_t>(array.Data(), array.ElementLength());
  }
  throwTypeError(value.Env(), what, "a Uint8Array");
  return std::nullopt;
}

std::optional<std::span<std::uint8_t>> readWritableBytes(const Napi::Value& value,
                                                         std::string_view what, std::size_t least) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    auto array = value.As<Napi::Uint8Array>();
    if (array.ElementLength() >= least)
      return std::span<std::uint8_t>(array.Data(), array.ElementLength());
  }
  throwTypeError(value.Env(), what, "a Uint8Array of " + std::to_string(least) + " bytes or more");
  return std::nullopt;
}

std::optional<EngineOptions> readEngineOptions(const Napi::Value& value) {
  const auto object = readObject(value, "options");
  if (!object) return std::nullopt;
  Members members(*object, "options");
  EngineOptions options;
  std::uint64_t ioThreads = 0;
  members.number("ioThreads", 256, ioThreads);
  if (ioThreads == 0) members.fail("ioThreads", "a whole number of 1..256");
  options.ioThreads = static_cast<std::uint32_t>(ioThreads);
  members.number("maxConnections", kMaxSafeInteger, options.maxConnections);
  members.list("pinCpus", [&](const Napi::Value& element) {
    const auto cpu = readNumber(element, "options.pinCpus", 1 << 20);
    if (!cpu) return members.fail("pinCpus", "an array of CPU numbers");
    options.pinCpus.push_back(static_cast<std::uint32_t>(*cpu));
  });
  std::uint64_t policyWorkers = 0;
  members.number("policyWorkers", 256, policyWorkers);
  options.policyWorkers = static_cast<std::uint32_t>(policyWorkers);
  std::uint64_t limitCounters = 0;
  members.number("limitCounters", CounterTable::kMaxCapacity, limitCounters);
  if (!std::has_single_bit(limitCounters) || limitCounters < CounterTable::kMinCapacity)
    members.fail("limitCounters", "a power of two from 1024");
  options.limitCounters = limitCounters;
  std::uint64_t replayBytes = 0;
  members.number("replayMemory", kMaxSafeInteger, replayBytes);
  options.replayBytes = replayBytes;
  if (members.failed()) return std::nullopt;
  return options;
}

std::optional<VerdictPurge> readVerdictPurge(const Napi::Value& by, const Napi::Value& name) {
  constexpr std::array<std::string_view, 4> kBy = {"everything", "policy", "consumer", "tag"};
  const std::string text = by.IsString() ? by.As<Napi::String>().Utf8Value() : std::string();
  const auto found = std::ranges::find(kBy, text);
  if (found == kBy.end() || !name.IsString()) {
    throwTypeError(by.Env(), "purge", "everything, policy, consumer or tag, and a name");
    return std::nullopt;
  }
  return VerdictPurge{static_cast<VerdictPurge::By>(found - kBy.begin()),
                      name.As<Napi::String>().Utf8Value()};
}

std::optional<ExplainRequest> readExplainRequest(const Napi::Value& value) {
  const auto object = readObject(value, "request");
  if (!object) return std::nullopt;
  Members members(*object, "request");
  ExplainRequest request;
  members.text("listener", request.listener);
  members.text("method", request.method);
  members.text("host", request.host);
  members.text("target", request.target);
  members.text("client", request.client);
  members.list("fields", [&](const Napi::Value& element) {
    if (!element.IsArray() || element.As<Napi::Array>().Length() != 2) {
      return members.fail("fields", "an array of [name, value]");
    }
    const auto pair = element.As<Napi::Array>();
    const Napi::Value name = pair.Get(0u);
    const Napi::Value text = pair.Get(1u);
    if (!name.IsString() || !text.IsString()) {
      return members.fail("fields", "an array of [name, value]");
    }
    request.fields.emplace_back(name.As<Napi::String>().Utf8Value(),
                                text.As<Napi::String>().Utf8Value());
  });
  if (members.failed()) return std::nullopt;
  return request;
}

Napi::Value toValue(Napi::Env env, const std::vector<BoundListener>& listeners) {
  auto array = Napi::Array::New(env, listeners.size());
  for (std::uint32_t i = 0; i < listeners.size(); ++i) {
    auto object = Napi::Object::New(env);
    setText(object, "name", listeners[i].name);
    setText(object, "bind", listeners[i].bind);
    setText(object, "address", listeners[i].address);
    array.Set(i, object);
  }
  return array;
}

Napi::Value toValue(Napi::Env env, const std::vector<EndpointStatus>& endpoints) {
  auto array = Napi::Array::New(env, endpoints.size());
  for (std::uint32_t i = 0; i < endpoints.size(); ++i) {
    auto object = Napi::Object::New(env);
    setText(object, "upstream", endpoints[i].upstream);
    setText(object, "address", endpoints[i].address);
    object.Set("up", endpoints[i].up);
    object.Set("active", endpoints[i].active);
    object.Set("downForMillis", static_cast<double>(endpoints[i].downForMillis));
    array.Set(i, object);
  }
  return array;
}

Napi::Value toValue(Napi::Env env, const ExplainResult& result) {
  auto object = Napi::Object::New(env);
  setText(object, "listener", result.listener);
  setText(object, "host", result.host);
  setText(object, "path", result.path);
  setText(object, "query", result.query);
  setText(object, "refusal", result.refusal);
  setText(object, "refusalDetail", result.refusalDetail);
  setText(object, "route", result.route);
  setText(object, "tail", result.tail);
  auto params = Napi::Object::New(env);
  for (const auto& [name, value] : result.params) setText(params, name.c_str(), value);
  object.Set("params", params);
  auto candidates = Napi::Array::New(env, result.candidates.size());
  for (std::uint32_t i = 0; i < result.candidates.size(); ++i) {
    auto candidate = Napi::Object::New(env);
    setText(candidate, "route", result.candidates[i].route);
    candidate.Set("matched", result.candidates[i].matched);
    setText(candidate, "reason", result.candidates[i].reason);
    setText(candidate, "predicate", result.candidates[i].predicate);
    candidates.Set(i, candidate);
  }
  object.Set("candidates", candidates);
  auto certificates = Napi::Array::New(env, result.certificates.size());
  for (std::uint32_t i = 0; i < result.certificates.size(); ++i)
    certificates.Set(i, static_cast<double>(result.certificates[i]));
  object.Set("certificates", certificates);
  return object;
}

void throwEngineError(Napi::Env env, const EngineError& error) {
  Napi::Error thrown = Napi::Error::New(env, error.message);
  thrown.Set("code", error.code);
  thrown.ThrowAsJavaScriptException();
}

}  // namespace tidegate
