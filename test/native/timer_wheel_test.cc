// The timing wheel against a plain model: a sorted list of times.
#include "io/timer_wheel.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "check.h"
#include "io/event_loop.h"

namespace tidegate {
namespace {

struct Recorder final : Timer {
  explicit Recorder(std::vector<int>& fired, int id) : fired(fired), id(id) {}
  ~Recorder() { unlink(); }
  std::vector<int>& fired;
  int id;

 private:
  void onTimer() override { fired.push_back(id); }
};

TEST("a timer fires once, at the first advance at or after its time") {
  std::vector<int> fired;
  TimerWheel wheel(1000);
  Recorder timer(fired, 1);
  wheel.schedule(timer, 1500);
  wheel.advance(1499);
  CHECK(fired.empty());
  CHECK_EQ(wheel.timeoutMillis(1499), 1);
  wheel.advance(1500);
  CHECK_EQ(fired.size(), 1u);
  wheel.advance(9999);
  CHECK_EQ(fired.size(), 1u);
  CHECK_EQ(wheel.timeoutMillis(9999), -1);
}

TEST("a time in the past fires at the next advance and never inside schedule") {
  std::vector<int> fired;
  TimerWheel wheel(1000);
  Recorder timer(fired, 1);
  wheel.schedule(timer, 10);
  CHECK(fired.empty());
  wheel.advance(1001);
  CHECK_EQ(fired.size(), 1u);
}

TEST("of many that are due some fire, and the next advance goes on with the rest") {
  std::vector<int> fired;
  TimerWheel wheel(1000);
  std::vector<std::unique_ptr<Recorder>> timers;
  std::mt19937 random(3);
  std::vector<std::uint64_t> times;
  for (int i = 0; i < 1'000; ++i) {
    timers.push_back(std::make_unique<Recorder>(fired, i));
    // Many at the boundaries of levels, where those of a higher one come down.
    times.push_back(i % 3 == 0 ? 1024 + 64 * (random() % 20) : 1001 + random() % 5'000);
    wheel.schedule(*timers.back(), times.back());
  }
  std::uint64_t now = 1000;
  while (fired.size() < timers.size()) {
    now += random() % 50;
    const std::size_t due = static_cast<std::size_t>(
        std::ranges::count_if(times, [now](std::uint64_t when) { return when <= now; }));
    const std::size_t before = fired.size();
    const std::size_t most = random() % 20;
    wheel.advance(now, most);
    CHECK_EQ(fired.size(), std::min(due, before + most));
    if (fired.size() < due) CHECK_EQ(wheel.timeoutMillis(now), 0);
    // One that is set meanwhile waits behind those that are due.
    if (random() % 8 == 0 && !fired.empty()) {
      const auto again = static_cast<std::size_t>(fired.back());
      if (before == fired.size() || times[again] == 0) continue;
      fired.pop_back();
      times[again] = now + 1 + random() % 200;
      wheel.schedule(*timers[again], times[again]);
    }
  }
  for (const int id : fired) times[static_cast<std::size_t>(id)] = 0;
  CHECK(std::ranges::all_of(times, [](std::uint64_t when) { return when == 0; }));
  CHECK_EQ(wheel.timeoutMillis(now), -1);
}

TEST("times beyond the wheel's reach fire when they are due and not before") {
  std::vector<int> fired;
  TimerWheel wheel(0);
  Recorder timer(fired, 1);
  const std::uint64_t far = (std::uint64_t{1} << 36) * 3 + 17;
  wheel.schedule(timer, far);
  // Follows the wheel's own advice, but for its cap of a minute.
  std::uint64_t now = 0;
  while (now < far - 1) {
    now = std::min(now + (std::uint64_t{1} << 30), far - 1);
    wheel.advance(now);
    if (!fired.empty()) break;
  }
  CHECK(fired.empty());
  wheel.advance(far);
  CHECK_EQ(fired.size(), 1u);
}

TEST("random schedules, cancels and advances fire exactly what a sorted list fires") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> fired;
    std::uint64_t now = random() % 1'000'000;
    TimerWheel wheel(now);
    std::vector<std::unique_ptr<Recorder>> timers;
    for (int i = 0; i < 40; ++i) timers.push_back(std::make_unique<Recorder>(fired, i));
    std::map<int, std::uint64_t> model;
    for (int step = 0; step < 200; ++step) {
      const int id = static_cast<int>(random() % timers.size());
      switch (random() % 4) {
        case 0:
        case 1: {
          const std::uint64_t delay = random() % (std::uint64_t{1} << (random() % 28));
          wheel.schedule(*timers[static_cast<std::size_t>(id)], now + delay);
          model[id] = std::max(now + delay, now + 1);
          break;
        }
        case 2:
          TimerWheel::cancel(*timers[static_cast<std::size_t>(id)]);
          model.erase(id);
          break;
        default: {
          const int timeout = wheel.timeoutMillis(now);
          const std::uint64_t earliest =
              model.empty() ? 0
                            : std::min_element(model.begin(), model.end(), [](auto& a, auto& b) {
                                return a.second < b.second;
                              })->second;
          // Waking too early is allowed, too late is not.
          if (!model.empty())
            CHECK(timeout >= 0 && now + static_cast<std::uint64_t>(timeout) <= earliest);
          now += random() % 2 == 0 ? static_cast<std::uint64_t>(std::max(timeout, 0))
                                   : random() % 100'000;
          fired.clear();
          wheel.advance(now);
          std::vector<int> expected;
          for (const auto& [timer, when] : model) {
            if (when <= now) expected.push_back(timer);
          }
          std::sort(fired.begin(), fired.end());
          CHECK_EQ(fired, expected);
          for (const int timer : expected) model.erase(timer);
        }
      }
    }
  }
}

struct Owner {
  int expired = 0;
  void onExpire() { ++expired; }
};

TEST("a lazy deadline fires at the latest time that it was set to, and not when cleared") {
  TimerWheel wheel(0);
  Owner owner;
  LazyDeadline<Owner, &Owner::onExpire> deadline(owner);
  deadline.set(wheel, 100);
  deadline.set(wheel, 300);
  wheel.advance(299);
  CHECK_EQ(owner.expired, 0);
  wheel.advance(300);
  CHECK_EQ(owner.expired, 1);
  deadline.set(wheel, 1000);
  deadline.set(wheel, 500);
  wheel.advance(500);
  CHECK_EQ(owner.expired, 2);
  deadline.set(wheel, 600);
  deadline.clear();
  wheel.advance(5000);
  CHECK_EQ(owner.expired, 2);
}

}  // namespace
}  // namespace tidegate
