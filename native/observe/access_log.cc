// The writer thread: sleeps while every ring is empty, lets lines gather for a moment once they
// come, then moves all rings to the sink with one system call.
#include "observe/access_log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "observe/log_sink.h"

namespace tidegate {
namespace {

using Clock = std::chrono::steady_clock;

// Some 1,700 lines: what a writer that is 20 ms late costs at 80,000 requests a second.
constexpr std::size_t kRingBytes = 1024 * 1024;

// How long lines gather before they are written; a ring that is half full ends it.
constexpr int kLingerMillis = 20;
// After a failure that nothing can wait for.
constexpr int kRetryMillis = 100;
constexpr std::chrono::seconds kStopTime{1};

constexpr int kForEver = -1;

}  // namespace

struct AccessLog::Impl {
 public:
  explicit Impl(std::size_t ioThreads);

  void start();
  std::string open(const std::string& path);
  void close();
  void stop();
  void wakeUp();

  // Set once.
  std::vector<std::unique_ptr<AccessRing>> rings;

  // The control thread's.
  AccessLogConfig config{.format = AccessLogFormat::Off, .path = {}};

  std::atomic<std::uint64_t> dropped{0};

 private:
  // What the control thread wants of the writer.
  struct Orders {
    std::optional<LogSink> sink;  // write there from now on
    std::optional<Clock::time_point> stopBy;
  };

  enum class Outcome : std::uint8_t {
    Wrote,    // all that the rings held
    Nothing,  // there is nothing to write
    Full,     // the sink takes no more for now
    Failed,
  };

  // Writer thread.
  void run();
  void changeSink(LogSink next);
  void finish(Clock::time_point deadline);
  Outcome writeRings();
  void release(std::size_t bytes);
  void dropRestOfLine();
  void dropAll();
  void sleepUntilLine();
  void linger();
  void wait(int millis, bool forSink);
  Orders takeOrders();

  void order(Orders orders);

  // Set once.
  FileHandle wake_;
  std::string startError_;
  pthread_t thread_{};

  // The control thread's.
  bool running_ = false;

  // Both threads'.
  std::mutex mutex_;
  Orders orders_;                       // guarded by mutex_
  std::atomic<bool> hasOrders_{false};  // a hint that saves the lock

  // The writer thread's.
  LogSink sink_;
  std::vector<iovec> parts_;         // what the next write takes
  std::vector<std::size_t> owners_;  // of each part, its ring
  std::size_t first_ = 0;            // the ring to begin with: where the last write ended
  bool midLine_ = false;             // the last write ended inside a line
};

// ---- control thread

AccessLog::Impl::Impl(std::size_t ioThreads) {
  rings.reserve(ioThreads);
  for (std::size_t i = 0; i < ioThreads; ++i)
    rings.push_back(std::make_unique<AccessRing>(kRingBytes));
  parts_.reserve(2 * ioThreads);
  owners_.reserve(2 * ioThreads);
}

void AccessLog::Impl::start() {
  wake_ = FileHandle(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake_) {
    startError_ = "cannot make an eventfd: " + std::generic_category().message(errno);
    return;
  }
  // The thread begins with every signal blocked: SIGPIPE becomes EPIPE, and no handler runs there.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(
      &thread_, nullptr,
      [](void* self) -> void* {
        static_cast<Impl*>(self)->run();
        return nullptr;
      },
      this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    startError_ = "cannot start the access log's thread: " + std::generic_category().message(error);
    return;
  }
  pthread_setname_np(thread_, "tidegate-log");
  running_ = true;
}

std::string AccessLog::Impl::open(const std::string& path) {
  if (!running_) return startError_.empty() ? "the access log has ended" : startError_;
  auto sink = LogSink::open(path);
  if (!sink.ok()) return std::move(sink.error());
  order({.sink = std::move(sink.value()), .stopBy = {}});
  return {};
}

void AccessLog::Impl::close() {
  if (running_) order({.sink = LogSink(), .stopBy = {}});
}

void AccessLog::Impl::stop() {
  if (!running_) return;
  running_ = false;
  order({.sink = {}, .stopBy = Clock::now() + kStopTime});
  pthread_join(thread_, nullptr);
}

void AccessLog::Impl::order(Orders orders) {
  {
    const std::lock_guard lock(mutex_);
    if (orders.sink) orders_.sink = std::move(orders.sink);
    if (orders.stopBy) orders_.stopBy = orders.stopBy;
    hasOrders_.store(true, std::memory_order_release);
  }
  wakeUp();
}

