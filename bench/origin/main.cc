// The bench's origin: an HTTP/1.1 server on loopback that does as little as one can, so that a load
// generator and it together on one core outrun a proxy on another.
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../common/sockets.h"
#include "server.h"

namespace {

using tidegate::bench::numberOr;

constexpr const char* kUsage = "bench_origin [--port N] [--threads 1..64] [--unix PATH]";

struct Flags {
  int port = 0;  // 0 = any
  int threads = 1;
  std::string unixPath;  // instead of the port
};

Flags readFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) tidegate::bench::refuseUsage(kUsage);
    const std::string_view value = argv[i + 1];
    if (name == "--port") {
      flags.port = numberOr(value, -1);
    } else if (name == "--threads") {
      flags.threads = numberOr(value, -1);
    } else if (name == "--unix") {
      flags.unixPath = value;
    } else {
      tidegate::bench::refuseUsage(kUsage);
    }
  }
  const bool valid =
      flags.port >= 0 && flags.port <= 65535 && flags.threads >= 1 && flags.threads <= 64;
  if (!valid) tidegate::bench::refuseUsage(kUsage);
  return flags;
}

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = readFlags(argc, argv);
  const bool tcp = flags.unixPath.empty();
  std::vector<int> listeners;
  for (int i = 0; i < flags.threads; ++i) {
    if (!tcp) {
      listeners.push_back(i == 0 ? tidegate::bench::listenUnix(flags.unixPath) : listeners[0]);
    } else {
      const int port = i == 0 ? flags.port : tidegate::bench::portOf(listeners[0]);
      listeners.push_back(tidegate::bench::listenTcp(static_cast<std::uint16_t>(port)));
    }
  }
  if (tcp) {
    tidegate::bench::announce("127.0.0.1", tidegate::bench::portOf(listeners[0]));
  } else {
    tidegate::bench::announce(flags.unixPath.c_str(), 0);
  }
  std::vector<std::thread> threads;
  for (int i = 1; i < flags.threads; ++i)
    threads.emplace_back(tidegate::bench::serve, listeners[i], tcp);
  tidegate::bench::serve(listeners[0], tcp);
}
