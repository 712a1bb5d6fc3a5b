// Engine values (JavaScript's) become plain structs here, and plain structs values. The only door:
// nothing behind it includes Node-API. TypeScript has validated what comes in; a value of the wrong
// type throws a TypeError that names it.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/engine.h"
#include "proxy/explain.h"

namespace tidegate {

inline constexpr std::uint64_t kMaxSafeInteger = (std::uint64_t{1} << 53) - 1;

// Each of these returns nullopt with a JavaScript exception pending.
std::optional<EngineOptions> readEngineOptions(const Napi::Value& value);
std::optional<ExplainRequest> readExplainRequest(const Napi::Value& value);
// By one of "everything", "policy", "consumer" and "tag".
std::optional<VerdictPurge> readVerdictPurge(const Napi::Value& by, const Napi::Value& name);
// The bytes of a Uint8Array; borrowed for the call.
std::optional<std::span<const std::uint8_t>> readBytes(const Napi::Value& value,
                                                       std::string_view what);
// The same of `least` bytes or more, to be written to.
std::optional<std::span<std::uint8_t>> readWritableBytes(const Napi::Value& value,
                                                         std::string_view what, std::size_t least);
// A whole number of 0..max.
std::optional<std::uint64_t> readNumber(const Napi::Value& value, std::string_view what,
                                        std::uint64_t max);

Napi::Value toValue(Napi::Env env, const std::vector<BoundListener>& listeners);
Napi::Value toValue(Napi::Env env, const std::vector<EndpointStatus>& endpoints);
Napi::Value toValue(Napi::Env env, const ExplainResult& result);

// Throws an Error whose `code` is the error's.
void throwEngineError(Napi::Env env, const EngineError& error);

}  // namespace tidegate
