// Counters in memory that both languages read: one block a thread, written by that thread alone,
// read by anyone without cost to the data path. Values only grow, except gauges (marked).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/reason.h"

namespace tidegate {

// X(member, "name that metrics and TypeScript use", is gauge, "what it counts")
#define TIDEGATE_COUNTERS(X)                                                                   \
  X(connectionsAccepted, "connections_accepted", false, "Client connections accepted.")        \
  X(connectionsActive, "connections_active", true, "Client connections open now.")             \
  X(connectionsIdle, "connections_idle", true, "Client connections between two requests.")     \
  X(acceptPauses, "accept_pauses", false,                                                      \
    "Times accepting stopped at a limit of connections or files.")                             \
  X(acceptErrors, "accept_errors", false, "Failed accept calls.")                              \
  X(requests, "requests", false, "Exchanges begun.")                                           \
  X(exchangesActive, "exchanges_active", true, "Exchanges under way now.")                     \
  X(clientBytesRead, "client_bytes_read", false, "Bytes read from clients.")                   \
  X(clientBytesWritten, "client_bytes_written", false, "Bytes written to clients.")            \
  X(upstreamBytesRead, "upstream_bytes_read", false, "Bytes read from upstreams.")             \
  X(upstreamBytesWritten, "upstream_bytes_written", false, "Bytes written to upstreams.")      \
  X(upstreamConnects, "upstream_connects", false, "Connections opened to endpoints.")          \
  X(upstreamConnectFailures, "upstream_connect_failures", false,                               \
    "Connections to endpoints that failed.")                                                   \
  X(upstreamReuses, "upstream_reuses", false, "Exchanges that took a pooled connection.")      \
  X(upstreamActive, "upstream_connections_active", true, "Upstream connections open now.")     \
  X(upstreamIdle, "upstream_connections_idle", true, "Upstream connections in the pools now.") \
  X(upstreamStreams, "upstream_streams_active", true,                                          \
    "Exchanges on HTTP/2 connections to endpoints now.")                                       \
  X(upstreamMisconduct, "upstream_protocol_errors", false,                                     \
    "HTTP/2 connections given up because the endpoint broke the rules.")                       \
  X(retries, "retries", false, "Exchanges tried again on another connection.")                 \
  X(policyRequests, "policy_requests", false, "Requests that were handed to policies.")        \
  X(policyReplays, "policy_replays", false,                                                    \
    "Requests that got a verdict which was not decided for them.")                             \
  X(policyKept, "policy_kept_verdicts", true, "Verdicts kept for replay now.")                 \
  X(policyKeptBytes, "policy_kept_bytes", true, "Memory of the verdicts kept for replay.")     \
  X(policyLateVerdicts, "policy_late_verdicts", false,                                         \
    "Verdicts on requests that had ended or been given up.")                                   \
  X(policyBadVerdicts, "policy_bad_verdicts", false,                                           \
    "Verdicts that the core could not read; it believes nothing that a worker writes.")        \
  X(policyStalls, "policy_stalls", false,                                                      \
    "Times that a policy worker computed for 0.15 ms and more without getting on.")            \
  X(policyFetches, "policy_fetches", false, "Fetches that policies have begun.")               \
  X(tunnels, "tunnels", false, "Exchanges that became tunnels (Upgrade).")                     \
  X(http2Connections, "http2_connections", false, "Client connections that spoke HTTP/2.")     \
  X(http2StreamsActive, "http2_streams_active", true, "HTTP/2 streams of clients open now.")   \
  X(http2ResetsReceived, "http2_resets_received", false, "HTTP/2 streams that clients reset.") \
  X(http2ResetsSent, "http2_resets_sent", false,                                               \
    "HTTP/2 streams of clients that the gateway reset.")                                       \
  X(accessLogLines, "access_log_lines", false, "Access log lines handed to the writer.")       \
  X(accessLogDropped, "access_log_dropped", false,                                             \
    "Access log lines dropped because the writer fell behind.")                                \
  X(heapAllocations, "heap_allocations", false, "Heap allocations of this thread.")            \
  X(loopTurns, "loop_turns", false, "Turns of the event loop.")                                \
  X(snapshotVersion, "snapshot_version", true,                                                 \
    "Version of the snapshot that this thread has adopted.")                                   \
  X(tlsHandshakes, "tls_handshakes", false, "TLS handshakes of clients that were completed.")  \
  X(tlsResumptions, "tls_resumptions", false, "Those that resumed a session.")                 \
  X(tlsHandshakesActive, "tls_handshakes_active", true, "TLS handshakes under way now.")       \
  X(tlsConnections, "tls_connections_active", true, "TLS connections of clients open now.")    \
  X(tlsEarlyRequests, "tls_early_requests", false,                                             \
    "Requests that were served before their client's TLS handshake was complete.")             \
  X(tlsFailedTimeout, "tls_failed_timeout", false, "Not complete in time.")                    \
  X(tlsFailedClosed, "tls_failed_closed", false, "The client went away.")                      \
  X(tlsFailedPlainHttp, "tls_failed_plain_http", false, "A request without TLS.")              \
  X(tlsFailedServerName, "tls_failed_server_name", false,                                      \
    "No certificate for the name, with `strictSni`.")                                          \
  X(tlsFailedVersion, "tls_failed_version", false, "No version of TLS in common.")             \
  X(tlsFailedCipher, "tls_failed_cipher", false, "No cipher, group or signature in common.")   \
  X(tlsFailedProtocol, "tls_failed_protocol", false, "No protocol (ALPN) in common.")          \
  X(tlsFailedCertificate, "tls_failed_certificate", false,                                     \
    "The client's certificate is missing or not accepted.")                                    \
  X(tlsFailedAlert, "tls_failed_alert", false, "The client refused, by an alert.")             \
  X(tlsFailedMalformed, "tls_failed_malformed", false, "What came is not TLS, or broken.")     \
  X(tlsFailedDisplaced, "tls_failed_displaced", false,                                         \
    "Given up for others at the limit of handshakes.")

inline constexpr std::size_t kCounterCount = 0
#define X(member, name, gauge, text) +1
    TIDEGATE_COUNTERS(X)
#undef X
    ;

// A counter with a single writer: plain load and store, no locked instruction.
class Counter {
 public:
  void add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};
static_assert(sizeof(Counter) == 8);

// One thread's process-wide counters. TypeScript sees it as an array of 64-bit numbers in this
// order: the counters above, then one an outcome (Reason) of the exchanges.
struct alignas(64) ThreadCounters {
#define X(member, name, gauge, text) Counter member;
  TIDEGATE_COUNTERS(X)
#undef X
  std::array<Counter, kReasonCount> reasons;
};

// Upper bounds of the duration histogram, in microseconds; one more bucket holds what is longer.
inline constexpr std::array<std::uint32_t, 14> kDurationBounds = {
    250,    500,     1'000,   2'500,   5'000,     10'000,    25'000,
    50'000, 100'000, 250'000, 500'000, 1'000'000, 5'000'000, 30'000'000};

// One thread's numbers of one named thing (a route, an upstream, an endpoint or an address list, by
// its metricSlot): 32 numbers. In the order of use: an exchange that is quick and goes well writes
// to one cache line, a slower one to two. Exchanges that have ended are counted by their durations.
struct alignas(64) SlotCounters {
  Counter active;          // gauge: exchanges under way
  Counter status2xx;       // as the client got them (endpoints: as they answered)
  Counter durationMicros;  // sum
  Counter bytesOut;        // body bytes to the client
  std::array<Counter, kDurationBounds.size() + 1> durations;
  Counter bytesIn;  // body bytes from the client (endpoints: to the endpoint)
  Counter status1xx;
  Counter status3xx;
  Counter status4xx;
  Counter status5xx;
  Counter failures;  // exchanges ended by a gateway error (endpoints: connect failures and broken
                     // exchanges)
  Counter retries;
  Counter connects;  // endpoints only
  Counter asked;     // address lists only: requests that were held against it
  Counter refused;   // address lists only: those that it does not let in, in shadow mode too
  std::array<Counter, 3> reserved;
};
static_assert(sizeof(SlotCounters) == 256);

// What an exchange that has ended adds to the numbers of its route, its upstream and its endpoint.
class ExchangeSample {
 public:
  // `status`: 0 where none was sent. `micros`: from the request's head to the end.
  ExchangeSample(std::uint16_t status, bool failed, std::uint64_t bytesIn, std::uint64_t bytesOut,
                 std::uint64_t micros)
      : bytesIn_(bytesIn), bytesOut_(bytesOut), micros_(micros), failed_(failed) {
    constexpr std::array kClasses = {&SlotCounters::status1xx, &SlotCounters::status2xx,
                                     &SlotCounters::status3xx, &SlotCounters::status4xx,
                                     &SlotCounters::status5xx};
    if (status >= 100 && status < 600) statusClass_ = kClasses[status / 100 - 1];
    while (bucket_ < kDurationBounds.size() && micros > kDurationBounds[bucket_]) ++bucket_;
  }

