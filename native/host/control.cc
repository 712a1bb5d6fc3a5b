#include "host/control.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "host/json.h"
#include "http/reason.h"
#include "observe/stats.h"

namespace tidegate {
namespace {

constexpr std::size_t kMaxCommandLine = 256;
constexpr std::size_t kThreadCounterBytes = (kCounterCount + kReasonCount) * sizeof(Counter);

bool writeAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// Lines and payloads out of a blocking descriptor.
class Input {
 public:
  explicit Input(int fd) : fd_(fd) {}

  // Without its newline; nullopt at the end of the input or when a line is too long. Valid until
  // the next call.
  std::optional<std::string_view> line() {
    drop();
    std::size_t end;
    while ((end = buffer_.find('\n')) == std::string::npos) {
      overlong_ = buffer_.size() > kMaxCommandLine;
      if (overlong_ || !fill()) return std::nullopt;
    }
    used_ = end + 1;
    return std::string_view(buffer_).substr(0, end);
  }

  // Why line() had none: no command is that long.
  bool overlong() const { return overlong_; }

  // Exactly that many bytes; nullopt when the input ends before. Valid until the next call.
  std::optional<std::span<const std::uint8_t>> payload(std::size_t bytes) {
    drop();
    while (buffer_.size() < bytes) {
      if (!fill()) return std::nullopt;
    }
    used_ = bytes;
    return std::span(reinterpret_cast<const std::uint8_t*>(buffer_.data()), bytes);
  }

 private:
  void drop() {
    buffer_.erase(0, used_);
    used_ = 0;
  }

  bool fill() {
    char chunk[64 * 1024];
    ssize_t got;
    do {
      got = read(fd_, chunk, sizeof chunk);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return false;
    buffer_.append(chunk, static_cast<std::size_t>(got));
    return true;
  }

  int fd_;
  std::string buffer_;
  bool overlong_ = false;
  std::size_t used_ = 0;  // of the buffer's front, by what was last handed out
};

class Control {
 public:
  Control(Engine& engine, int commandFd, int replyFd)
      : engine_(engine), input_(commandFd), replyFd_(replyFd) {}

  int run() {
    if (!hello()) return 1;
    while (const auto line = input_.line()) {
      if (*line == "stop") {
        ok();
        return finish() ? 0 : 1;
      }
      if (!serve(*line)) return 1;
    }
    return input_.overlong() ? 1 : 0;
  }

 private:
  // False when the protocol cannot go on.
  bool serve(std::string_view line) {
    constexpr std::string_view kApply = "apply ";
    if (line.starts_with(kApply)) return apply(line.substr(kApply.size()));
    if (line == "drain") {
      engine_.drain();
      ok();
      return finish();
    }
    if (line == "drained") {
      ok();
      json_.boolean("drained", engine_.drained());
      return finish();
    }
    if (line == "reopen-logs") return reopenLogs();
    if (line == "endpoints") return endpoints();
    if (line == "stats") return stats();
    return refuse({"bad_command", "unknown command"});
  }

  bool hello() {
    ok();
    json_.number("threads", engine_.threadCount());
    json_.beginArray("counters");
#define X(member, name, gauge, text) describe(name, gauge, text);
    TIDEGATE_COUNTERS(X)
#undef X
    json_.endArray();
    json_.beginArray("reasons");
#define X(name, code, status, text) describeReason(code, status, text);
    TIDEGATE_REASONS(X)
#undef X
    json_.endArray();
    json_.beginArray("durationBounds");
    for (const std::uint32_t bound : kDurationBounds) json_.element(bound);
    json_.endArray();
    return finish();
  }

  void describe(std::string_view name, bool gauge, std::string_view text) {
    json_.beginObject();
    json_.text("name", name);
    json_.boolean("gauge", gauge);
    json_.text("text", text);
    json_.endObject();
  }

  void describeReason(std::string_view code, std::uint64_t status, std::string_view text) {
    json_.beginObject();
    json_.text("code", code);
    json_.number("status", status);
    json_.text("text", text);
    json_.endObject();
  }

  bool apply(std::string_view length) {
    std::size_t bytes = 0;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
    if (error != std::errc{} || end != length.data() + length.size() || bytes > kMaxSnapshotBytes) {
      // What follows cannot be told from commands.
      refuse({"bad_command", "expected a length after apply"});
      return false;
    }
    const auto payload = input_.payload(bytes);
    if (!payload) return false;
    const auto listeners = engine_.apply(*payload);
    if (!listeners) return refuse(listeners.error());
    ok();
    json_.beginArray("listeners");
    for (const BoundListener& listener : *listeners) {
      json_.beginObject();
      json_.text("name", listener.name);
      json_.text("bind", listener.bind);
      json_.text("address", listener.address);
      json_.endObject();
    }
    json_.endArray();
    return finish();
  }

  bool reopenLogs() {
    std::string error = engine_.reopenLogs();
    if (!error.empty()) return refuse({"access_log_failed", std::move(error)});
    ok();
    return finish();
  }

  bool endpoints() {
    ok();
    json_.beginArray("endpoints");
    for (const EndpointStatus& endpoint : engine_.endpoints()) {
      json_.beginObject();
      json_.text("upstream", endpoint.upstream);
      json_.text("address", endpoint.address);
      json_.boolean("up", endpoint.up);
      json_.number("active", endpoint.active);
      json_.number("downForMillis", endpoint.downForMillis);
      json_.endObject();
    }
    json_.endArray();
    return finish();
  }

  bool stats() {
    std::string numbers;
    ok();
    json_.number("accessLogLost", engine_.accessLogDropped());
    json_.beginArray("chunks");
    for (std::size_t i = 0; i < engine_.threadCount(); ++i) {
      ThreadStats& stats = engine_.stats(i);
      json_.element(stats.chunkCount());
      appendCounters(numbers, &stats.counters, kThreadCounterBytes);
      for (std::size_t c = 0; c < stats.chunkCount(); ++c) {
        appendCounters(numbers, stats.chunk(c), sizeof(ThreadStats::Chunk));
      }
    }
    json_.endArray();
    json_.number("bytes", numbers.size());
    return finish() && writeAll(replyFd_, numbers);
  }

  // `memory` holds Counters only; each is read as its own thread may be writing it.
  static void appendCounters(std::string& out, const void* memory, std::size_t bytes) {
    const auto* counters = static_cast<const Counter*>(memory);
    for (std::size_t i = 0; i < bytes / sizeof(Counter); ++i) {
      const std::uint64_t value = counters[i].get();
      out.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }

  void ok() {
    json_.beginObject();
    json_.boolean("ok", true);
  }

  bool refuse(const EngineError& error) {
    json_.beginObject();
    json_.boolean("ok", false);
    json_.text("code", error.code);
    json_.text("message", error.message);
    return finish();
  }

  bool finish() {
    json_.endObject();
    return writeAll(replyFd_, json_.take() + "\n");
  }

  Engine& engine_;
  Input input_;
  int replyFd_;
  JsonWriter json_;
};

}  // namespace

int serveControl(Engine& engine, int commandFd, int replyFd) {
  return Control(engine, commandFd, replyFd).run();
}

void refuseControl(const EngineError& error, int replyFd) {
  JsonWriter json;
  json.beginObject();
  json.boolean("ok", false);
  json.text("code", error.code);
  json.text("message", error.message);
  json.endObject();
  writeAll(replyFd, json.take() + "\n");
}

}  // namespace tidegate
