// The access log: I/O threads format a line into a ring of their own, one writer thread moves rings
// to the file. A full ring drops the line and counts it; no I/O thread ever waits for a disk or a
// pipe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/ip_address.h"
#include "http/reason.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// One finished exchange. Views are borrowed for the call. Times are microseconds; kNoTime where a
// step was not reached.
inline constexpr std::uint32_t kNoTime = 0xffffffff;

struct AccessRecord {
  std::uint64_t wallMillis = 0;  // when the request head was complete, ms since the epoch
  IpAddress client;
  bool clientIsUnix = false;
  std::uint16_t clientPort = 0;
  std::string_view listener;
  std::string_view method;
  std::string_view host;
  std::string_view target;  // as the client sent it (path and query)
  std::uint8_t minorVersion = 1;
  std::uint16_t status = 0;    // 0: none was sent
  std::uint64_t bytesIn = 0;   // request body
  std::uint64_t bytesOut = 0;  // response body
  std::string_view route;
  std::string_view upstream;
  std::string_view endpoint;
  std::string_view requestId;
  std::string_view referer;
  std::string_view userAgent;
  Reason reason = Reason::None;
  std::uint8_t retries = 0;
  bool reused = false;                      // the upstream connection came from the pool
  std::uint32_t queueMicros = kNoTime;      // head complete to endpoint chosen
  std::uint32_t connectMicros = kNoTime;    // opening the connection; 0 when reused
  std::uint32_t firstByteMicros = kNoTime;  // request sent to response head
  std::uint32_t totalMicros = 0;
};

// Formats `record` and a final newline into `out`; returns the length, or 0 when it does not fit.
// Control and non-ASCII bytes of client data are escaped (JSON: \u00XX, Common: \xXX), so that a
// line is always one line. Long fields (target, user agent, referer, host) are cut at 2 KiB each
// and marked with "...".
std::size_t formatAccess(AccessLogFormat format, const AccessRecord& record, char* out,
                         std::size_t capacity);

// What a line may need at most.
inline constexpr std::size_t kMaxAccessLine = 40 * 1024;

// Single producer (its I/O thread), single consumer (the writer thread) ring of bytes; lines are
// contiguous or wrap.
class AccessRing {
 public:
  explicit AccessRing(std::size_t bytes);  // a power of two

  // Producer. False when there is no room: the line is dropped.
  bool push(std::string_view line);

  // Consumer: the readable bytes as one contiguous part (call again for what wraps); release()
  // frees them.
  std::string_view peek() const;
  void release(std::size_t bytes);

  // Producer: true when the ring has grown from (nearly) empty or past half full since the writer
  // last slept.
  bool shouldWake();

 private:
  std::unique_ptr<char[]> data_;
  std::size_t mask_;
  alignas(64) std::atomic<std::uint64_t> head_{0};  // written by the producer
  alignas(64) std::atomic<std::uint64_t> tail_{0};  // written by the consumer
};

// Owns the writer thread and the file. Made and ended by the control thread.
class AccessLog {
 public:
  // `rings` one an I/O thread. Starts the writer thread; nothing is opened until configure().
  explicit AccessLog(std::size_t ioThreads);
  ~AccessLog();  // stop()

  AccessRing& ring(std::size_t ioThread);

  // Control thread. Opens the file of `config` (append, 0640) before the old one is let go; the
  // error text when that fails, and then nothing has changed.
  std::string configure(const AccessLogConfig& config);
  // Control thread, SIGUSR1: opens the same path again. Error text or empty.
  std::string reopen();
  // Writes out what the rings hold (bounded: at most one second when the sink is stuck), joins the
  // thread. Idempotent.
  void stop();

  // Any I/O thread after push(): wakes the writer when it sleeps and the ring asks for it.
  // Coalesced; normally no system call.
  void notify(std::size_t ioThread);

  // Lines lost after they were in a ring: the sink failed (ENOSPC, EPIPE) or was too slow. Any
  // thread.
  std::uint64_t dropped() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
