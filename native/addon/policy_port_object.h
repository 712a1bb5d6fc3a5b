// The class `PolicyPort` as JavaScript sees it: the side of the channels that one policy worker
// holds. Made in the worker's own environment, and used there alone.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "addon/async_bell.h"
#include "policy/port.h"

namespace tidegate {

// The port of that worker of the engine under this number, which rings `bell`; nullptr when there
// is no such engine or place. Any thread. The addon's is in live_engines.cc; a bench has one of its
// own.
std::unique_ptr<PolicyPort> openPort(std::uint64_t engine, std::size_t worker,
                                     const std::shared_ptr<Bell>& bell);

class PolicyPortObject : public Napi::ObjectWrap<PolicyPortObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new PolicyPort(engine, worker, onBell): `engine` is an Engine's id(). `onBell` is called after
  // a sleep() that said true, when there is something to do. Throws "core_stopped" when there is no
  // such engine any more.
  explicit PolicyPortObject(const Napi::CallbackInfo& info);
  // A port that is collected, or whose worker ends, is closed.
  ~PolicyPortObject() override;

 private:
  Napi::Value threads(const Napi::CallbackInfo& info);
  // take(thread, into): see PolicyPort::take. The number of bytes.
  Napi::Value take(const Napi::CallbackInfo& info);
  // give(thread, batch): the number of bytes taken; -1 when the batch is malformed.
  Napi::Value give(const Napi::CallbackInfo& info);
  Napi::Value sleep(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void closeNow();
  static void onEnvironmentExit(void* object);

  std::shared_ptr<AsyncBell> bell_;  // empty only when the constructor threw
  std::unique_ptr<PolicyPort> port_;
  bool environmentGone_ = false;
};

}  // namespace tidegate
