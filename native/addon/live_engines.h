// Joins the I/O threads of every engine before the environment or the process that made it is torn
// down.
#pragma once

#include <napi.h>

#include <memory>

#include "proxy/engine.h"

namespace tidegate {

// Remembers `engine` until it is destroyed; stops it when the environment of `env` ends (a worker
// that exits, the end of the main thread) and, where Node skips that (process.exit, an uncaught
// error), when the process runs its exit handlers: ours was registered later than those of OpenSSL
// and of Node itself and therefore runs before them.
void stopAtExit(Napi::Env env, std::weak_ptr<Engine> engine);

// Once for each environment that loads the addon, before stopAtExit().
void installExitHooks(Napi::Env env);

}  // namespace tidegate
