// The access log: I/O threads format a line into a ring of their own, one writer thread moves rings
// to the file. A full ring drops the line and counts it; no I/O thread ever waits for a disk or a
// pipe.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/ip_address.h"
#include "http/reason.h"
#include "http/tls_facts.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// One finished exchange. Views are borrowed for the call. Times are microseconds; kNoTime where a
// step was not reached. An empty view or a zero status is `null` in JSON and `-` in the other
// formats.
inline constexpr std::uint32_t kNoTime = 0xffffffff;

// What a policy that the core carries out by itself has said; None: it is another one.
enum class AccessAnswer : std::uint8_t { None, Allowed, Denied };

// One policy of the route.
struct AccessPolicy {
  std::string_view name;
  bool decides = false;   // about requests
  bool responds = false;  // sees responses
  // That it took in the worker to do either; kNoTime: it had no turn.
  std::uint32_t micros = kNoTime;
  std::uint32_t respondMicros = kNoTime;
  AccessAnswer access = AccessAnswer::None;
};

struct AccessRecord {
  std::uint64_t wallMillis = 0;  // when the request head was complete, ms since the epoch
  IpAddress client;
  bool clientIsUnix = false;  // the client is written as "unix:"
  std::uint16_t clientPort = 0;
  std::string_view listener;
  std::string_view method;
  std::string_view host;
  std::string_view target;  // as the client sent it (path and query)
  std::uint8_t minorVersion = 1;
  std::uint8_t majorVersion = 1;
  std::uint16_t status = 0;    // 0: none was sent
  std::uint64_t bytesIn = 0;   // request body
  std::uint64_t bytesOut = 0;  // response body
  std::string_view route;
  std::string_view upstream;
  std::string_view endpoint;
  std::string_view consumer;               // as the policies named it
  std::span<const AccessPolicy> policies;  // the first kMaxAccessPolicies are written
  bool replayed = false;                   // the policies' verdict was not decided for this request
  std::string_view requestId;
  std::string_view referer;
  std::string_view userAgent;
  Reason reason = Reason::None;
  std::uint8_t retries = 0;
  bool reused = false;                      // the upstream connection came from the pool
  std::uint32_t policyMicros = kNoTime;     // waiting for the policies' verdict
  std::uint32_t queueMicros = kNoTime;      // head complete to endpoint chosen
  std::uint32_t connectMicros = kNoTime;    // opening the connection; 0 when reused
  std::uint32_t firstByteMicros = kNoTime;  // request sent to response head
  std::uint32_t totalMicros = 0;
  std::string_view upstreamTlsError;    // why TLS with an endpoint failed
  std::string_view upstreamHttp2Error;  // how an endpoint broke its rules
  bool early = false;                   // taken from early data; only with `tls`
  const TlsFacts* tls = nullptr;        // nullptr: the client's connection is in the clear
};

// Formats `record` and a final newline into `out`; returns the length, or 0 when it does not fit or
// the format is Off. Fastest when `capacity` is kMaxAccessLine.
//
// A line is always one line: control bytes, quotes and backslashes are escaped (JSON: \u00XX, \",
// \\; others: \xXX), and of what the client sent also bytes that are not ASCII. A text of which
// more than kMaxAccessField bytes would be written is cut there and ends in "...".
//
// JSON has the same keys in every line, in this order: time (ISO 8601, UTC, ms), client, port,
// listener, method, host, target, protocol, status, bytes_in, bytes_out, route, upstream, endpoint,
// consumer, policies (a list of {name, us}, and replayed or allowed in place of us), request_id,
// referer, user_agent, reason (its code), retries, reused, policy_us, queue_us, connect_us,
// first_byte_us, total_us, tls_version, tls_cipher, sni, alpn, tls_resumed, early_data,
// client_subject, client_sans, client_fingerprint, client_verification, ja4, upstream_tls_error,
// upstream_http2_error.
std::size_t formatAccess(AccessLogFormat format, const AccessRecord& record, char* out,
                         std::size_t capacity);

inline constexpr std::size_t kMaxAccessField = 2048;
inline constexpr std::size_t kMaxAccessPolicies = 16;

// What a line may need at most.
inline constexpr std::size_t kMaxAccessLine = 40 * 1024;

// Bytes from one producer (an I/O thread) to one consumer (the writer thread). What the consumer
// sees always ends at the end of a line.
class AccessRing {
 public:
  explicit AccessRing(std::size_t bytes);  // a power of two

  // Producer. False when there is no room: the line is dropped.
  bool push(std::string_view line);

  // Producer, after push(): true once after the consumer has armed the ring and it has filled as
  // far as the consumer said. The producer then wakes the consumer.
  bool shouldWake();

  // Consumer: what there is to read, in two parts when it wraps. release() gives up its first
  // bytes.
  std::array<std::string_view, 2> peek() const;
  void release(std::size_t bytes);

  // Consumer: shouldWake() turns true when `bytes` or more are there to read. False when they are
  // already, and then the ring is not armed.
  bool arm(std::size_t bytes);
  void disarm();

  std::size_t capacity() const { return mask_ + 1; }

 private:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  std::unique_ptr<char[]> data_;
  std::size_t mask_;
  // Positions count bytes since the beginning. Written by the producer:
  alignas(64) std::atomic<std::uint64_t> head_{0};
  std::uint64_t knownTail_ = 0;  // what the producer last saw of tail_
  // Written by the consumer (the producer takes wakeAt_ back to kNever):
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::atomic<std::uint64_t> wakeAt_{kNever};
};

// Owns the writer thread and the file. Made and ended by the control thread.
//
// Lines reach the file some 20 ms after they were pushed. Standard output and paths may be files,
// pipes, terminals or sockets. While the sink takes nothing (a full pipe, a full disk) lines wait
// in the rings, and those that find no room there are dropped by push(); the sink is tried again
// every 100 ms, or as soon as it can be written. A line is never torn by another one.
class AccessLog {
 public:
  // `rings` one an I/O thread. Starts the writer thread; nothing is opened until configure().
  explicit AccessLog(std::size_t ioThreads);
  ~AccessLog();  // stop()
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // The I/O thread's own.
  AccessRing& ring(std::size_t ioThread);

  // Control thread. Opens the sink of `config` (a file: append, created with 0640) before the old
  // one is let go; lines that are in the rings by now still go to the old one, if it takes them.
  // The error text when that fails, and then nothing has changed. Never waits for a sink.
  std::string configure(const AccessLogConfig& config);
  // Control thread, SIGUSR1: opens the same path again. Error text or empty.
  std::string reopen();
  // Control thread. Writes out what the rings hold (at most one second when the sink is stuck),
  // joins the thread. Nothing is pushed any more. Idempotent.
  void stop();

  // Any I/O thread after push(): wakes the writer when it sleeps and the ring asks for it.
  // Coalesced; normally no system call.
  void notify(std::size_t ioThread);

  // Lines lost after they were in a ring: there was no sink for them, it stayed stuck until stop(),
  // or it was changed while it held the beginning of one. Any thread.
  std::uint64_t dropped() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
