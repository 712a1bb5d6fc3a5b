// Order of this file: the eye on one worker, the thread, those who come and go.
#include "policy/worker_watcher.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace tidegate {

namespace {

// Between two looks, in microseconds: after a rest, at a suspicion, while a worker stands behind
// (for so long an I/O thread that has had its share waits for it), and at most, when a worker has
// computed for long within kMemory and when none has: V8's collections of garbage, which a busy
// worker has many of, are no reason to look more often.
constexpr std::uint64_t kFirst = 200;
constexpr std::uint64_t kSuspicious = 500;
constexpr std::uint64_t kBehind = 200;
constexpr std::uint64_t kWatchful = 1'000;
constexpr std::uint64_t kCalm = 8'000;
// After a worker was put behind: an I/O thread that had more than its share before must wait until
// the worker has caught up, which takes one behind no time.
constexpr std::uint64_t kRechoice = 100;
constexpr std::uint64_t kMemory = 2'000'000;
// Nobody had anything for so long: it sleeps. Between two batches of a busy worker is no rest.
constexpr std::uint64_t kRest = 2 * kCalm;
// After a rest: what comes after it may be the one policy that computes.
constexpr std::uint64_t kFresh = 10'000;

// Who has computed less than this part of the time, at so many looks, waits for something; at fewer
// it may have waited for the processor.
constexpr std::uint64_t kSomeOfIt = 16;
constexpr int kWaits = 4;

// The calling thread, which never runs for long, is to run as soon as it wakes. Without the right
// to be a real-time thread (CAP_SYS_NICE, or RLIMIT_RTPRIO) it takes the shortest slice that there
// is: then it goes before a worker that runs, but the kernel lets that run on where a third thread
// would come first.
void goFirst() {
  constexpr std::uint64_t kShortest = 100'000;
  const sched_param lowest{.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_FIFO, &lowest) == 0) return;
  const int self = currentThreadId();
  if (const auto own = threadPriority(self); own && own->slice != 0)
    setThreadPriority(self, {own->niceness, kShortest});
}

}  // namespace

// The eye on one worker

WorkerWatch::Seen WorkerWatch::look(std::uint64_t now) {
  const std::uint64_t progress = thread_->progress();
  const bool gotOn = progress != progress_;
  const bool wasBusy = busy_;
  progress_ = progress;
  busy_ = thread_->load.load(std::memory_order_relaxed) > 0;
  if (!begun_ || gotOn || (busy_ && !wasBusy && !stalled_)) {
    begun_ = true;
    stalled_ = behind_ = false;
    waits_ = 0;
    begin(now);
    return gotOn || busy_ ? Seen::Busy : Seen::Idle;
  }
  if (stalled_) return lookAtStalled(now);
  const std::uint64_t passed = now - since_;
  if (passed < kPatience) return busy_ ? Seen::Busy : Seen::Idle;
  const std::uint64_t computed = thread_->cpuMicros() - cpu_;
  if (2 * computed < passed) {
    begin(now);
    if (!busy_) return Seen::Idle;
    if (kSomeOfIt * computed >= passed) return Seen::Suspect;
    waits_ = std::min(waits_ + 1, kWaits);
    return waits_ < kWaits ? Seen::Suspect : Seen::Busy;
  }
  stalled_ = true;
  begin(now);
  computedAt_ = now;
  behind_ = thread_->standBehind();
  if (busy_) thread_->countStall();
  return Seen::Stalled;
}

WorkerWatch::Seen WorkerWatch::lookAtStalled(std::uint64_t now) {
  if (!busy_ && rests(now)) {
    stalled_ = false;
    if (std::exchange(behind_, false)) thread_->comeForward();
    begin(now);
    return Seen::Idle;
  }
  if (!behind_) return Seen::Busy;
  if (now - since_ < kLong) return Seen::Behind;
  if (now - since_ < kLongest) return Seen::Long;
  behind_ = false;
  thread_->comeForward();
  return Seen::Busy;
}

bool WorkerWatch::rests(std::uint64_t now) {
  if (const std::uint64_t computed = thread_->cpuMicros(); computed != cpu_) {
    cpu_ = computed;
    computedAt_ = now;
  }
  return now - computedAt_ >= kAtRest;
}

void WorkerWatch::begin(std::uint64_t now) {
  since_ = now;
  cpu_ = thread_->cpuMicros();
}

// The thread

void WorkerWatcher::start() {
  if (running_) return;
  // No handler of signals runs there.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  running_ = pthread_create(
                 &thread_, nullptr,
                 [](void* self) -> void* {
                   static_cast<WorkerWatcher*>(self)->run();
                   return nullptr;
                 },
                 this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (running_) pthread_setname_np(thread_, "tidegate-watch");
}

void WorkerWatcher::stop() {
  if (!running_) return;
  running_ = false;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  pthread_join(thread_, nullptr);
}

void WorkerWatcher::run() {
  goFirst();
  std::uint64_t period = kFirst;
  std::uint64_t watchfulUntil = 0;
  std::uint64_t idleSince = monotonicMicros();
  std::unique_lock lock(mutex_);
  while (!ending_) {
    const std::uint64_t now = monotonicMicros();
    const WorkerWatch::Seen seen = lookAtAll(now);
    if (seen != WorkerWatch::Seen::Idle) idleSince = now;
    if (now - idleSince >= kRest) {
      if (trySleep()) changed_.wait(lock, [this] { return ending_ || !asleep_; });
      idleSince = monotonicMicros();
      period = kFirst;
      watchfulUntil = std::max(watchfulUntil, idleSince + kFresh);
      continue;
    }
    if (seen == WorkerWatch::Seen::Long) watchfulUntil = now + kMemory;
    const bool behind = seen == WorkerWatch::Seen::Behind || seen == WorkerWatch::Seen::Long;
    if (behind) period = kBehind;
    if (seen == WorkerWatch::Seen::Suspect && now < watchfulUntil) period = kSuspicious;
    if (seen == WorkerWatch::Seen::Stalled) period = kRechoice;
    changed_.wait_for(lock, std::chrono::microseconds(period), [this] { return ending_; });
    period = std::min(2 * period, now < watchfulUntil ? kWatchful : kCalm);
  }
}

WorkerWatch::Seen WorkerWatcher::lookAtAll(std::uint64_t now) {
  auto most = WorkerWatch::Seen::Idle;
  for (WorkerWatch& watch : watches_) most = std::max(most, watch.look(now));
  return most;
}

bool WorkerWatcher::trySleep() {
  asleep_.store(true, std::memory_order_seq_cst);
  if (std::ranges::none_of(watches_, &WorkerWatch::hasGotOn)) return true;
  asleep_.store(false, std::memory_order_relaxed);
  return false;
}

// Those who come and go

void WorkerWatcher::add(const std::shared_ptr<WorkerThread>& thread) {
  const std::lock_guard lock(mutex_);
  watches_.emplace_back(thread);
}

void WorkerWatcher::remove(const WorkerThread& thread) {
  const std::lock_guard lock(mutex_);
  std::erase_if(watches_, [&](const WorkerWatch& watch) { return &watch.thread() == &thread; });
}

void WorkerWatcher::wake() {
  {
    const std::lock_guard lock(mutex_);
    asleep_.store(false, std::memory_order_relaxed);
  }
  changed_.notify_one();
}

}  // namespace tidegate
