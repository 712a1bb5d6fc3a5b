// tidegate_host: the core without Node, for sanitizers, profilers and tests. Steered by a parent
// process (control.h), or alone with an encoded snapshot.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/control.h"
#include "host/json.h"
#include "proxy/engine.h"

namespace tidegate {
namespace {

constexpr std::string_view kUsage =
    "usage: tidegate_host [--io-threads N] [--pin-cpus N,N...] [--max-connections N]\n"
    "                     [--reply-fd FD | --snapshot FILE [--drain-timeout MILLISECONDS]]\n"
    "Without --snapshot: commands on standard input, replies on FD (1), until the input ends.\n"
    "With it: SIGTERM and SIGINT drain and stop, SIGHUP reads FILE again, SIGUSR1 reopens the "
    "log.\n";

struct Flags {
  EngineOptions engine;
  std::string snapshot;  // empty: steered by the parent
  int replyFd = 1;
  std::uint64_t drainTimeout = 30'000;  // milliseconds
};

std::optional<std::uint64_t> parseNumber(std::string_view text, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

bool parseCpus(std::string_view text, std::vector<std::uint32_t>& cpus) {
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const auto cpu = parseNumber(text.substr(0, comma), 1 << 20);
    if (!cpu) return false;
    cpus.push_back(static_cast<std::uint32_t>(*cpu));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return true;
}

bool parseFlag(std::string_view name, std::string_view value, Flags& flags) {
  if (name == "--snapshot") {
    flags.snapshot = value;
    return !value.empty();
  }
  if (name == "--pin-cpus") return parseCpus(value, flags.engine.pinCpus);
  const auto number = parseNumber(value, std::uint64_t{1} << 53);
  if (!number) return false;
  if (name == "--io-threads") {
    flags.engine.ioThreads = static_cast<std::uint32_t>(*number);
    return *number >= 1 && *number <= 256;
  }
  if (name == "--max-connections") {
    flags.engine.maxConnections = *number;
    return true;
  }
  if (name == "--drain-timeout") {
    flags.drainTimeout = *number;
    return true;
  }
  if (name == "--reply-fd") {
    flags.replyFd = static_cast<int>(*number);
    return *number < 1024;
  }
  return false;
}

// nullopt with a message on standard error.
std::optional<Flags> parseFlags(const std::vector<std::string_view>& arguments) {
  Flags flags;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size() || !parseFlag(arguments[i], arguments[i + 1], flags)) {
      std::fprintf(stderr, "tidegate_host: bad flag or value: %s\n%s",
                   std::string(arguments[i]).c_str(), kUsage.data());
      return std::nullopt;
    }
  }
  return flags;
}

// A line of JSON on standard error.
void report(JsonWriter& json) { std::fprintf(stderr, "%s\n", json.take().c_str()); }

void reportError(const EngineError& error) {
  JsonWriter json;
  json.beginObject();
  json.text("error", error.code);
  json.text("message", error.message);
  json.endObject();
  report(json);
}

bool applyFile(Engine& engine, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    reportError({"snapshot_invalid", "cannot read " + path});
    return false;
  }
  const auto listeners =
      engine.apply({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  if (!listeners) {
    reportError(listeners.error());
    return false;
  }
  JsonWriter json;
  json.beginObject();
  json.beginArray("listeners");
  for (const BoundListener& listener : *listeners) {
    json.beginObject();
    json.text("name", listener.name);
    json.text("address", listener.address);
    json.endObject();
  }
  json.endArray();
  json.endObject();
  report(json);
  return true;
}

// The signals that steer a host that runs alone.
sigset_t controlSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  return signals;
}

// Until no client is left, time is up, or another SIGTERM or SIGINT comes.
void drain(Engine& engine, const sigset_t& signals, std::uint64_t timeoutMillis) {
  constexpr std::uint64_t kPollMillis = 20;
  engine.drain();
  for (std::uint64_t waited = 0; waited < timeoutMillis && !engine.drained();
       waited += kPollMillis) {
    const timespec pause{0, kPollMillis * 1'000'000};
    const int signal = sigtimedwait(&signals, nullptr, &pause);
    if (signal == SIGTERM || signal == SIGINT) return;
  }
}

int runAlone(Engine& engine, const Flags& flags) {
  const sigset_t signals = controlSignals();
  if (!applyFile(engine, flags.snapshot)) return 1;
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal == SIGHUP) {
      applyFile(engine, flags.snapshot);
    } else if (signal == SIGUSR1) {
      if (const std::string error = engine.reopenLogs(); !error.empty()) {
        reportError({"access_log_failed", error});
      }
    } else {
      drain(engine, signals, flags.drainTimeout);
      return 0;
    }
  }
}

int run(const Flags& flags) {
  const bool alone = !flags.snapshot.empty();
  signal(SIGPIPE, SIG_IGN);
  // Before any thread is started, so that all of them inherit it. Steered, the end of the input is
  // what ends the host: a signal to the process group must not overtake the parent's own drain.
  const sigset_t signals = controlSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto engine = Engine::start(flags.engine);
  if (!engine) {
    if (alone) {
      reportError(engine.error());
    } else {
      refuseControl(engine.error(), flags.replyFd);
    }
    return 1;
  }
  const int status =
      alone ? runAlone(**engine, flags) : serveControl(**engine, STDIN_FILENO, flags.replyFd);
  (*engine)->stop();
  return status;
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  const auto flags = tidegate::parseFlags({argv + 1, argv + argc});
  return flags ? tidegate::run(*flags) : 2;
}
