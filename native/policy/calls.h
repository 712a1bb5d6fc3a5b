// The decisions that one I/O thread waits for: which worker has each of them, until when, and those
// for which no worker has room yet.
//
// A call is known by a place and a generation. A verdict names both, and one whose generation has
// passed (the call was given up, the client has gone) reaches nobody.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/intrusive_list.h"
#include "http/reason.h"
#include "io/event_loop.h"
#include "observe/stats.h"
#include "policy/channel.h"
#include "policy/fetch.h"
#include "policy/verdict.h"
#include "policy/worker_thread.h"

namespace tidegate {

struct PolicyCallId {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  std::uint32_t index = kNone;
  std::uint32_t generation = 0;

  explicit operator bool() const { return index != kNone; }
};

// Who waits for a decision. Called on the I/O thread, never from within ask().
class PolicyWaiter {
 public:
  // Writes the descriptor of the request under this number and returns its size; 0 when it does not
  // fit. Called again where a worker had no room.
  virtual std::size_t describe(PolicyCallId id, std::span<std::byte> out) = 0;
  // A fetch for the policies that decide; it is begun next.
  virtual PolicyFetch& makeFetch() = 0;
  // The end of the call, one of the two. `verdict` was decoded from `bytes`; both are borrowed for
  // the call.
  virtual void onVerdict(const Verdict& verdict, std::span<const std::uint8_t> bytes) = 0;
  virtual void onNoVerdict(Reason reason) = 0;

 protected:
  ~PolicyWaiter() = default;
};

// One I/O thread owns it.
class PolicyCalls {
 public:
  PolicyCalls(EventLoop& loop, ThreadCounters& counters);
  ~PolicyCalls();

  // Without a number when the descriptor is too large for any worker; else one of the waiter's ends
  // follows, at the latest after `timeoutMillis` and kGraceMillis.
  PolicyCallId ask(PolicyWaiter& waiter, std::uint64_t timeoutMillis);
  // Nothing more is heard of the call, which is under way. Its worker is told if there is room: it
  // may go on, and then its verdict is late.
  void cancel(PolicyCallId id);

  // What came of a fetch: its worker is told as soon as there is room. Once for each fetch.
  void reply(PolicyFetch& fetch);

  // From now on the worker is behind this channel. Calls that its predecessor had fail with
  // PolicyWorkerLost.
  void setWorker(std::size_t worker, std::shared_ptr<Channel> channel,
                 std::shared_ptr<WorkerThread> thread);

  // Each turn: hands out the verdicts that have come; false when there were none. Waiters run.
  bool receive();
  // Before the event loop waits: false when a verdict is there already.
  bool prepareToSleep();
  // At the end of a turn: wakes the workers that something was sent to.
  void flush();
  // Calls under way are forgotten (their waiters have been told by others), the channels closed.
  void close();

 private:
  // Beyond the chain's own time limit, which the worker keeps: then the worker itself is late.
  static constexpr std::uint64_t kGraceMillis = 100;
  static constexpr std::uint32_t kUnsent = ~std::uint32_t{0};

  struct WaitingLink;

  struct Call : ListNode<WaitingLink> {
    Call(PolicyCalls& calls, std::uint32_t index) : calls(calls), id{index, 0} {}
    void onTimeout() { calls.expire(*this); }

    PolicyCalls& calls;
    PolicyCallId id;
    PolicyWaiter* waiter = nullptr;  // nullptr: free
    std::uint32_t worker = kUnsent;
    // Those of which the worker has not been told yet; they end with the call.
    IntrusiveList<PolicyFetch, FetchOfCall> fetches;
    std::uint32_t fetchCount = 0;    // now
    std::uint32_t fetchesBegun = 0;  // in all
    TimerFor<Call, &Call::onTimeout> timer{*this};
  };

  struct Worker {
    std::shared_ptr<Channel> channel;
    std::shared_ptr<WorkerThread> thread;
    std::uint32_t inHands = 0;  // sent by this thread, no verdict yet
    bool unflushed = false;
    bool full = false;  // while a place for one call, or for replies, is looked for
  };

  enum class Sent : std::uint8_t { Yes, NoRoom, TooLarge };

  Sent send(Call& call);
  // Of those that have not been found full; nullptr when there is none.
  Worker* leastLoaded();
  void sendWaiting();
  bool receiveFrom(std::uint32_t worker);
  void handOut(std::uint32_t worker, std::span<const std::byte> message);
  // The call under way of that number, if this worker has it.
  Call* callOf(PolicyCallId id, std::uint32_t worker);
  void handOutFetch(std::uint32_t worker, std::span<const std::uint8_t> message);
  void takeBack(Call& call, std::uint32_t number);
  bool mayBegin(Call& call, std::uint32_t number);
  bool sendReply(PolicyFetch& fetch);
  void sendReplies();
  // Replies go before new calls.
  bool owesReplies(std::uint32_t worker);
  static void forget(Call& call, PolicyFetch& fetch);
  void lose(std::uint32_t index);
  void expire(Call& call);
  PolicyWaiter& release(Call& call);

  EventLoop& loop_;
  ThreadCounters& counters_;
  std::deque<Call> calls_;  // never moved
  std::vector<std::uint32_t> free_;
  IntrusiveList<Call, WaitingLink> waiting_;        // oldest first
  IntrusiveList<PolicyFetch, FetchReply> replies_;  // that wait for room; oldest first
  std::vector<Worker> workers_;
  std::size_t nextWorker_ = 0;  // where the search for the least loaded begins
  std::vector<std::byte> scratch_;
  VerdictDecoder decoder_;
};

}  // namespace tidegate
