// One turn: wait, events, timers, files to register, what was left over, what many events wrote to,
// destruction. Flushes come after each event, so that what one event produces for a connection goes
// out in one write while it is still in cache.
#include "io/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"

namespace tidegate {

namespace {

// Timers that fire in one turn: one may end a request, which takes up to 20 µs.
constexpr std::size_t kTimersPerTurn = 32;

// What those that go on may take of a turn, unless its events have taken more.
constexpr std::uint64_t kGoOnMicros = 250;

// EPOLLOUT from the start: edge-triggered, it costs nothing until a full socket has room again, and
// saves the system calls that would switch it on and off.
constexpr std::uint32_t kConnectionEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

EventLoop::EventLoop() : nowMicros_(monotonicMicros()), timers_(nowMicros_ / 1000) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (valid()) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.ptr = nullptr;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  }
  readClock();
}

EventLoop::~EventLoop() {
  if (wake_ >= 0) close(wake_);
  if (epoll_ >= 0) close(epoll_);
}

void EventLoop::readClock() {
  nowMicros_ = monotonicMicros();
  nowMillis_ = nowMicros_ / 1000;
  // The wall clock may be set at any time; once a second is often enough for logs.
  if (nowMillis() >= nextWallCheckMillis_) {
    wallOffsetMillis_ = realtimeMillis() - nowMillis();
    nextWallCheckMillis_ = nowMillis() + 1000;
  }
}

bool EventLoop::add(int fd, Pollable& target, bool exclusive) {
  epoll_event event{};
  event.events = exclusive ? EPOLLIN | EPOLLET | EPOLLEXCLUSIVE : kConnectionEvents;
  event.data.ptr = &target;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool EventLoop::move(int fd, Pollable& target) {
  epoll_event event{};
  event.events = kConnectionEvents;
  event.data.ptr = &target;
  return epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0;
}

void EventLoop::remove(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void EventLoop::flushNow() {
  while (Pollable* p = flush_.popFront()) p->onFlush();
}

void EventLoop::flushTurn() {
  while (Pollable* p = turnFlush_.popFront()) {
    p->onFlush();
    flushNow();
  }
}

bool EventLoop::turn(int maxWaitMillis) {
  int wait = ready_.empty() ? timers_.timeoutMillis(nowMillis()) : 0;
  if (!added_.empty() || !addedBefore_.empty()) maxWaitMillis = maxWaitMillis == 0 ? 0 : 1;
  if (maxWaitMillis >= 0) wait = wait < 0 ? maxWaitMillis : std::min(wait, maxWaitMillis);

  std::array<epoll_event, kMaxEvents> events;
  const int count = epoll_wait(epoll_, events.data(), kMaxEvents, wait);
  readClock();

  bool woken = false;
  for (int i = 0; i < count; ++i) {
    auto* target = static_cast<Pollable*>(events[static_cast<std::size_t>(i)].data.ptr);
    if (target == nullptr) {
      std::uint64_t value = 0;
      [[maybe_unused]] const ssize_t n = read(wake_, &value, sizeof value);
      wakeSent_.store(false, std::memory_order_release);
      woken = true;
      continue;
    }
    target->onEvents(events[static_cast<std::size_t>(i)].events);
    flushNow();
  }

  timers_.advance(nowMillis(), kTimersPerTurn);
  addWhatIsDue();
  flushNow();

  if (!ready_.empty()) goOn();
  flushTurn();

  while (Pollable* p = dispose_.popFront()) {
    forget(*p);
    p->onDispose();
  }
  return woken;
}

void EventLoop::addWhatIsDue() {
  if (nowMillis() == addedMillis_) return;
  addedMillis_ = nowMillis();
  while (Pollable* p = addedBefore_.popFront()) p->onAddDue();
  addedBefore_.splice(added_);
}

// Only those that stood there before: who asks again waits for the next turn, so that events come
// in between; and half of the time at most where there are many.
void EventLoop::goOn() {
  IntrusiveList<Pollable, ReadyLink> ready;
  ready.splice(ready_);
  const std::uint64_t begun = monotonicMicros();
  const std::uint64_t share = std::max(kGoOnMicros, begun - nowMicros_);
  while (Pollable* p = ready.popFront()) {
    p->onReady();
    flushNow();
    if (!ready.empty() && monotonicMicros() - begun >= share) break;
  }
  // The next turn begins with those that are left.
  ready.splice(ready_);
  ready_.splice(ready);
}

void EventLoop::wake() {
  if (wakeSent_.exchange(true, std::memory_order_acq_rel)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof one);
}

}  // namespace tidegate
