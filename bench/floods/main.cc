// The bench's floods: a client of HTTP/2 without TLS that means harm (kinds.h), in one thread. It
// runs when nothing else wants its core: a flood comes from another machine, and does not take the
// processor from under the clients that it is measured by.
//
// Prints "ready", then reads commands from standard input, a line each:
//   flood kind=K port=N connections=N rate=BYTES seconds=N
//   stop                        ends it early
// and prints the totals of each flood as one line of JSON. Ends with standard input.
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "../common/clock.h"
#include "../common/sockets.h"
#include "flooder.h"
#include "kinds.h"

namespace tidegate::bench {
namespace {

constexpr std::uint64_t kCommands = ~std::uint64_t{0};  // the event's data of standard input
constexpr std::string_view kVerb = "flood";

template <typename Number>
bool readNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number > 0;
}

bool readField(Flood& flood, std::string_view name, std::string_view value) {
  if (name == "kind") return readKind(value, flood.kind);
  if (name == "port") return readNumber(value, flood.port);
  if (name == "connections") return readNumber(value, flood.connections);
  if (name == "rate") return readNumber(value, flood.rate);
  double seconds = 0;
  if (name != "seconds" || !readNumber(value, seconds)) return false;
  flood.duration = static_cast<std::uint64_t>(seconds * static_cast<double>(kSecond));
  return true;
}

std::optional<Flood> readFlood(std::string_view line) {
  if (line.substr(0, line.find(' ')) != kVerb) return std::nullopt;
  line.remove_prefix(kVerb.size());
  Flood flood;
  while (!line.empty()) {
    line.remove_prefix(1);
    const std::string_view field = line.substr(0, line.find(' '));
    line.remove_prefix(field.size());
    const std::size_t equals = std::min(field.find('='), field.size());
    const std::string_view value = field.substr(std::min(equals + 1, field.size()));
    if (!readField(flood, field.substr(0, equals), value)) return std::nullopt;
  }
  return flood;
}

void print(const FloodTotals& totals) {
  const auto count = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  const double elapsed = static_cast<double>(std::max<std::uint64_t>(totals.elapsed, 1));
  std::printf(
      "{\"seconds\":%.6f,\"opened\":%llu,\"ended\":%llu,\"failed\":%llu,\"bytes\":%llu,"
      "\"idle\":%.4f}\n",
      elapsed / static_cast<double>(kSecond), count(totals.opened), count(totals.ended),
      count(totals.failed), count(totals.bytes), static_cast<double>(totals.idle) / elapsed);
  std::fflush(stdout);
}

class Program {
 public:
  explicit Program(int epoll) : epoll_(epoll) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kCommands}};
    ::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) fail("epoll_ctl");
  }

  int serve() {
    std::array<epoll_event, 256> events;
    while (!ended_) {
      const std::uint64_t before = nanoseconds();
      const std::uint64_t due = flooder_ ? flooder_->nextDue() : before + kSecond;
      const std::size_t count = waitFor(epoll_, events, due > before ? due - before : 0);
      const std::uint64_t now = nanoseconds();
      if (flooder_) flooder_->onIdle(now - before);
      for (std::size_t i = 0; i < count; ++i) {
        if (events[i].data.u64 == kCommands) {
          onInput();
        } else if (flooder_) {
          flooder_->onEvent(events[i], now);
        }
      }
      if (flooder_ && flooder_->tick(now)) {
        print(flooder_->totals());
        flooder_.reset();
      }
    }
    return 0;
  }

 private:
  void onInput() {
    std::array<char, 4096> input;
    const ssize_t got = ::read(STDIN_FILENO, input.data(), input.size());
    if (got <= 0) {
      ended_ = true;
      return;
    }
    pending_.append(input.data(), static_cast<std::size_t>(got));
    for (std::size_t end; (end = pending_.find('\n')) != std::string::npos;) {
      obey(std::string_view(pending_).substr(0, end));
      pending_.erase(0, end + 1);
    }
  }

  void obey(std::string_view line) {
    if (line == "stop") {
      if (flooder_) flooder_->stop();
      return;
    }
    const std::optional<Flood> flood = readFlood(line);
    if (!flood || flooder_) {
      std::fprintf(stderr, "bench_floods: not understood: %.*s\n", static_cast<int>(line.size()),
                   line.data());
      ended_ = true;
      return;
    }
    flooder_.emplace(epoll_, *flood, nanoseconds());
  }

  int epoll_;
  std::optional<Flooder> flooder_;
  bool ended_ = false;
  std::string pending_;
};

}  // namespace
}  // namespace tidegate::bench

int main(int argc, char**) {
  if (argc != 1) tidegate::bench::refuseUsage("bench_floods");
  tidegate::bench::wakeOnTime();
  const sched_param none{};
  if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) tidegate::bench::fail("sched_setscheduler");
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) tidegate::bench::fail("epoll_create1");
  std::puts("ready");
  std::fflush(stdout);
  return tidegate::bench::Program(epoll).serve();
}
