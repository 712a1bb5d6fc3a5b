// The class `Engine` as JavaScript sees it: one object, one engine.
#pragma once

#include <napi.h>

#include <cstddef>
#include <memory>

#include "proxy/engine.h"

namespace tidegate {

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new Engine({ ioThreads, pinCpus, maxConnections }): starts the I/O threads.
  explicit EngineObject(const Napi::CallbackInfo& info);
  // An engine that is collected is stopped, also where buffers over its counters live on.
  ~EngineObject() override;

 private:
  Napi::Value apply(const Napi::CallbackInfo& info);
  Napi::Value drain(const Napi::CallbackInfo& info);
  Napi::Value drained(const Napi::CallbackInfo& info);
  Napi::Value stop(const Napi::CallbackInfo& info);
  Napi::Value reopenLogs(const Napi::CallbackInfo& info);
  Napi::Value purgeVerdicts(const Napi::CallbackInfo& info);
  Napi::Value threadCount(const Napi::CallbackInfo& info);
  Napi::Value accessLogDropped(const Napi::CallbackInfo& info);
  Napi::Value endpoints(const Napi::CallbackInfo& info);
  // The number by which PolicyPort finds the engine from a worker.
  Napi::Value id(const Napi::CallbackInfo& info);

  // Memory of the core as external ArrayBuffers, each of which keeps the engine's memory alive. A
  // new one a call: callers keep them. counterBuffer(thread): ThreadCounters; chunkCount(thread),
  // chunkBuffer(thread, i): chunks of SlotCounters.
  Napi::Value counterBuffer(const Napi::CallbackInfo& info);
  Napi::Value chunkCount(const Napi::CallbackInfo& info);
  Napi::Value chunkBuffer(const Napi::CallbackInfo& info);

  // The engine while it runs; nullptr with an exception pending ("core_stopped") after stop().
  Engine* running(Napi::Env env);
  // The statistics of the thread that the first argument names; nullptr with an exception pending.
  ThreadStats* threadStats(const Napi::CallbackInfo& info);

  std::shared_ptr<Engine> engine_;  // empty only when the constructor threw
  std::uint64_t id_ = 0;
  std::size_t threadCount_ = 0;
  bool stopped_ = false;
};

}  // namespace tidegate
