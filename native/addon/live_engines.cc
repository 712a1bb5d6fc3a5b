#include "addon/live_engines.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include "addon/policy_port_object.h"

namespace tidegate {
namespace {

struct LiveEngine {
  std::uint64_t id;
  napi_env env;
  std::weak_ptr<Engine> engine;
};

// Of the whole process: each worker thread that loads the addon has an environment of its own.
struct LiveEngines {
  std::mutex mutex;
  std::vector<LiveEngine> engines;  // guarded by mutex
  std::uint64_t nextId = 1;         // guarded by mutex
};

// Never destroyed: exit handlers run in an order that a static object could not survive.
LiveEngines& live() {
  static LiveEngines& engines = *new LiveEngines;
  return engines;
}

// Takes out what `pred` selects, and what is gone anyway.
template <typename Pred>
std::vector<std::shared_ptr<Engine>> take(Pred pred) {
  std::vector<std::shared_ptr<Engine>> taken;
  std::lock_guard lock(live().mutex);
  std::erase_if(live().engines, [&](const LiveEngine& entry) {
    if (!pred(entry)) return entry.engine.expired();
    if (auto engine = entry.engine.lock()) taken.push_back(std::move(engine));
    return true;
  });
  return taken;
}

void stopAll(const std::vector<std::shared_ptr<Engine>>& engines) {
  for (const auto& engine : engines) engine->stop();
}

void onProcessExit() {
  stopAll(take([](const LiveEngine&) { return true; }));
}

void onEnvironmentExit(void* env) {
  stopAll(take([env](const LiveEngine& entry) { return entry.env == env; }));
}

}  // namespace

std::uint64_t stopAtExit(Napi::Env env, std::weak_ptr<Engine> engine) {
  take([](const LiveEngine&) { return false; });
  std::lock_guard lock(live().mutex);
  live().engines.push_back({live().nextId, env, std::move(engine)});
  return live().nextId++;
}

std::shared_ptr<Engine> findEngine(std::uint64_t id) {
  std::lock_guard lock(live().mutex);
  for (const LiveEngine& entry : live().engines) {
    if (entry.id == id) return entry.engine.lock();
  }
  return nullptr;
}

std::unique_ptr<PolicyPort> openPort(std::uint64_t engine, std::size_t worker,
                                     const std::shared_ptr<Bell>& bell) {
  const std::shared_ptr<Engine> found = findEngine(engine);
  return found == nullptr ? nullptr : found->openPolicyPort(worker, bell);
}

void installExitHooks(Napi::Env env) {
  static std::once_flag once;
  std::call_once(once, [] { std::atexit(onProcessExit); });
  napi_add_env_cleanup_hook(env, onEnvironmentExit, static_cast<napi_env>(env));
}

}  // namespace tidegate
