// The bench's load generator, with an origin in the same loop: io_uring, one thread, and busy while
// a run lasts, so that neither side of a proxy pays for wake-ups and both fit on one core.
//
// Prints the origin's address, then reads commands from standard input, a line each:
//   run port=N connections=N seconds=N [fresh=N] [rate=N] [upload=BYTES] [path=P] [paths=N]
//       [headers=FILE] [tagged=1] [aside=P]
//                                        see client_side.h
//   run port=N connections=N seconds=N wire=http1s|http2|http2s [path=P] [streams=N] [grpc=1]
//                                        see wire_side.h
//   hold port=N connections=N seconds=N [path=P]
//                                        one request on each connection, which then stays open
//   release                              closes what `hold` left open
//   stop                                 ends the run early
// and prints the totals of each run and hold as one line of JSON. Ends with standard input.
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../common/sockets.h"
#include "client_side.h"
#include "origin_side.h"
#include "ring.h"
#include "tag.h"
#include "wire_side.h"

namespace tidegate::bench {
namespace {

std::uint64_t nanoseconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

template <typename Number>
bool readNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool readLines(std::string_view path, std::vector<std::string>& lines) {
  std::ifstream file{std::string(path)};
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  return !lines.empty();
}

bool readWire(Run& run, std::string_view wire) {
  run.wire = true;
  run.encrypted = wire.ends_with('s');
  run.http2 = wire.starts_with("http2");
  return wire == "http1s" || wire == "http2" || wire == "http2s";
}

bool readField(Run& run, std::string_view name, std::string_view value) {
  double seconds = 0;
  if (name == "port") return readNumber(value, run.port);
  if (name == "connections") return readNumber(value, run.connections) && run.connections > 0;
  if (name == "fresh") return readNumber(value, run.fresh);
  if (name == "rate") return readNumber(value, run.rate);
  if (name == "upload") return readNumber(value, run.upload);
  if (name == "paths") return readNumber(value, run.paths) && run.paths > 0;
  if (name == "headers") return readLines(value, run.headers);
  if (name == "wire") return readWire(run, value);
  if (name == "streams") return readNumber(value, run.streams) && run.streams > 0;
  if (name == "tagged" || name == "grpc") {
    (name == "grpc" ? run.grpc : run.tagged) = true;
    return value == "1";
  }
  if (name == "path" || name == "aside") {
    (name == "path" ? run.path : run.aside) = value;
    return true;
  }
  if (name != "seconds" || !readNumber(value, seconds)) return false;
  run.duration = static_cast<std::uint64_t>(seconds * 1e9);
  return true;
}

std::optional<Run> readRun(std::string_view fields, bool hold) {
  Run run{};
  run.hold = hold;
  while (!fields.empty()) {
    const std::string_view field = fields.substr(0, fields.find(' '));
    fields.remove_prefix(std::min(field.size() + 1, fields.size()));
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    if (!readField(run, field.substr(0, equals), field.substr(equals + 1))) return std::nullopt;
  }
  return run;
}

void print(const Totals& totals) {
  std::printf(
      "{\"seconds\":%.6f,\"requests\":%llu,\"bytes\":%llu,\"refused\":%llu,\"connect\":%llu,"
      "\"broken\":%llu,\"status\":%llu,\"limited\":%llu,\"crossed\":%llu,\"timeout\":%llu,"
      "\"idle\":%.4f,\"latency\":[",
      static_cast<double>(totals.elapsed) / 1e9, static_cast<unsigned long long>(totals.requests),
      static_cast<unsigned long long>(totals.bytes),
      static_cast<unsigned long long>(totals.refused),
      static_cast<unsigned long long>(totals.connect),
      static_cast<unsigned long long>(totals.broken),
      static_cast<unsigned long long>(totals.status),
      static_cast<unsigned long long>(totals.limited),
      static_cast<unsigned long long>(totals.crossed),
      static_cast<unsigned long long>(totals.timeout),
      static_cast<double>(totals.idle) /
          static_cast<double>(std::max<std::uint64_t>(totals.elapsed, 1)));
  const char* comma = "";
  totals.latency.each([&comma](std::uint64_t length, std::uint64_t count) {
    std::printf("%s[%llu,%llu]", comma, static_cast<unsigned long long>(length),
                static_cast<unsigned long long>(count));
    comma = ",";
  });
  std::printf("]}\n");
  std::fflush(stdout);
}

class Program {
 public:
  Program(Ring ring, int listener)
      : ring_(std::move(ring)), origin_(ring_, listener), clients_(ring_), wires_(ring_) {}