void AccessLog::Impl::wakeUp() {
  const std::uint64_t one = 1;
  // Fails only when so many wake-ups wait already that the counter is full.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

// ---- writer thread

void AccessLog::Impl::run() {
  for (;;) {
    Orders orders = takeOrders();
    if (orders.sink) changeSink(std::move(*orders.sink));
    if (orders.stopBy) {
      finish(*orders.stopBy);
      return;
    }
    switch (writeRings()) {
      case Outcome::Wrote:
        linger();
        break;
      case Outcome::Nothing:
        sleepUntilLine();
        linger();
        break;
      case Outcome::Full:
        wait(kForEver, true);
        break;
      case Outcome::Failed:
        wait(kRetryMillis, false);
        break;
    }
  }
}

AccessLog::Impl::Orders AccessLog::Impl::takeOrders() {
  if (!hasOrders_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock(mutex_);
  hasOrders_.store(false, std::memory_order_relaxed);
  return std::exchange(orders_, {});
}

// The old sink gets what is in the rings now, as far as it takes it. A line that it has the
// beginning of is gone with it, unless the new one is the same file.
void AccessLog::Impl::changeSink(LogSink next) {
  if (sink_) writeRings();
  if (midLine_ && !next.isSameFileAs(sink_)) dropRestOfLine();
  sink_ = std::move(next);
}

void AccessLog::Impl::finish(Clock::time_point deadline) {
  for (;;) {
    const Outcome outcome = writeRings();
    if (outcome == Outcome::Nothing || outcome == Outcome::Failed) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) break;
    if (outcome == Outcome::Full) wait(static_cast<int>(left.count()), true);
  }
  dropAll();
  sink_ = LogSink();
}

AccessLog::Impl::Outcome AccessLog::Impl::writeRings() {
  if (!sink_) {
    dropAll();
    return Outcome::Nothing;
  }
  parts_.clear();
  owners_.clear();
  std::size_t total = 0;
  for (std::size_t i = 0; i < rings.size(); ++i) {
    const std::size_t index = (first_ + i) % rings.size();
    for (const std::string_view part : rings[index]->peek()) {
      if (part.empty()) continue;
      parts_.push_back({const_cast<char*>(part.data()), part.size()});
      owners_.push_back(index);
      total += part.size();
    }
  }
  if (total == 0) return Outcome::Nothing;

  const LogSink::Written written = sink_.write(parts_);
  if (written.status == LogSink::Status::WouldBlock) return Outcome::Full;
  if (written.status == LogSink::Status::Failed || written.bytes == 0) return Outcome::Failed;
  release(written.bytes);
  return written.bytes == total ? Outcome::Wrote : Outcome::Full;
}

// Gives back what was written of the parts, and remembers where that ended: the next write goes on
// there, so that no other ring's line comes between.
void AccessLog::Impl::release(std::size_t bytes) {
  for (std::size_t i = 0; bytes > 0; ++i) {
    const std::size_t taken = std::min(parts_[i].iov_len, bytes);
    midLine_ = static_cast<const char*>(parts_[i].iov_base)[taken - 1] != '\n';
    first_ = owners_[i];
    rings[first_]->release(taken);
    bytes -= taken;
  }
}

void AccessLog::Impl::dropRestOfLine() {
  AccessRing& ring = *rings[first_];
  for (const std::string_view part : ring.peek()) {
    const std::size_t newline = part.find('\n');
    ring.release(newline == std::string_view::npos ? part.size() : newline + 1);
    if (newline != std::string_view::npos) break;
  }
  midLine_ = false;
  dropped.fetch_add(1, std::memory_order_relaxed);
}

void AccessLog::Impl::dropAll() {
  std::uint64_t lines = 0;
  for (const auto& ring : rings) {
    const auto parts = ring->peek();
    // Asked after looking into the ring: a line that was pushed once there is a new sink is for
    // that.
    if (hasOrders_.load(std::memory_order_acquire)) break;
    for (const std::string_view part : parts) {
      lines += static_cast<std::uint64_t>(std::ranges::count(part, '\n'));
      ring->release(part.size());
    }
  }
  midLine_ = false;
  dropped.fetch_add(lines, std::memory_order_relaxed);
}

void AccessLog::Impl::sleepUntilLine() {
  bool idle = true;
  for (const auto& ring : rings) idle = ring->arm(1) && idle;
  if (idle) wait(kForEver, false);
  for (const auto& ring : rings) ring->disarm();
}

void AccessLog::Impl::linger() {
  if (hasOrders_.load(std::memory_order_acquire)) return;
  bool roomy = true;
  for (const auto& ring : rings) roomy = ring->arm(ring->capacity() / 2) && roomy;
  if (roomy) wait(kLingerMillis, false);
  for (const auto& ring : rings) ring->disarm();
}

// Until an order or an armed ring wakes the thread, the sink can be written (or is broken), or the
// time is over.
void AccessLog::Impl::wait(int millis, bool forSink) {
  pollfd files[2] = {{wake_.get(), POLLIN, 0}, {sink_.fd(), POLLOUT, 0}};
  ::poll(files, forSink ? 2 : 1, millis);
  if (files[0].revents == 0) return;
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t cleared = ::read(wake_.get(), &count, sizeof count);
}

// ---- the interface

AccessLog::AccessLog(std::size_t ioThreads) : impl_(std::make_unique<Impl>(ioThreads)) {
  impl_->start();
}

AccessLog::~AccessLog() { stop(); }

AccessRing& AccessLog::ring(std::size_t ioThread) { return *impl_->rings[ioThread]; }

std::string AccessLog::configure(const AccessLogConfig& config) {
  const bool wasOn = impl_->config.format != AccessLogFormat::Off;
  const bool isOn = config.format != AccessLogFormat::Off;
  if (!isOn) {
    impl_->close();
  } else if (!wasOn || config.path != impl_->config.path) {
    std::string error = impl_->open(config.path);
    if (!error.empty()) return error;
  }
  impl_->config = config;
  return {};
}

std::string AccessLog::reopen() {
  if (impl_->config.format == AccessLogFormat::Off) return {};
  return impl_->open(impl_->config.path);
}

void AccessLog::stop() { impl_->stop(); }

void AccessLog::notify(std::size_t ioThread) {
  if (impl_->rings[ioThread]->shouldWake()) impl_->wakeUp();
}

std::uint64_t AccessLog::dropped() const { return impl_->dropped.load(std::memory_order_relaxed); }

}  // namespace tidegate
