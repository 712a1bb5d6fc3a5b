// Those that go on share a turn with events: in order, and none is forgotten.
#include "io/event_loop.h"

#include <array>
#include <chrono>
#include <vector>

#include "check.h"

namespace tidegate {
namespace {

// Takes its time, and asks again as often as it is told.
class Worker final : public Pollable {
 public:
  Worker(EventLoop& loop, std::vector<int>& order, int id) : loop_(loop), order_(order), id_(id) {}
  ~Worker() { EventLoop::forget(*this); }

  void onEvents(std::uint32_t) override {}
  void onReady() override {
    order_.push_back(id_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
    while (std::chrono::steady_clock::now() < until) {
    }
    if (--left > 0) loop_.goOnLater(*this);
  }

  int left = 1;

 private:
  EventLoop& loop_;
  std::vector<int>& order_;
  const int id_;
};

}  // namespace

TEST("event loop: many that go on leave room for events, and go on in their order") {
  constexpr int kRounds = 50;
  EventLoop loop;
  std::vector<int> order;
  std::array<Worker, 3> workers = {Worker(loop, order, 0), Worker(loop, order, 1),
                                   Worker(loop, order, 2)};
  for (Worker& worker : workers) {
    worker.left = kRounds;
    loop.goOnLater(worker);
  }
  int turns = 0;
  while (order.size() < 3 * kRounds) {
    loop.turn(0);
    ++turns;
  }
  for (std::size_t i = 0; i < order.size(); ++i) CHECK_EQ(order[i], static_cast<int>(i % 3));
  // All three fit a turn only where another program held it up.
  CHECK(turns > kRounds);
}

}  // namespace tidegate
