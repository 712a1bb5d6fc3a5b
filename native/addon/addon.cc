// Everything that the addon exports. Used by src/engine/addon.ts alone.
#include <napi.h>

#include "addon/engine_object.h"
#include "addon/limit_counters_object.h"
#include "addon/live_engines.h"
#include "addon/policy_port_object.h"
#include "addon/values.h"
#include "http/reason.h"
#include "observe/stats.h"
#include "proxy/explain.h"
#include "snapshot/decode.h"

namespace tidegate {
namespace {

// explain(snapshot, request): which route a request takes and why.
Napi::Value explainCall(const Napi::CallbackInfo& info) {
  const auto snapshot = readBytes(info[0], "snapshot");
  if (!snapshot) return info.Env().Undefined();
  const auto request = readExplainRequest(info[1]);
  if (!request) return info.Env().Undefined();
  const auto result = explain(*snapshot, *request);
  if (result) return toValue(info.Env(), *result);
  throwEngineError(info.Env(), result.error());
  return info.Env().Undefined();
}

// checkSnapshot(snapshot): throws "snapshot_invalid" where apply() would.
Napi::Value checkSnapshotCall(const Napi::CallbackInfo& info) {
  const auto snapshot = readBytes(info[0], "snapshot");
  if (!snapshot) return info.Env().Undefined();
  const auto decoded = decodeSnapshot(*snapshot);
  if (!decoded) throwEngineError(info.Env(), {"snapshot_invalid", decoded.error().message});
  return info.Env().Undefined();
}

// [{ name, gauge, text }] in the order of the numbers in counterBuffer().
Napi::Value counterTable(Napi::Env env) {
  auto table = Napi::Array::New(env, kCounterCount);
  std::uint32_t index = 0;
  const auto add = [&](const char* name, bool gauge, const char* text) {
    auto entry = Napi::Object::New(env);
    entry.Set("name", name);
    entry.Set("gauge", gauge);
    entry.Set("text", text);
    table.Set(index++, entry);
  };
#define X(member, name, gauge, text) add(name, gauge, text);
  TIDEGATE_COUNTERS(X)
#undef X
  return table;
}

// [{ code, status, text }] in the order of the numbers behind the counters in counterBuffer().
Napi::Value reasonTable(Napi::Env env) {
  auto table = Napi::Array::New(env, kReasonCount);
  std::uint32_t index = 0;
  const auto add = [&](const char* code, int status, const char* text) {
    auto entry = Napi::Object::New(env);
    entry.Set("code", code);
    entry.Set("status", status);
    entry.Set("text", text);
    table.Set(index++, entry);
  };
#define X(name, code, status, text) add(code, status, text);
  TIDEGATE_REASONS(X)
#undef X
  return table;
}

Napi::Value durationBounds(Napi::Env env) {
  auto bounds = Napi::Array::New(env, kDurationBounds.size());
  for (std::uint32_t i = 0; i < kDurationBounds.size(); ++i) bounds.Set(i, kDurationBounds[i]);
  return bounds;
}

Napi::Object exportAll(Napi::Env env, Napi::Object exports) {
  installExitHooks(env);
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("PolicyPort", PolicyPortObject::define(env));
  exports.Set("LimitCounters", LimitCountersObject::define(env));
  exports.Set("largestPolicyMessage", Napi::Number::New(env, Channel::kLargestMessage));
  exports.Set("explain", Napi::Function::New<explainCall>(env, "explain"));
  exports.Set("checkSnapshot", Napi::Function::New<checkSnapshotCall>(env, "checkSnapshot"));
  exports.Set("counters", counterTable(env));
  exports.Set("reasons", reasonTable(env));
  exports.Set("durationBounds", durationBounds(env));
  return exports;
}

}  // namespace
}  // namespace tidegate

using tidegate::exportAll;  // the macro takes a plain name only
NODE_API_MODULE(tidegate, exportAll)
