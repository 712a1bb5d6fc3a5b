#include "addon/engine_object.h"

#include <utility>

#include "addon/live_engines.h"
#include "addon/values.h"

namespace tidegate {
namespace {

// What TypeScript sees of ThreadCounters: the counters and the reasons, without padding.
constexpr std::size_t kThreadCounterBytes = (kCounterCount + kReasonCount) * sizeof(Counter);
static_assert(kThreadCounterBytes <= sizeof(ThreadCounters));

Napi::Value externalBuffer(Napi::Env env, std::shared_ptr<Engine> owner, void* data,
                           std::size_t bytes) {
  return Napi::ArrayBuffer::New(env, data, bytes, [owner = std::move(owner)](Napi::Env, void*) {});
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceMethod<&EngineObject::apply>("apply"),
                         InstanceMethod<&EngineObject::drain>("drain"),
                         InstanceMethod<&EngineObject::drained>("drained"),
                         InstanceMethod<&EngineObject::stop>("stop"),
                         InstanceMethod<&EngineObject::reopenLogs>("reopenLogs"),
                         InstanceMethod<&EngineObject::purgeVerdicts>("purgeVerdicts"),
                         InstanceMethod<&EngineObject::threadCount>("threadCount"),
                         InstanceMethod<&EngineObject::accessLogDropped>("accessLogDropped"),
                         InstanceMethod<&EngineObject::endpoints>("endpoints"),
                         InstanceMethod<&EngineObject::id>("id"),
                         InstanceMethod<&EngineObject::counterBuffer>("counterBuffer"),
                         InstanceMethod<&EngineObject::chunkCount>("chunkCount"),
                         InstanceMethod<&EngineObject::chunkBuffer>("chunkBuffer"),
                     });
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const auto options = readEngineOptions(info[0]);
  if (!options) return;
  auto started = Engine::start(*options);
  if (!started) {
    throwEngineError(info.Env(), started.error());
    return;
  }
  engine_ = std::move(*started);
  threadCount_ = engine_->threadCount();
  id_ = stopAtExit(info.Env(), engine_);
}

EngineObject::~EngineObject() {
  if (engine_) engine_->stop();
}

Napi::Value EngineObject::apply(const Napi::CallbackInfo& info) {
  Engine* engine = running(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  const auto snapshot = readBytes(info[0], "snapshot");
  if (!snapshot) return info.Env().Undefined();
  const auto listeners = engine->apply(*snapshot);
  if (listeners) return toValue(info.Env(), *listeners);
  throwEngineError(info.Env(), listeners.error());
  return info.Env().Undefined();
}

Napi::Value EngineObject::drain(const Napi::CallbackInfo& info) {
  if (Engine* engine = running(info.Env())) engine->drain();
  return info.Env().Undefined();
}

Napi::Value EngineObject::drained(const Napi::CallbackInfo& info) {
  const Engine* engine = running(info.Env());
  return Napi::Boolean::New(info.Env(), engine != nullptr && engine->drained());
}

Napi::Value EngineObject::stop(const Napi::CallbackInfo& info) {
  stopped_ = true;
  engine_->stop();
  return info.Env().Undefined();
}

Napi::Value EngineObject::reopenLogs(const Napi::CallbackInfo& info) {
  Engine* engine = running(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  if (std::string error = engine->reopenLogs(); !error.empty()) {
    throwEngineError(info.Env(), {"access_log_failed", std::move(error)});
  }
  return info.Env().Undefined();
}

Napi::Value EngineObject::purgeVerdicts(const Napi::CallbackInfo& info) {
  Engine* engine = running(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  auto purge = readVerdictPurge(info[0], info[1]);
  if (!purge) return info.Env().Undefined();
  return Napi::Number::New(info.Env(),
                           static_cast<double>(engine->purgeVerdicts(std::move(*purge))));
}

Napi::Value EngineObject::threadCount(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(threadCount_));
}

Napi::Value EngineObject::accessLogDropped(const Napi::CallbackInfo& info) {
  const Engine* engine = running(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(engine->accessLogDropped()));
}

Napi::Value EngineObject::endpoints(const Napi::CallbackInfo& info) {
  const Engine* engine = running(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  return toValue(info.Env(), engine->endpoints());
}

Napi::Value EngineObject::id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(id_));
}

Napi::Value EngineObject::counterBuffer(const Napi::CallbackInfo& info) {
  ThreadStats* stats = threadStats(info);
  if (stats == nullptr) return info.Env().Undefined();
  return externalBuffer(info.Env(), engine_, &stats->counters, kThreadCounterBytes);
}

Napi::Value EngineObject::chunkCount(const Napi::CallbackInfo& info) {
  const ThreadStats* stats = threadStats(info);
  if (stats == nullptr) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(stats->chunkCount()));
}

Napi::Value EngineObject::chunkBuffer(const Napi::CallbackInfo& info) {
  ThreadStats* stats = threadStats(info);
  if (stats == nullptr) return info.Env().Undefined();
  if (stats->chunkCount() == 0) {
    throwEngineError(info.Env(), {"out_of_range", "there are no chunks yet"});
    return info.Env().Undefined();
  }
  const auto index = readNumber(info[1], "chunk", stats->chunkCount() - 1);
  if (!index) return info.Env().Undefined();
  return externalBuffer(info.Env(), engine_, stats->chunk(*index), sizeof(ThreadStats::Chunk));
}

Engine* EngineObject::running(Napi::Env env) {
  if (!stopped_) return engine_.get();
  throwEngineError(env, {"core_stopped", "the core has been stopped"});
  return nullptr;
}

ThreadStats* EngineObject::threadStats(const Napi::CallbackInfo& info) {
  const auto thread = readNumber(info[0], "thread", threadCount_ - 1);
  return thread ? &engine_->stats(*thread) : nullptr;
}

}  // namespace tidegate
