// Joins the I/O threads of every engine before the environment or the process that made it is torn
// down.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "proxy/engine.h"

namespace tidegate {

// Remembers `engine` until it is destroyed; stops it when the environment of `env` ends (a worker
// that exits, the end of the main thread) and, where Node skips that (process.exit, an uncaught
// error), when the process runs its exit handlers: ours was registered later than those of OpenSSL
// and of Node itself and therefore runs before them. Returns a number that no other engine has.
std::uint64_t stopAtExit(Napi::Env env, std::weak_ptr<Engine> engine);

// Any thread: the engine that was remembered under this number, by which other environments of the
// process find it; nullptr when it is gone.
std::shared_ptr<Engine> findEngine(std::uint64_t id);

// Once for each environment that loads the addon, before stopAtExit().
void installExitHooks(Napi::Env env);

}  // namespace tidegate
