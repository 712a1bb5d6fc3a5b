// The thread of a policy worker as others see it: how much it has in its hands, whether it gets on,
// and how readily the kernel lets it run.
//
// A policy that computes for long would keep a processor that its worker shares with an I/O thread
// up to the end of each tick of the kernel. The WorkerWatcher puts such a worker behind all others;
// it comes forward by itself when it gets on.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/thread_priority.h"

namespace tidegate {

// Shared by the worker, the watcher and the I/O threads.
class WorkerThread {
 public:
  // Of no thread: it has a load, and never stands behind anybody.
  WorkerThread() = default;
  // Of the thread that calls, which lets I/O threads finish from now on.
  static std::shared_ptr<WorkerThread> ofCaller();

  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  // Requests in its hands, all I/O threads together: what the choice of a worker goes by.
  std::atomic<std::uint32_t> load{0};

  // Any thread: how often it was found computing for long, since the last time that anybody asked.
  std::uint32_t takeStalls() {
    if (stalls_.load(std::memory_order_relaxed) == 0) return 0;
    return stalls_.exchange(0, std::memory_order_relaxed);
  }

  // The worker itself: it has taken requests, given verdicts, or has nothing to do.
  void getOn() {
    progress_.store(progress_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (behind_.load(std::memory_order_relaxed)) comeForward();
  }
  // Any thread: another number whenever it has got on.
  std::uint64_t progress() const { return progress_.load(std::memory_order_seq_cst); }

  // The watcher, while the worker's thread lives.
  void countStall() { stalls_.fetch_add(1, std::memory_order_relaxed); }
  // False when it cannot: it is of no thread, or could not come forward again.
  bool standBehind();
  // What it has computed in its life.
  std::uint64_t cpuMicros() const;

  // The watcher or the worker itself.
  void comeForward();

 private:
  // Set once.
  int threadId_ = 0;  // of the kernel
  clockid_t clock_ = 0;
  ThreadPriority own_;
  ThreadPriority behindOthers_;  // the same when it can have no other

  std::atomic<std::uint32_t> stalls_{0};
  // The worker's; others read them.
  alignas(64) std::atomic<std::uint64_t> progress_{0};
  std::atomic<bool> behind_{false};
};

}  // namespace tidegate
