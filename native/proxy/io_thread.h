// One I/O thread: its loop, listeners, client connections, pools and exchanges. Other threads reach
// it through post() alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http1/server_connection.h"
#include "http2/server_connection.h"
#include "io/socket.h"
#include "proxy/exchange.h"
#include "proxy/published_snapshot.h"
#include "proxy/thread_services.h"
#include "tls/handshake.h"

namespace tidegate {

// Client connections of the process, against --max-connections.
struct ConnectionBudget {
  explicit ConnectionBudget(std::uint64_t limit) : limit(limit) {}
  bool take() {
    if (used.fetch_add(1, std::memory_order_relaxed) < limit) return true;
    used.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void giveBack() { used.fetch_sub(1, std::memory_order_relaxed); }

  const std::uint64_t limit;
  alignas(64) std::atomic<std::uint64_t> used{0};
};

// A listening socket that the control thread opened for this thread.
struct NewListener {
  std::string key;  // listenerKey()
  FileHandle file;
  bool shared = false;  // several threads poll the same socket (Unix)
};

class IoThread final {
 public:
  struct Settings {
    std::size_t index = 0;
    int pinCpu = -1;  // -1: not pinned
    std::size_t replayBytes = 0;
  };

  IoThread(const Settings& settings, ConnectionBudget& budget, AccessLog& log,
           CounterTable& limits);
  ~IoThread();

  // False when the thread cannot be made.
  bool start();
  // Control thread, idempotent: closes everything and joins.
  void stop();

  // Control thread. The thread adopts between two events: new listeners begin, those that the
  // snapshot does not name stop accepting and drain; connections and exchanges under way go on.
  void adopt(std::shared_ptr<const PublishedSnapshot> snapshot, std::vector<NewListener> listeners);
  void drain();
  // A policy worker's channel to this thread; replaces that of the worker's predecessor.
  void setPolicyWorker(std::size_t worker, std::shared_ptr<Channel> channel,
                       std::shared_ptr<WorkerThread> workerThread);
  // Drops kept verdicts; adds how many to `purged`.
  void purge(std::shared_ptr<const VerdictPurge> what,
             std::shared_ptr<std::atomic<std::size_t>> purged);
  // Rung by policy workers; they may do so as long as they like.
  const std::shared_ptr<Bell>& bell() const { return bell_; }
  // Waits until all that was posted has been done.
  void settle();

  ThreadStats& stats() { return stats_; }

 private:
  class Port;

  struct Message {
    enum class Kind : std::uint8_t { Adopt, Drain, PolicyWorker, Purge, Stop };
    explicit Message(Kind kind) : kind(kind) {}

    Kind kind;
    // Adopt
    std::shared_ptr<const PublishedSnapshot> snapshot;
    std::vector<NewListener> listeners;
    // PolicyWorker
    std::size_t worker = 0;
    std::shared_ptr<Channel> channel;
    std::shared_ptr<WorkerThread> workerThread;
    // Purge
    std::shared_ptr<const VerdictPurge> purge;
    std::shared_ptr<std::atomic<std::size_t>> purged;
  };

  // Outlives the thread with whoever rings it.
  class LoopBell;

  void run();
  void post(Message message);
  bool handleMessages();
  void handleAdopt(Message& message);
  std::size_t handlePurge(const VerdictPurge& what);
  template <typename Predicate>
  std::vector<std::uint32_t> chainIds(Predicate wanted) const;
  void handleDrain();
  void handleStop();
  std::unique_ptr<EndpointPool> makePool(UpstreamProtocol protocol,
                                         std::shared_ptr<EndpointState> endpoint);
  void configurePools();
  void removeUnused();
  void sweepLimits();
  void onHousekeeping();
  // Gives back some of the memory that is due, and the rest a little later.
  void onReclaim();
  // A client's connection has gone: there is room for another.
  void onConnectionGone();

  // Set once.
  const Settings settings_;
  ConnectionBudget& budget_;
  std::thread thread_;
  std::shared_ptr<Bell> bell_;

  // The I/O thread's own.
  EventLoop loop_;
  BufferPool buffers_;
  ThreadStats stats_;
  ThreadServices services_;
  Slab<http1::ServerConnection> connections_;
  http2::ServerConnection::Slabs http2_;
  Slab<Exchange> exchanges_;
  tls::Handshakes handshakes_;
  Reclaimer memory_;
  std::vector<std::unique_ptr<Port>> ports_;
  SnapshotRef snapshot_;
  TimerFor<IoThread, &IoThread::onHousekeeping> housekeeping_{*this};
  TimerFor<IoThread, &IoThread::onReclaim> reclaiming_{*this};
  bool draining_ = false;

  // Shared with the control thread, under mutex_.
  std::mutex mutex_;
  std::vector<Message> messages_;
  std::uint64_t posted_ = 0;
  std::atomic<std::uint64_t> handled_{0};
};

}  // namespace tidegate
