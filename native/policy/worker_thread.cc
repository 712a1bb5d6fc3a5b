#include "policy/worker_thread.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace tidegate {

namespace {

// Steps of niceness: with fewer the kernel still waits for its tick.
constexpr int kStepsBehind = 15;
constexpr int kLowest = 19;

int threadId() { return static_cast<int>(syscall(SYS_gettid)); }

// Whether a thread of ours that was put behind can be brought forward again. A thread that ends
// with the question asks it.
bool canComeForward() {
  bool can = false;
  std::thread([&] {
    const auto self = static_cast<id_t>(threadId());
    errno = 0;
    const int own = getpriority(PRIO_PROCESS, self);
    can = errno == 0 && own < kLowest && setpriority(PRIO_PROCESS, self, own + 1) == 0 &&
          setpriority(PRIO_PROCESS, self, own) == 0;
  }).join();
  return can;
}

}  // namespace

std::shared_ptr<WorkerThread> WorkerThread::ofCaller() {
  static const bool kCan = canComeForward();
  auto thread = std::make_shared<WorkerThread>();
  const int self = threadId();
  errno = 0;
  const int niceness = getpriority(PRIO_PROCESS, static_cast<id_t>(self));
  if (!kCan || errno != 0 || pthread_getcpuclockid(pthread_self(), &thread->clock_) != 0)
    return thread;
  thread->threadId_ = self;
  thread->niceness_ = niceness;
  return thread;
}

bool WorkerThread::standBehind() {
  if (behind_.exchange(true, std::memory_order_acq_rel)) return false;
  if (setNiceness(std::min(kLowest, niceness_ + kStepsBehind))) return true;
  behind_.store(false, std::memory_order_release);
  return false;
}

void WorkerThread::comeForward() {
  if (behind_.exchange(false, std::memory_order_acq_rel)) setNiceness(niceness_);
}

// The number may be that of another process's thread by now: only one of ours is touched.
bool WorkerThread::setNiceness(int niceness) const {
  return syscall(SYS_tgkill, getpid(), threadId_, 0) == 0 &&
         setpriority(PRIO_PROCESS, static_cast<id_t>(threadId_), niceness) == 0;
}

std::uint64_t WorkerThread::cpuMicros() const {
  timespec time{};
  if (threadId_ == 0 || clock_gettime(clock_, &time) != 0) return 0;
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec) / 1'000;
}

void WorkerWatch::onHeard(WorkerThread& thread, std::uint64_t now) {
  heard_ = now;
  tooLong_ = false;
  if (!thread.mayStandBehind()) return;
  if (thread.standsBehind()) thread.comeForward();
  behindSince_ = 0;
  unread_ = now - readAt_;
  if (unread_ < kBetweenReadings) return;
  cpu_ = thread.cpuMicros();
  readAt_ = now;
  unread_ = 0;
}

bool WorkerWatch::look(WorkerThread& thread, std::uint64_t now) {
  if (now - heard_ < kPatience || now - looked_ < kBetweenReadings || tooLong_) return false;
  if (!thread.mayStandBehind()) return false;
  looked_ = now;
  if (behindSince_ != 0) {
    if (now - behindSince_ < kLongest) return false;
    thread.comeForward();
    behindSince_ = 0;
    tooLong_ = true;
    return false;
  }
  // One that waits for something computes nothing. What it computed before it was last heard of
  // does not count, nor what it may have between the reading and then.
  if (thread.cpuMicros() < cpu_ + unread_ + kPatience || !thread.standBehind()) return false;
  behindSince_ = now;
  return true;
}

}  // namespace tidegate
