// The priority of a policy worker that computes for long.
#include "policy/worker_thread.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "check.h"

namespace tidegate {
namespace {

std::uint64_t now() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

// A thread that computes or waits, as it is told.
class Worker {
 public:
  Worker() {
    ready_.wait(false);
    own_ = niceness();
  }
  ~Worker() {
    end_ = true;
    compute(true);
    thread_.join();
  }

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
  int niceness() const { return getpriority(PRIO_PROCESS, static_cast<id_t>(id_)); }
  bool isBehind() const { return niceness() > own_; }
  bool isItself() const { return niceness() == own_; }

  std::shared_ptr<WorkerThread> state;

 private:
  void run() {
    id_ = static_cast<int>(syscall(SYS_gettid));
    state = WorkerThread::ofCaller();
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
  int own_ = 0;
  std::thread thread_{[this] { run(); }};
};

constexpr std::uint64_t kPatience = WorkerWatch::kPatience;

TEST("a worker that computes without an answer stands behind until it is heard of") {
  Worker worker;
  if (!worker.state->mayStandBehind()) return;  // without the right to come forward again
  WorkerWatch watch;
  const std::uint64_t start = now();
  watch.onHeard(*worker.state, start);
  watch.onSent(start);
  CHECK(!watch.look(*worker.state, start + kPatience - 1));
  worker.computeFor(kPatience + 2'000);
  CHECK(watch.look(*worker.state, start + kPatience));
  CHECK(worker.isBehind());
  CHECK(!watch.look(*worker.state, start + 2 * kPatience));
  watch.onHeard(*worker.state, start + 3 * kPatience);
  CHECK(worker.isItself());
}

TEST("a worker that waits for something keeps its priority") {
  Worker worker;
  if (!worker.state->mayStandBehind()) return;
  WorkerWatch watch;
  const std::uint64_t start = now();
  worker.computeFor(2 * kPatience);  // before anything was asked of it
  watch.onHeard(*worker.state, start);
  watch.onSent(start);
  for (std::uint64_t i = 1; i < 20; ++i) CHECK(!watch.look(*worker.state, start + i * kPatience));
  CHECK(worker.isItself());
}

TEST("a worker that computes on and on has its share again after a while") {
  Worker worker;
  if (!worker.state->mayStandBehind()) return;
  WorkerWatch watch;
  const std::uint64_t start = now();
  watch.onHeard(*worker.state, start);
  watch.onSent(start);
  worker.computeFor(kPatience + 2'000);
  CHECK(watch.look(*worker.state, start + kPatience));
  CHECK(!watch.look(*worker.state, start + kPatience + WorkerWatch::kLongest));
  CHECK(worker.isItself());
  worker.computeFor(2 * kPatience);
  CHECK(!watch.look(*worker.state, start + 2 * WorkerWatch::kLongest));
  // What is asked next begins anew.
  watch.onHeard(*worker.state, start + 3 * WorkerWatch::kLongest);
  worker.computeFor(2 * kPatience);
  CHECK(watch.look(*worker.state, start + 3 * WorkerWatch::kLongest + kPatience));
  CHECK(worker.isBehind());
}

TEST(
    "whoever hears of a worker first brings it forward, and a worker that has ended is left "
    "alone") {
  WorkerWatch one;
  WorkerWatch other;
  std::shared_ptr<WorkerThread> state;
  {
    Worker worker;
    state = worker.state;
    if (!state->mayStandBehind()) return;
    const std::uint64_t start = now();
    for (WorkerWatch* each : {&one, &other}) {
      each->onHeard(*state, start);
      each->onSent(start);
    }
    worker.computeFor(kPatience + 2'000);
    CHECK(one.look(*state, start + kPatience));
    CHECK(!other.look(*state, start + kPatience));
    other.onHeard(*state, start + 2 * kPatience);
    CHECK(worker.isItself());
    worker.computeFor(2 * kPatience);
  }
  // Whoever joins a thread may be told a little before the kernel has let go of it.
  for (const std::uint64_t start = now(); state->cpuMicros() != 0 && now() - start < 10'000'000;)
    std::this_thread::yield();
  CHECK_EQ(state->cpuMicros(), 0);
  CHECK(!other.look(*state, now() + 10 * kPatience));
  CHECK(!state->standBehind());
  state->comeForward();
}

TEST("a worker of no thread has a load only") {
  WorkerThread none;
  WorkerWatch watch;
  watch.onHeard(none, 1);
  watch.onSent(1);
  CHECK(!watch.look(none, 1'000'000));
  CHECK(!none.mayStandBehind());
}

}  // namespace
}  // namespace tidegate
