// The thread of a policy worker as the I/O threads see it: how much it has in its hands, and when
// it has to stand behind them.
//
// A policy that computes for long would keep a processor that its worker shares with an I/O thread
// up to the end of each tick of the kernel. So an I/O thread that has waited for a worker for
// kPatience, all of which the worker has computed, gives it a lower priority, and its own back when
// it hears of it, or after kLongest: then the policy has its fair share again.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace tidegate {

// Shared by the worker and the I/O threads.
class WorkerThread {
 public:
  // Of no thread: it has a load, and never stands behind anybody.
  WorkerThread() = default;
  // Of the thread that calls. It must be able to get its priority back: without that right
  // (CAP_SYS_NICE, or RLIMIT_NICE), as above.
  static std::shared_ptr<WorkerThread> ofCaller();

  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  // Requests in its hands, all I/O threads together: what the choice of a worker goes by.
  std::atomic<std::uint32_t> load{0};

  // Any thread from here on.
  bool mayStandBehind() const { return threadId_ != 0; }
  bool standsBehind() const { return behind_.load(std::memory_order_relaxed); }
  // False when it does already, or the kernel refuses.
  bool standBehind();
  void comeForward();
  // What it has computed in its life; 0 when it has ended.
  std::uint64_t cpuMicros() const;

 private:
  bool setNiceness(int niceness) const;

  int threadId_ = 0;  // of the kernel
  clockid_t clock_ = 0;
  int niceness_ = 0;  // its own
  std::atomic<bool> behind_{false};
};

// One I/O thread's eye on one worker; that thread owns it. Times are EventLoop::nowMicros().
class WorkerWatch {
 public:
  // In microseconds.
  static constexpr std::uint64_t kPatience = 2'000;
  static constexpr std::uint64_t kLongest = 200'000;

  // The worker has something in its hands now, and had nothing of this thread's.
  void onSent(std::uint64_t now) { heard_ = now; }
  void onHeard(WorkerThread& thread, std::uint64_t now);
  // From time to time while something is in its hands. True when the worker was put behind.
  bool look(WorkerThread& thread, std::uint64_t now);

 private:
  // A reading of the worker's clock is a system call.
  static constexpr std::uint64_t kBetweenReadings = 1'000;

  std::uint64_t heard_ = 0;
  std::uint64_t readAt_ = 0;  // the worker's clock, when something was heard
  std::uint64_t cpu_ = 0;     // what it said
  std::uint64_t unread_ = 0;  // from then on to heard_
  std::uint64_t looked_ = 0;
  std::uint64_t behindSince_ = 0;  // 0: it is not, by our doing
  bool tooLong_ = false;           // it has stood behind for long enough
};

}  // namespace tidegate
