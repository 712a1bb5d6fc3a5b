// The watcher of the policy workers: a thread that looks from time to time how those get on that
// have requests in their hands or had some just now (the garbage that a policy leaves is collected
// after its verdict), and sleeps when none has.
//
// The kernel chooses anew who runs when somebody wakes, and at its ticks. An I/O thread that became
// ready while a worker computes would wait for a tick or two of 4 ms; so the watcher wakes in
// between, and puts a worker that has computed all the while behind the others.
//
// To wake by a timer costs 2 to 20 us, most of it in virtual machines. So looks are close together
// only where that pays: when workers have just been given something after a rest, and for a while
// after one has computed for long. Else they become seldom.
#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "policy/worker_thread.h"

namespace tidegate {

// The watcher's eye on one worker; the watcher owns it. Times are microseconds of one clock.
class WorkerWatch {
 public:
  // For so long it may compute on the same; half of the time, as the kernel may let others run.
  static constexpr std::uint64_t kPatience = 150;
  // That it stands behind at most; then the policy has its fair share again.
  static constexpr std::uint64_t kLongest = 100'000;
  // Of which so much is no accident.
  static constexpr std::uint64_t kLong = 5'000;
  // One with nothing in its hands that has not computed for so long has finished, and does not only
  // wait for the processor.
  static constexpr std::uint64_t kAtRest = 10'000;

  explicit WorkerWatch(std::shared_ptr<WorkerThread> thread) : thread_(std::move(thread)) {}

  const WorkerThread& thread() const { return *thread_; }

  enum class Seen : std::uint8_t {
    Idle,     // nothing in its hands, and it has not got on since the last look, nor computed
    Busy,     // it gets on, or waits for something, or has its share again
    Suspect,  // it has not got on: it waits, maybe for the processor, and has not for long
    Behind,   // it stands behind, and has not got on
    Long,     // it has stood behind for so long that it is no collection of V8's garbage
    Stalled,  // it has computed most of the time since the last look, and has not got on
  };

  Seen look(std::uint64_t now);
  // It has got on since the last look.
  bool hasGotOn() const { return thread_->progress() != progress_; }

 private:
  Seen lookAtStalled(std::uint64_t now);
  bool rests(std::uint64_t now);
  void begin(std::uint64_t now);

  std::shared_ptr<WorkerThread> thread_;
  std::uint64_t progress_ = 0;  // when it was looked at last
  bool busy_ = false;           // then
  bool begun_ = false;          // it was looked at before
  // Of the time in which it was not seen to get on; once it has stalled, since then.
  std::uint64_t since_ = 0;
  // What it had computed at its beginning; once it has stalled, at the last look.
  std::uint64_t cpu_ = 0;
  std::uint64_t computedAt_ = 0;  // the last look that found it computing, once it has stalled
  int waits_ = 0;                 // looks since it got on that found it waiting
  bool stalled_ = false;
  bool behind_ = false;
};

// Outlives the thread with any worker that holds it.
class WorkerWatcher {
 public:
  WorkerWatcher() = default;
  ~WorkerWatcher() { stop(); }
  WorkerWatcher(const WorkerWatcher&) = delete;
  WorkerWatcher& operator=(const WorkerWatcher&) = delete;

  // Begins to watch; idempotent. The thread gets the caller's niceness. Where none can be made
  // nobody is watched.
  void start();
  // Ends the thread, for good. Idempotent; not at the same time as start().
  void stop();

  // Each on the worker's own thread; remove() before that ends.
  void add(const std::shared_ptr<WorkerThread>& thread);
  void remove(const WorkerThread& thread);
  // The worker has taken requests, and got on: whoever sleeps has to watch.
  void onTaken() {
    if (sleeps()) wake();
  }

  // Any thread: it waits for somebody to take requests.
  bool sleeps() const { return asleep_.load(std::memory_order_seq_cst); }

 private:
  void run();
  void wake();
  WorkerWatch::Seen lookAtAll(std::uint64_t now);
  bool trySleep();

  // The owner's.
  pthread_t thread_{};
  bool running_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<WorkerWatch> watches_;  // guarded by mutex_
  bool ending_ = false;               // guarded by mutex_
  // Written under mutex_. Set before the last look at how workers get on, and read after one has
  // got on: either the watcher sees that, or the worker sees this.
  std::atomic<bool> asleep_{false};
};

}  // namespace tidegate
