#include "addon/async_bell.h"

#include <optional>
#include <utility>

namespace tidegate {

// libuv's own: it lives until the loop has closed it, which may be after the bell.
struct AsyncBell::Handle {
  Handle(Napi::Env env, Napi::Function onRing)
      : env(env), context(std::in_place, env, "tidegate:bell"), onRing(Napi::Persistent(onRing)) {}

  // Plain Node-API: a worker that is being ended (process.exit, terminate) lets no exception be
  // looked at, and node-addon-api takes that for fatal.
  void call() {
    Napi::HandleScope scope(env);
    const napi_status status =
        napi_make_callback(env, *context, env.Global(), onRing.Value(), 0, nullptr, nullptr);
    if (status != napi_pending_exception) return;
    napi_value error = nullptr;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }

  uv_async_t async{};
  Napi::Env env;
  std::optional<Napi::AsyncContext> context;
  Napi::FunctionReference onRing;
};

std::shared_ptr<AsyncBell> AsyncBell::make(Napi::Function onRing) {
  const Napi::Env env = onRing.Env();
  uv_loop_s* loop = nullptr;
  auto handle = std::make_unique<Handle>(env, onRing);
  handle->async.data = handle.get();
  const auto onAsync = [](uv_async_t* async) { static_cast<Handle*>(async->data)->call(); };
  if (napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_async_init(loop, &handle->async, onAsync) != 0) {
    Napi::Error::New(env, "cannot make a bell for the policy worker").ThrowAsJavaScriptException();
    return nullptr;
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle->async));
  std::shared_ptr<AsyncBell> bell(new AsyncBell);
  bell->handle_ = handle.release();
  return bell;
}

AsyncBell::~AsyncBell() { close(); }

void AsyncBell::ring() {
  const std::lock_guard lock(mutex_);
  if (handle_ != nullptr) uv_async_send(&handle_->async);
}

void AsyncBell::close() {
  Handle* handle = nullptr;
  {
    const std::lock_guard lock(mutex_);
    handle = std::exchange(handle_, nullptr);
  }
  if (handle == nullptr) return;
  // The environment's own things go now: it may be gone when the loop has closed the handle.
  handle->onRing.Reset();
  handle->context.reset();
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->async),
           [](uv_handle_t* async) { delete static_cast<Handle*>(async->data); });
}

}  // namespace tidegate
