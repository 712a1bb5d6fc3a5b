// What one crossing costs: a request of 200 bytes to another thread and a verdict of 100 back, with
// eventfd bells under epoll. CPU of both threads at 64 in flight, round trip at 1 in flight; the
// median of the rounds.
//
//   channel_bench [rounds, default 9]
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "policy/channel.h"

namespace tidegate {
namespace {

constexpr std::size_t kRequestBytes = 200;
constexpr std::size_t kVerdictBytes = 100;

class EventBell final : public Bell {
 public:
  EventBell() : event_(eventfd(0, EFD_NONBLOCK)), epoll_(epoll_create1(0)) {
    epoll_event wanted{};
    wanted.events = EPOLLIN | EPOLLET;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wanted) != 0) std::abort();
  }
  ~EventBell() override {
    ::close(epoll_);
    ::close(event_);
  }
  EventBell(const EventBell&) = delete;
  EventBell& operator=(const EventBell&) = delete;

  void ring() override {
    const std::uint64_t one = 1;
    if (write(event_, &one, sizeof one) != sizeof one) std::abort();
  }
  void wait() {
    epoll_event event{};
    epoll_wait(epoll_, &event, 1, -1);
    std::uint64_t value = 0;
    [[maybe_unused]] const ssize_t n = read(event_, &value, sizeof value);
  }

 private:
  int event_;
  int epoll_;
};

double nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// A verdict for each request, until the client is gone.
void serve(ChannelServer& server, EventBell& bell) {
  std::vector<std::byte> into(Channel::kLargestMessage + 4);
  std::vector<std::byte> batch;
  while (!server.clientGone()) {
    const std::size_t used = server.take(into);
    if (used == 0) {
      if (server.trySleep() && !server.clientGone()) bell.wait();
      continue;
    }
    const std::size_t count = used / (4 + kRequestBytes);
    batch.resize(count * (4 + kVerdictBytes));
    const auto length = static_cast<std::uint32_t>(kVerdictBytes);
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(batch.data() + i * (4 + kVerdictBytes), &length, sizeof length);
    if (server.give(batch).value_or(0) != batch.size()) std::abort();
  }
}

struct Cost {
  double cpuNanos;
  double wallNanos;
};

Cost measure(std::uint32_t inFlight, std::uint32_t crossings) {
  auto clientBell = std::make_shared<EventBell>();
  auto serverBell = std::make_shared<EventBell>();
  Channel channel(clientBell, serverBell);
  std::thread worker([&] { serve(channel.server(), *serverBell); });
  ChannelClient& client = channel.client();
  const std::byte request[kRequestBytes]{};
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  const double cpu = nanos(CLOCK_PROCESS_CPUTIME_ID);
  const double wall = nanos(CLOCK_MONOTONIC);
  while (received < crossings) {
    while (sent < crossings && sent - received < inFlight && client.send(request)) ++sent;
    client.flush();
    const std::size_t count = client.receive([&](std::span<const std::byte>) { ++received; }, 256);
    if (count == 0 && client.trySleep()) clientBell->wait();
  }
  const Cost cost{(nanos(CLOCK_PROCESS_CPUTIME_ID) - cpu) / crossings,
                  (nanos(CLOCK_MONOTONIC) - wall) / crossings};
  client.close();
  worker.join();
  return cost;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(int rounds) {
  std::vector<double> cpu;
  std::vector<double> wall;
  for (int i = 0; i < rounds; ++i) {
    cpu.push_back(measure(64, 500'000).cpuNanos);
    wall.push_back(measure(1, 10'000).wallNanos);
  }
  std::printf("64 in flight  %8.1f ns CPU a crossing, both threads\n", median(cpu));
  std::printf(" 1 in flight  %8.1f us round trip\n", median(wall) / 1e3);
  return 0;
}

}  // namespace
}  // namespace tidegate

int main(int argumentCount, char** arguments) {
  const int rounds = argumentCount > 1 ? std::atoi(arguments[1]) : 9;
  return tidegate::run(std::max(rounds, 1));
}
