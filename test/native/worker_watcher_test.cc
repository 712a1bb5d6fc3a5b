// The priority of a policy worker that computes for long.
#include "policy/worker_watcher.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "check.h"

namespace tidegate {
namespace {

using Seen = WorkerWatch::Seen;

constexpr std::uint64_t kPatience = WorkerWatch::kPatience;
constexpr std::uint64_t kLongest = WorkerWatch::kLongest;

// A thread that computes or waits, as it is told, with a request in its hands.
class Worker {
 public:
  Worker() {
    ready_.wait(false);
    own_ = threadPriority(id_);
  }
  ~Worker() {
    end_ = true;
    compute(true);
    thread_.join();
  }

  // As its own thread would say.
  void getOn() { state->getOn(); }
  void compute(bool whether) {
    computes_ = whether;
    computes_.notify_all();
  }
  // Until it has computed so much more.
  void computeFor(std::uint64_t micros) {
    const std::uint64_t until = state->cpuMicros() + micros;
    compute(true);
    while (state->cpuMicros() < until) std::this_thread::yield();
    compute(false);
  }
  // Until its thread sleeps, as the kernel says.
  void rest() const {
    const std::string file = "/proc/self/task/" + std::to_string(id_) + "/stat";
    for (std::string stat; stat.find(") S ") == std::string::npos;) {
      std::this_thread::yield();
      std::getline(std::ifstream(file), stat);
    }
  }
  bool isBehind() const { return threadPriority(id_) != own_; }
  int schedulingClass() const { return sched_getscheduler(id_); }
  bool isItself() const { return own_ && threadPriority(id_) == own_; }

  std::shared_ptr<WorkerThread> state;

 private:
  void run() {
    id_ = currentThreadId();
    state = WorkerThread::ofCaller();
    state->load = 1;
    ready_ = true;
    ready_.notify_all();
    while (!end_) {
      computes_.wait(false);
      while (computes_ && !end_) {
      }
    }
  }

