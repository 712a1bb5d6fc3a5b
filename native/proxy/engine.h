// The core's control interface: what a host (the addon, the bare host, a test) may ask of the
// running I/O threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "observe/stats.h"
#include "policy/port.h"
#include "policy/verdict_store.h"
#include "shared/counter_table.h"

namespace tidegate {

struct EngineOptions {
  std::uint32_t ioThreads = 1;             // 1..256
  std::vector<std::uint32_t> pinCpus;      // empty: not pinned; thread i runs on pinCpus[i % size]
  std::uint64_t maxConnections = 10'000;   // client connections of the process
  std::uint32_t policyWorkers = 0;         // 0..256: how many openPolicyPort() has places for
  std::size_t limitCounters = 256 * 1024;  // a power of two: the capacity of the CounterTable
  std::size_t replayBytes = 16 << 20;      // for kept verdicts of each I/O thread; 0 keeps none
};

// A listener that accepts connections. `address` has the real port: "127.0.0.1:41234" or
// "unix:/path".
struct BoundListener {
  std::string name;
  std::string bind;  // as the snapshot says it
  std::string address;
};

// `code` is one of "snapshot_invalid", "bind_failed", "access_log_failed", "thread_start_failed";
// `message` is for people.
struct EngineError {
  std::string code;
  std::string message;
};

// One endpoint of the snapshot in force, as all I/O threads see it together.
struct EndpointStatus {
  std::string upstream;
  std::string address;
  bool up = true;
  std::uint32_t active = 0;         // exchanges under way
  std::uint64_t downForMillis = 0;  // until it is tried again; 0 when up
};

// Owns the I/O threads, listeners and snapshot. Every call is the control thread's alone but for
// openPolicyPort(); the destructor joins the threads.
class Engine {
 public:
  // Starts the I/O threads, without listeners yet.
  static Result<std::unique_ptr<Engine>, EngineError> start(const EngineOptions& options);

  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Adopts a snapshot, all or nothing: decodes it, binds new listeners, opens the access log,
  // publishes. On an error the one in force stays as it was. Returns every listener of the
  // snapshot.
  Result<std::vector<BoundListener>, EngineError> apply(std::span<const std::uint8_t> snapshot);

  // Stops accepting, closes idle connections, and answers the rest with `Connection: close`.
  void drain();

  // No client connection is left.
  bool drained() const;

  // Closes everything and joins the threads. Idempotent; nothing but stats() may be called after
  // it.
  void stop();

  // The worker's own thread: the port of policy worker `worker` (below
  // EngineOptions::policyWorkers), in place of the one that its predecessor had. `bell` is rung
  // when something came after the worker went to sleep. nullptr when there is no such worker or the
  // engine has stopped.
  std::unique_ptr<PolicyPort> openPolicyPort(std::size_t worker, const std::shared_ptr<Bell>& bell);

  // Drops kept verdicts on all I/O threads, and returns how many. A policy, consumer or tag that
  // nobody knows drops none.
  std::size_t purgeVerdicts(VerdictPurge what);

  // Any thread, as long as it has the pointer: what limits have counted. Lives over reloads.
  const std::shared_ptr<CounterTable>& limits() const;

  // Opens the access log's path again. Error text or empty.
  std::string reopenLogs();

  std::size_t threadCount() const;

  // `thread` < threadCount(). Lives as long as the engine.
  ThreadStats& stats(std::size_t thread);

  // Access log lines that were lost after an I/O thread had handed them over.
  std::uint64_t accessLogDropped() const;

  std::vector<EndpointStatus> endpoints() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
