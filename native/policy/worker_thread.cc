#include "policy/worker_thread.h"

#include <pthread.h>

#include <algorithm>

namespace tidegate {

namespace {

// Steps of niceness: a fifteenth of its share. With 5, a third, an I/O thread that needs three
// quarters of the processor waits for it every 4 ms, as its fair share runs out. Where other
// programs want the processor too it gets next to nothing, which is why the watcher ends it after
// 100 ms.
constexpr int kStepsBehind = 12;
constexpr int kHighestNiceness = 19;
// The longest that there is: whoever else wants to run has a shorter one.
constexpr std::uint64_t kSliceBehind = 100'000'000;

}  // namespace

std::shared_ptr<WorkerThread> WorkerThread::ofCaller() {
  static const bool kMayLowerNiceness = mayLowerNiceness();
  auto thread = std::make_shared<WorkerThread>();
  // An I/O thread on the same processor gives requests to the worker as they come: were it stopped
  // for the first of them, each would cost a change of threads.
  letOthersFinish();
  const int self = currentThreadId();
  const auto own = threadPriority(self);
  if (!own || pthread_getcpuclockid(pthread_self(), &thread->clock_) != 0) return thread;
  thread->threadId_ = self;
  thread->own_ = thread->behindOthers_ = *own;
  if (kMayLowerNiceness)
    thread->behindOthers_.niceness = std::min(kHighestNiceness, own->niceness + kStepsBehind);
  else if (own->slice != 0)
    thread->behindOthers_.slice = kSliceBehind;
  return thread;
}

// Marked afterwards: a worker that gets on meanwhile comes forward when it gets on again, and does
// not do so before it was put behind.
bool WorkerThread::standBehind() {
  if (behindOthers_ == own_ || !setThreadPriority(threadId_, behindOthers_)) return false;
  behind_.store(true, std::memory_order_release);
  return true;
}

void WorkerThread::comeForward() {
  if (behind_.exchange(false, std::memory_order_acq_rel)) setThreadPriority(threadId_, own_);
}

std::uint64_t WorkerThread::cpuMicros() const {
  timespec time{};
  if (threadId_ == 0 || clock_gettime(clock_, &time) != 0) return 0;
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec) / 1'000;
}

}  // namespace tidegate