  int serve() {
    readMore();
    std::uint64_t before = nanoseconds();
    while (!ended_) {
      ring_.turn(!clients_.running() && !wires_.running());
      const bool worked =
          ring_.drain([this](std::uint64_t tag, std::int32_t result, std::uint32_t flags) {
            dispatch(tag, result, flags);
          });
      const std::uint64_t now = nanoseconds();
      if (!worked) clients_.onIdle(now - before);
      if (!worked) wires_.onIdle(now - before);
      before = now;
      if (clients_.tick(now)) print(clients_.totals());
      if (wires_.tick(now)) print(wires_.totals());
    }
    return 0;
  }

 private:
  void dispatch(std::uint64_t tag, std::int32_t result, std::uint32_t flags) {
    const std::uint32_t connection = connectionOf(tag);
    switch (operationOf(tag)) {
      case Operation::Command:
        return onInput(result);
      case Operation::OriginAccept:
        return origin_.onAccept(result, flags);
      case Operation::OriginReceive:
        return origin_.onReceive(connection, result, flags);
      case Operation::OriginSend:
        return origin_.onSend(connection, result);
      case Operation::ClientConnect:
        return clients_.onConnect(connection, result, nanoseconds());
      case Operation::ClientSend:
        return clients_.onSend(connection, result, nanoseconds());
      case Operation::ClientReceive:
        return clients_.onReceive(connection, result, flags, nanoseconds());
      case Operation::WireConnect:
        return wires_.onConnect(connection, result, nanoseconds());
      case Operation::WireSend:
        return wires_.onSend(connection, result);
      case Operation::WireReceive:
        return wires_.onReceive(connection, result, flags, nanoseconds());
    }
  }

  void readMore() { ring_.read(STDIN_FILENO, input_, tagOf(Operation::Command, 0)); }

  void onInput(std::int32_t result) {
    if (result <= 0) {
      ended_ = true;
      return;
    }
    pending_.append(input_.data(), static_cast<std::size_t>(result));
    for (std::size_t end; (end = pending_.find('\n')) != std::string::npos;) {
      obey(std::string_view(pending_).substr(0, end));
      pending_.erase(0, end + 1);
    }
    readMore();
  }

  void obey(std::string_view line) {
    const std::string_view verb = line.substr(0, line.find(' '));
    if (verb == "stop") {
      wires_.stop();
      return clients_.stop();
    }
    if (verb == "release") return clients_.release();
    const std::string_view fields = line.substr(std::min(verb.size() + 1, line.size()));
    const std::optional<Run> run = readRun(fields, verb == "hold");
    if ((verb != "run" && verb != "hold") || !run || clients_.running() || wires_.running()) {
      std::fprintf(stderr, "bench_load: not understood: %.*s\n", static_cast<int>(line.size()),
                   line.data());
      ended_ = true;
      return;
    }
    if (run->wire) {
      wires_.begin(*run, nanoseconds());
    } else {
      clients_.begin(*run);
    }
  }

  Ring ring_;
  OriginSide origin_;
  ClientSide clients_;
  WireSide wires_;
  bool ended_ = false;
  std::array<char, 4096> input_;
  std::string pending_;
};

// 10,000 connections need more descriptors than a shell gives.
void raiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace tidegate::bench

int main(int argc, char** argv) {
  const int port = argc == 1 ? 0
                   : argc == 3 && std::string_view(argv[1]) == "--port"
                       ? tidegate::bench::numberOr(argv[2], -1)
                       : -1;
  if (port < 0 || port > 65535) tidegate::bench::refuseUsage("bench_load [--port N]");
  tidegate::bench::raiseFileLimit();
  std::optional<tidegate::bench::Ring> ring = tidegate::bench::Ring::open();
  if (!ring) {
    std::fputs("bench_load: io_uring of Linux 6.1 or later is not available here\n", stderr);
    return 3;
  }
  const int listener = tidegate::bench::listenTcp(static_cast<std::uint16_t>(port), 0);
  tidegate::bench::announce("127.0.0.1", tidegate::bench::portOf(listener));
  return tidegate::bench::Program(std::move(*ring), listener).serve();
}
