// The bench's clients over TLS and HTTP/2: one thread, and a loop that sleeps when there is nothing
// to do, so that an origin and a flood may share its core.
//
// Prints "ready", then reads commands from standard input, a line each:
//   handshakes port=N connections=N seconds=N path=P wire=W [resumed=1]
//                                        a request on a new connection each; every handshake is
//                                        full, or each of them resumes one session
//   requests port=N connections=N rate=N seconds=N path=P wire=W
//                                        on connections that stay, which are made before time
//                                        counts
//   hold port=N connections=N seconds=N path=P wire=W
//                                        one request on each connection, which then stays open
//   hellos port=N connections=N rate=N seconds=N
//                                        see hellos.h
//   release                              closes what `hold` left open
//   stop                                 ends the run early
// where W is http1, http1s, http2 or http2s, and prints the totals of each but `release` and `stop`
// as one line of JSON. Ends with standard input.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
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
#include "clients.h"
#include "hellos.h"
#include "run.h"

namespace tidegate::bench {
namespace {

constexpr std::uint64_t kCommands = ~std::uint64_t{0};  // the event's data of standard input

template <typename Number>
bool readNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool readWire(Run& run, std::string_view wire) {
  run.encrypted = wire.ends_with('s');
  run.http2 = wire.starts_with("http2");
  return wire == "http1" || wire == "http1s" || wire == "http2" || wire == "http2s";
}

bool readField(Run& run, std::string_view name, std::string_view value) {
  if (name == "port") return readNumber(value, run.port);
  if (name == "connections") return readNumber(value, run.connections) && run.connections > 0;
  if (name == "rate") return readNumber(value, run.rate) && run.rate > 0;
  if (name == "wire") return readWire(run, value);
  if (name == "resumed") {
    run.resumed = value == "1";
    return run.resumed;
  }
  if (name == "path") {
    run.path = value;
    return true;
  }
  double seconds = 0;
  if (name != "seconds" || !readNumber(value, seconds)) return false;
  run.duration = static_cast<std::uint64_t>(seconds * static_cast<double>(kSecond));
  return true;
}

std::optional<Task> taskOf(std::string_view verb) {
  if (verb == "handshakes") return Task::Handshakes;
  if (verb == "requests") return Task::Requests;
  if (verb == "hold") return Task::Hold;
  if (verb == "hellos") return Task::Hellos;
  return std::nullopt;
}

std::optional<Run> readRun(std::string_view line) {
  const std::string_view verb = line.substr(0, line.find(' '));
  const std::optional<Task> task = taskOf(verb);
  if (!task) return std::nullopt;
  Run run;
  run.task = *task;
  line.remove_prefix(verb.size());
  while (!line.empty()) {
    line.remove_prefix(1);
    const std::string_view field = line.substr(0, line.find(' '));
    line.remove_prefix(field.size());
    const std::size_t equals = std::min(field.find('='), field.size());
    const std::string_view value = field.substr(std::min(equals + 1, field.size()));
    if (!readField(run, field.substr(0, equals), value)) return std::nullopt;
  }
  // There is no session in the clear.
  if (run.resumed && !run.encrypted) return std::nullopt;
  return run;
}

void print(const Totals& totals) {
  const auto count = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  std::printf(
      "{\"seconds\":%.6f,\"requests\":%llu,\"bytes\":%llu,\"refused\":%llu,\"connect\":%llu,"
      "\"broken\":%llu,\"status\":%llu,\"limited\":0,\"crossed\":0,\"timeout\":%llu,"
      "\"idle\":%.4f,\"latency\":[",
      static_cast<double>(totals.elapsed) / static_cast<double>(kSecond), count(totals.requests),
      count(totals.bytes), count(totals.refused), count(totals.connect), count(totals.broken),
      count(totals.status), count(totals.timeout),
      static_cast<double>(totals.idle) /
          static_cast<double>(std::max<std::uint64_t>(totals.elapsed, 1)));
  const char* comma = "";
  totals.latency.each([&](std::uint64_t length, std::uint64_t times) {
    std::printf("%s[%llu,%llu]", comma, count(length), count(times));
    comma = ",";
  });
  std::printf("]}\n");
  std::fflush(stdout);
}

class Program {
 public:
  explicit Program(int epoll) : epoll_(epoll), clients_(epoll), hellos_(epoll) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kCommands}};
    ::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) fail("epoll_ctl");
  }

  int serve() {
    std::array<epoll_event, 256> events;
    while (!ended_) {
      const std::uint64_t before = nanoseconds();
      const std::uint64_t due = std::min({clients_.nextDue(), hellos_.nextDue(), before + kSecond});
      const std::size_t count = waitFor(epoll_, events, due > before ? due - before : 0);
      std::uint64_t now = nanoseconds();
      if (clients_.running()) clients_.onIdle(now - before);
      if (hellos_.running()) hellos_.onIdle(now - before);
      for (std::size_t i = 0; i < count; ++i) {
        if (i > 0) now = nanoseconds();
        dispatch(events[i], now);
      }
      if (clients_.tick(now)) print(clients_.totals());
      if (hellos_.tick(now)) print(hellos_.totals());
    }
    return 0;
  }

 private:
  void dispatch(const epoll_event& event, std::uint64_t now) {
    if (event.data.u64 == kCommands) return onInput();
    if (hellos_.running()) return hellos_.onEvent(event);
    clients_.onEvent(event, now);
  }

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
    if (line == "release") return clients_.release();
    if (line == "stop") {
      clients_.stop();
      return hellos_.stop();
    }
    const std::optional<Run> run = readRun(line);
    if (!run || clients_.running() || hellos_.running()) {
      std::fprintf(stderr, "bench_wires: not understood: %.*s\n", static_cast<int>(line.size()),
                   line.data());
      ended_ = true;
      return;
    }
    if (run->task == Task::Hellos) {
      hellos_.begin(*run, nanoseconds());
    } else {
      clients_.begin(*run, nanoseconds());
    }
  }

  int epoll_;
  Clients clients_;
  Hellos hellos_;
  bool ended_ = false;
  std::string pending_;
};

// Thousands of connections need more descriptors than a shell gives.
void raiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace tidegate::bench

int main(int argc, char**) {
  if (argc != 1) tidegate::bench::refuseUsage("bench_wires");
  tidegate::bench::raiseFileLimit();
  tidegate::bench::wakeOnTime();
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) tidegate::bench::fail("epoll_create1");
  std::puts("ready");
  std::fflush(stdout);
  return tidegate::bench::Program(epoll).serve();
}