  std::atomic<bool> ready_{false};
  std::atomic<bool> computes_{false};
  std::atomic<bool> end_{false};
  int id_ = 0;
  std::optional<ThreadPriority> own_;
  std::thread thread_{[this] { run(); }};
};

// An old kernel, and no right to lower a niceness again: nobody is put behind.
bool canPutBehind() {
  const auto own = threadPriority(currentThreadId());
  return own && (own->slice != 0 || mayLowerNiceness());
}

template <typename Condition>
bool becomes(Condition&& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST("a worker that becomes ready lets an I/O thread of its processor finish") {
  Worker worker;
  CHECK_EQ(worker.schedulingClass(), SCHED_BATCH);
  if (canPutBehind()) {
    CHECK(worker.state->standBehind());
    CHECK_EQ(worker.schedulingClass(), SCHED_BATCH);
    worker.state->comeForward();
  }
  CHECK_EQ(worker.schedulingClass(), SCHED_BATCH);
}

TEST("a worker that computes and does not get on stands behind until it does") {
  if (!canPutBehind()) return;
  Worker worker;
  WorkerWatch watch(worker.state);
  CHECK(watch.look(0) == Seen::Busy);
  worker.computeFor(kPatience);
  CHECK(watch.look(kPatience - 1) == Seen::Busy);
  CHECK(worker.isItself());
  CHECK_EQ(worker.state->takeStalls(), 0);
  CHECK(watch.look(kPatience) == Seen::Stalled);
  CHECK(worker.isBehind());
  CHECK_EQ(worker.state->takeStalls(), 1);
  CHECK_EQ(worker.state->takeStalls(), 0);
  worker.getOn();
  CHECK(worker.isItself());
}

TEST("a worker that waits for something keeps its priority") {
  Worker worker;
  WorkerWatch watch(worker.state);
  worker.computeFor(2 * kPatience);  // before it was looked at
  std::uint64_t now = 0;
  for (; now < 20 * kPatience; now += kPatience) CHECK(watch.look(now) != Seen::Stalled);
  CHECK(watch.look(now) == Seen::Busy);
  now += kPatience;
  CHECK(worker.isItself());
  // What it computes once it waits no more counts from the last look on.
  if (!canPutBehind()) return;
  worker.computeFor(kPatience);
  CHECK(watch.look(now) == Seen::Stalled);
  CHECK(worker.isBehind());
}

TEST("a worker that gets on keeps its priority, however much it computes") {
  Worker worker;
  WorkerWatch watch(worker.state);
  for (std::uint64_t i = 0; i < 10; ++i) {
    CHECK(watch.look(i * kPatience) == Seen::Busy);
    worker.computeFor(kPatience);
    worker.getOn();
  }
  CHECK(worker.isItself());
  CHECK_EQ(worker.state->takeStalls(), 0);
}

TEST("a worker with nothing in its hands that rests is idle") {
  Worker worker;
  worker.state->load = 0;
  worker.rest();
  WorkerWatch watch(worker.state);
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(watch.look(i * kPatience) == Seen::Idle);
  CHECK(worker.isItself());
}

TEST("a worker that computes with nothing in its hands stands behind until it rests") {
  if (!canPutBehind()) return;
  Worker worker;
  worker.state->load = 0;
  WorkerWatch watch(worker.state);
  CHECK(watch.look(0) == Seen::Idle);
  worker.computeFor(kPatience);
  std::uint64_t now = kPatience;
  CHECK(watch.look(now) == Seen::Stalled);
  CHECK(worker.isBehind());
  // No policy's doing.
  CHECK_EQ(worker.state->takeStalls(), 0);
  worker.computeFor(kPatience);
  worker.rest();
  now += WorkerWatch::kAtRest;
  CHECK(watch.look(now) == Seen::Long);
  // What it is given now finds it behind until it takes it, or has rested.
  worker.state->load = 1;
  now += WorkerWatch::kAtRest;
  CHECK(watch.look(now) == Seen::Long);
  worker.state->load = 0;
  CHECK(watch.look(now) == Seen::Idle);
  CHECK(worker.isItself());
}

TEST("a worker that computes on and on has its share again after a while") {
  if (!canPutBehind()) return;
  Worker worker;
  WorkerWatch watch(worker.state);
  watch.look(0);
  worker.computeFor(kPatience);
  CHECK(watch.look(kPatience) == Seen::Stalled);
  CHECK(watch.look(kPatience + WorkerWatch::kLong - 1) == Seen::Behind);
  CHECK(watch.look(kPatience + WorkerWatch::kLong) == Seen::Long);
  CHECK(watch.look(kPatience + kLongest - 1) == Seen::Long);
  CHECK(worker.isBehind());
  CHECK(watch.look(kPatience + kLongest) == Seen::Busy);
  CHECK(worker.isItself());
  worker.computeFor(2 * kPatience);
  CHECK(watch.look(2 * kLongest) == Seen::Busy);
  CHECK(worker.isItself());
  // What it does next begins anew.
  worker.getOn();
  watch.look(3 * kLongest);
  worker.computeFor(kPatience);
  CHECK(watch.look(3 * kLongest + kPatience) == Seen::Stalled);
  CHECK(worker.isBehind());
}

TEST("the watcher sleeps while no worker has anything in its hands, and is woken when one has") {
  if (!canPutBehind()) return;
  const auto watcher = std::make_shared<WorkerWatcher>();
  watcher->start();
  Worker worker;
  watcher->add(worker.state);
  for (int i = 0; i < 3; ++i) {
    worker.state->load = 0;
    CHECK(becomes([&] { return watcher->sleeps(); }));
    worker.state->load = 1;
    worker.getOn();
    watcher->onTaken();
    worker.compute(true);
    CHECK(becomes([&] { return worker.isBehind(); }));
    worker.compute(false);
    // It may just be put behind a second time.
    CHECK(becomes([&] {
      worker.getOn();
      return worker.isItself();
    }));
  }
  watcher->remove(*worker.state);
}

TEST("a worker that has left is let alone, also by a watcher that has ended") {
  const auto watcher = std::make_shared<WorkerWatcher>();
  watcher->start();
  Worker worker;
  watcher->add(worker.state);
  watcher->remove(*worker.state);
  CHECK(becomes([&] { return watcher->sleeps(); }));
  CHECK(worker.isItself());
  watcher->stop();
  watcher->stop();
  watcher->onTaken();
  watcher->add(worker.state);
  watcher->remove(*worker.state);
}

TEST("a worker of no thread has a load only") {
  const auto none = std::make_shared<WorkerThread>();
  WorkerWatch watch(none);
  CHECK(watch.look(0) == Seen::Idle);
  none->load = 1;
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(watch.look(i * kPatience) != Seen::Stalled);
  CHECK(!none->standBehind());
  none->comeForward();
}

}  // namespace
}  // namespace tidegate
