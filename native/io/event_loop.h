// The event loop of one I/O thread: epoll (edge-triggered), timers, and the lists of work that
// events leave behind: connections to flush, to go on with, and to destroy.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/intrusive_list.h"
#include "io/timer_wheel.h"

namespace tidegate {

struct FlushLink;
struct ReadyLink;
struct DisposeLink;
struct AddLink;

// What the loop calls: a connection or a listener. All calls come from the loop's thread.
class Pollable : public ListNode<FlushLink>,
                 public ListNode<ReadyLink>,
                 public ListNode<DisposeLink>,
                 public ListNode<AddLink> {
 public:
  // EPOLL* bits. May come once more in the turn in which the file was closed; ignore it then.
  virtual void onEvents(std::uint32_t events) = 0;
  // Asked for by EventLoop::flushLater() or flushAfterTurn(): write out what the event, or the
  // turn, that just ended produced.
  virtual void onFlush() {}
  // Asked for by EventLoop::goOnLater(): a fair share was used up, go on with what is left.
  virtual void onReady() {}
  // Asked for by EventLoop::addSoon(): it is time to add() its file.
  virtual void onAddDue() {}
  // Asked for by EventLoop::disposeLater(): nothing refers to it any more, give its memory back.
  virtual void onDispose() {}

 protected:
  ~Pollable() = default;
};

// A Timer that calls a member function of its owner. The owner outlives it.
template <typename Owner, void (Owner::*Fire)()>
class TimerFor final : public Timer {
 public:
  explicit TimerFor(Owner& owner) : owner_(owner) {}
  ~TimerFor() { unlink(); }

 private:
  void onTimer() override { (owner_.*Fire)(); }
  Owner& owner_;
};

// A deadline that moves with every request and fires seldom: moving it later costs one store, and
// the wheel is touched only when it comes nearer or fires too early.
template <typename Owner, void (Owner::*Expire)()>
class LazyDeadline final : public Timer {
 public:
  explicit LazyDeadline(Owner& owner) : owner_(owner) {}
  ~LazyDeadline() { unlink(); }

  // 0: no deadline.
  void set(TimerWheel& wheel, std::uint64_t whenMillis) {
    deadline_ = whenMillis;
    wheel_ = &wheel;
    if (whenMillis != 0 && (!linked() || when() > whenMillis)) wheel.schedule(*this, whenMillis);
  }
  void clear() { deadline_ = 0; }
  std::uint64_t deadline() const { return deadline_; }

 private:
  void onTimer() override {
    if (deadline_ == 0) return;
    // The wheel's time has reached when(): a later deadline means that it was moved since.
    if (deadline_ > when()) {
      wheel_->schedule(*this, deadline_);
      return;
    }
    deadline_ = 0;
    (owner_.*Expire)();
  }

  Owner& owner_;
  TimerWheel* wheel_ = nullptr;
  std::uint64_t deadline_ = 0;
};

class EventLoop {
 public:
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  bool valid() const { return epoll_ >= 0 && wake_ >= 0; }

  // Registers for reading, writing and hang-up, edge-triggered; the file stays registered until it
  // is closed. `exclusive`: one of several threads that poll the same file is woken (for shared
  // listening sockets; reading only). False with errno when the kernel refuses.
  bool add(int fd, Pollable& target, bool exclusive = false);
  // In place of add(), for what is probably closed in a moment: calls onAddDue() in one or two
  // milliseconds. Registering and forgetting a file costs as much as reading from it.
  void addSoon(Pollable& p) { added_.pushBack(&p); }
  static bool addIsDue(const Pollable& p) { return p.ListNode<AddLink>::linked(); }
  // Another target gets the events of a file that is registered. False with errno when the kernel
  // refuses.
  bool move(int fd, Pollable& target);
  void remove(int fd);

  void flushLater(Pollable& p) {
    if (!p.ListNode<FlushLink>::linked()) flush_.pushBack(&p);
  }
  // The same, after all events of the turn: for connections that many others write to.
  void flushAfterTurn(Pollable& p) {
    if (!p.ListNode<FlushLink>::linked()) turnFlush_.pushBack(&p);
  }
  void goOnLater(Pollable& p) {
    if (!p.ListNode<ReadyLink>::linked()) ready_.pushBack(&p);
  }
  void disposeLater(Pollable& p) {
    if (!p.ListNode<DisposeLink>::linked()) dispose_.pushBack(&p);
  }
  static void forget(Pollable& p) {
    p.ListNode<FlushLink>::unlink();
    p.ListNode<ReadyLink>::unlink();
    p.ListNode<AddLink>::unlink();
  }

  // Calls onFlush() of all that asked for it, also of those that ask meanwhile.
  void flushNow();
  // The same for flushAfterTurn(). A turn ends with it; whoever makes work after the turn calls it
  // again.
  void flushTurn();

  // One turn: waits for events (at most `maxWaitMillis`; -1: as long as no timer is due), handles
  // all of them, and of the timers that are due and of those that are to go on as many as keep
  // other connections' events waiting for less than a millisecond. True when another thread called
  // wake() since the last turn.
  bool turn(int maxWaitMillis = -1);

  // Any thread: makes turn() return soon.
  void wake();

  TimerWheel& timers() { return timers_; }
  // Milliseconds and microseconds of the monotonic clock, read once a turn.
  std::uint64_t nowMillis() const { return nowMillis_; }
  std::uint64_t nowMicros() const { return nowMicros_; }
  // Milliseconds since the epoch, for logs and Date.
  std::uint64_t wallMillis() const { return nowMillis() + wallOffsetMillis_; }

 private:
  static constexpr int kMaxEvents = 256;

  void readClock();
  void addWhatIsDue();
  void goOn();

  int epoll_ = -1;
  int wake_ = -1;
  std::uint64_t nowMicros_ = 0;
  std::uint64_t nowMillis_ = 0;
  std::uint64_t wallOffsetMillis_ = 0;
  std::uint64_t nextWallCheckMillis_ = 0;
  std::atomic<bool> wakeSent_{false};
  TimerWheel timers_;
  IntrusiveList<Pollable, FlushLink> flush_;
  IntrusiveList<Pollable, FlushLink> turnFlush_;
  IntrusiveList<Pollable, ReadyLink> ready_;
  IntrusiveList<Pollable, DisposeLink> dispose_;
  // Of addSoon(): since this millisecond, and since the one before.
  IntrusiveList<Pollable, AddLink> added_;
  IntrusiveList<Pollable, AddLink> addedBefore_;
  std::uint64_t addedMillis_ = 0;
};

}  // namespace tidegate