  void addTo(SlotCounters& slot) const {
    if (statusClass_ != nullptr) (slot.*statusClass_).add();
    if (failed_) slot.failures.add();
    if (bytesIn_ != 0) slot.bytesIn.add(bytesIn_);
    slot.bytesOut.add(bytesOut_);
    slot.durationMicros.add(micros_);
    slot.durations[bucket_].add();
  }

 private:
  std::uint64_t bytesIn_;
  std::uint64_t bytesOut_;
  std::uint64_t micros_;
  std::size_t bucket_ = 0;
  Counter SlotCounters::* statusClass_ = nullptr;
  bool failed_;
};

inline constexpr std::size_t kSlotsPerChunk = 64;
inline constexpr std::size_t kMaxSlots = 64 * 1024;

// The counters of one I/O thread. Slots are added by the control thread (ensureSlots) before a
// snapshot that uses them is published, and stay for the life of the process. Readers map them
// chunk by chunk.
class ThreadStats {
 public:
  ThreadCounters counters;

  // Any slot below the count that ensureSlots() was last given.
  SlotCounters& slot(std::uint32_t index) { return slots_.get()[index]; }

  using Chunk = std::array<SlotCounters, kSlotsPerChunk>;

  // Control thread. False when count > kMaxSlots.
  bool ensureSlots(std::size_t count);
  std::size_t chunkCount() const { return chunkCount_; }
  SlotCounters* chunk(std::size_t i) { return slots_.get() + i * kSlotsPerChunk; }

 private:
  struct Free {
    void operator()(SlotCounters* slots) const;
  };
  // Address space for all slots, so that none ever moves; the system gives memory to what is used.
  static std::unique_ptr<SlotCounters, Free> reserve();

  std::size_t chunkCount_ = 0;  // control thread only
  std::unique_ptr<SlotCounters, Free> slots_ = reserve();
};

std::string_view counterName(std::size_t index);
bool counterIsGauge(std::size_t index);

}  // namespace tidegate
