#include "addon/policy_port_object.h"

#include "addon/values.h"

namespace tidegate {

Napi::Function PolicyPortObject::define(Napi::Env env) {
  return DefineClass(env, "PolicyPort",
                     {
                         InstanceMethod<&PolicyPortObject::threads>("threads"),
                         InstanceMethod<&PolicyPortObject::take>("take"),
                         InstanceMethod<&PolicyPortObject::give>("give"),
                         InstanceMethod<&PolicyPortObject::sleep>("sleep"),
                         InstanceMethod<&PolicyPortObject::close>("close"),
                     });
}

PolicyPortObject::PolicyPortObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  const auto id = readNumber(info[0], "engine", kMaxSafeInteger);
  if (!id) return;
  const auto worker = readNumber(info[1], "worker", kMaxSafeInteger);
  if (!worker) return;
  if (!info[2].IsFunction()) {
    Napi::TypeError::New(env, "expected a function for onBell").ThrowAsJavaScriptException();
    return;
  }
  std::shared_ptr<AsyncBell> bell = AsyncBell::make(info[2].As<Napi::Function>());
  if (bell == nullptr) return;
  std::unique_ptr<PolicyPort> port = openPort(*id, *worker, bell);
  if (port == nullptr) {
    throwEngineError(env, {"core_stopped", "the core has no place for this policy worker"});
    return;
  }
  bell_ = std::move(bell);
  port_ = std::move(port);
  napi_add_env_cleanup_hook(env, onEnvironmentExit, this);
}

PolicyPortObject::~PolicyPortObject() {
  if (port_ == nullptr || environmentGone_) return;
  napi_remove_env_cleanup_hook(Env(), onEnvironmentExit, this);
  closeNow();
}

// A worker may be ended at any moment: the I/O threads must not wait for it.
void PolicyPortObject::onEnvironmentExit(void* object) {
  auto& port = *static_cast<PolicyPortObject*>(object);
  port.environmentGone_ = true;
  port.closeNow();
}

void PolicyPortObject::closeNow() {
  port_->close();
  bell_->close();
}

Napi::Value PolicyPortObject::threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(port_->threads()));
}

Napi::Value PolicyPortObject::take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto thread = readNumber(info[0], "thread", port_->threads() - 1);
  if (!thread) return env.Undefined();
  const auto into = readWritableBytes(info[1], "into", Channel::kLargestMessage + 4);
  if (!into) return env.Undefined();
  const std::size_t bytes = port_->take(*thread, std::as_writable_bytes(*into));
  return Napi::Number::New(env, static_cast<double>(bytes));
}

Napi::Value PolicyPortObject::give(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto thread = readNumber(info[0], "thread", port_->threads() - 1);
  if (!thread) return env.Undefined();
  const auto batch = readBytes(info[1], "batch");
  if (!batch) return env.Undefined();
  const auto taken = port_->give(*thread, std::as_bytes(*batch));
  return Napi::Number::New(env, taken ? static_cast<double>(*taken) : -1);
}

Napi::Value PolicyPortObject::sleep(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), port_->sleep());
}

Napi::Value PolicyPortObject::close(const Napi::CallbackInfo& info) {
  closeNow();
  return info.Env().Undefined();
}

}  // namespace tidegate
