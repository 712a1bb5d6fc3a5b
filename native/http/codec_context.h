// What the connections of one I/O thread share, whatever their codec: loop, buffers, scratch
// memory, counters.
#pragma once

#include <array>
#include <cstdint>

#include "http/message.h"
#include "io/buffer_pool.h"
#include "io/event_loop.h"
#include "observe/stats.h"

namespace tidegate {

// What one system call reads at most, and so what is written at once of a long body. A segment of
// the loopback device takes 65,483 bytes: of a larger write the rest goes out as a small segment of
// its own, which costs nearly as much as a full one. What waits for a slow client fits a block.
inline constexpr std::size_t kReadBytes = 63 * 1024;

// Free space for reading behind a partial head or kept body; larger reads go on the next call.
inline constexpr std::size_t kKeptReadBytes = 3 * 1024;

// Reads of one connection before others have their turn.
inline constexpr int kReadsPerTurn = 4;

// Milliseconds that a connection is idle before it gives up what it will not need for a while: see
// TransportLayer::rest().
inline constexpr std::uint64_t kRestMillis = 1'000;

// No limit of time, as settings say it.
inline constexpr std::uint64_t kForever = ~std::uint64_t{0};

struct CodecContext {
  EventLoop& loop;
  BufferPool& pool;
  ThreadCounters& counters;

  // Filled and used up within one event; connections that need to keep bytes copy them.
  alignas(64) std::array<char, kReadBytes> readBuffer;
  RequestHead requestHead;
  ResponseHead responseHead;
  FieldTable trailers;
};

}  // namespace tidegate
