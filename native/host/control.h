// The bare host's control protocol: a parent process steers the engine through two descriptors.
//
// Commands are lines; `apply` is followed by its payload:
//   apply BYTES    adopt the snapshot of that many bytes that follows the line
//   drain          stop accepting, close idle connections
//   drained        whether a client connection is left
//   reopen-logs    open the access log's path again
//   endpoints      states of the endpoints
//   stats          every counter of every I/O thread
//   stop           close everything and end
// Each is answered, in order, by one line of JSON: {"ok":true,...} or
// {"ok":false,"code":...,"message":...}. The line that answers `stats` has "bytes": that many bytes
// follow it, 64-bit numbers in the machine's order: for each thread its counters and reasons, then
// its chunks of slots ("chunks" says how many). The first line, unasked, is the hello: threads and
// tables.
#pragma once

#include "proxy/engine.h"

namespace tidegate {

// What `apply` takes at most, in bytes.
inline constexpr std::size_t kMaxSnapshotBytes = std::size_t{256} * 1024 * 1024;

// Serves commands of `commandFd` until `stop` or the end of the input, writing replies to
// `replyFd`; blocks. Returns the exit status: 0, or 1 when the parent broke the protocol or cannot
// be written to. The engine is not stopped here.
int serveControl(Engine& engine, int commandFd, int replyFd);

// Writes the error as a hello that was not one, for an engine that did not start.
void refuseControl(const EngineError& error, int replyFd);

}  // namespace tidegate
