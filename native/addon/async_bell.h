// A bell that any thread may ring for JavaScript: its event loop calls a function soon. Rings that
// come before that are one.
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>
#include <mutex>

#include "policy/channel.h"

namespace tidegate {

// Shared by the environment that made it and by those who ring.
class AsyncBell final : public Bell {
 public:
  // nullptr with a JavaScript exception pending. The bell alone does not keep the event loop alive.
  static std::shared_ptr<AsyncBell> make(Napi::Function onRing);
  ~AsyncBell() override;

  // Any thread.
  void ring() override;

  // The environment's thread, idempotent: no call comes any more. Before the environment ends.
  void close();

 private:
  struct Handle;

  AsyncBell() = default;

  std::mutex mutex_;
  Handle* handle_ = nullptr;  // guarded by mutex_; belongs to the event loop, which frees it
};

}  // namespace tidegate
