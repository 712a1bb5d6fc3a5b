// How an I/O thread comes to a verdict: from those it keeps, from a question that is under way for
// equal inputs, or by asking a worker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "io/buffer_pool.h"
#include "io/event_loop.h"
#include "observe/stats.h"
#include "policy/calls.h"
#include "policy/descriptor.h"
#include "policy/verdict_store.h"

namespace tidegate {

class Decisions;
class Question;
struct WaiterLink;
struct QuestionLink;

// Whose verdict it is, when a request waits for one.
class DecisionWaiter : private ListNode<WaiterLink> {
 public:
  // A fetch for policies that decide about this request (and others with equal inputs).
  virtual PolicyFetch& makeFetch() = 0;
  // Such fetches tell upstreams that they may be a replay (RFC 8470 5.1), which changes what is
  // decided: by a 425, say. Once false, it stays so.
  virtual bool fetchesEarly() const = 0;
  // The end of a wait, one of the two; never from within ask(). `replayed`: it was not decided for
  // this request.
  virtual void onVerdict(VerdictRef verdict, bool replayed) = 0;
  virtual void onNoVerdict(Reason reason) = 0;

 protected:
  DecisionWaiter() = default;
  ~DecisionWaiter() = default;

 private:
  friend class Decisions;
  friend class IntrusiveList<DecisionWaiter, WaiterLink>;
  Question* question_ = nullptr;
};

// What a worker is asked once, and the requests with those inputs that wait for the answer: either
// all of them came as early data or none.
class Question final : private PolicyWaiter, private ListNode<QuestionLink> {
 private:
  friend class Decisions;
  friend class Slab<Question>;
  friend class IntrusiveList<Question, QuestionLink>;

  explicit Question(Decisions& decisions) : decisions_(decisions) {}

  std::size_t describe(PolicyCallId id, std::span<std::byte> out) override;
  PolicyFetch& makeFetch() override;
  void onVerdict(const Verdict& verdict, std::span<const std::uint8_t> bytes) override;
  void onNoVerdict(Reason reason) override;

  std::span<const std::byte> inputs() const {
    return {reinterpret_cast<const std::byte*>(inputs_.data()), inputBytes_};
  }
  VerdictKey key() const { return {chain_, hash_, inputs()}; }

  Decisions& decisions_;
  PolicyCallId call_;
  Block inputs_;
  std::size_t inputBytes_ = 0;
  std::size_t inputCount_ = 0;
  std::uint64_t hash_ = 0;  // 0 where nobody else can join
  std::uint64_t timeoutMillis_ = 0;
  std::uint32_t chain_ = 0;
  bool early_ = false;    // of those who wait: fetchesEarly() when they asked
  bool fetched_ = false;  // for its policies
  VerdictRef stale_;      // given out when this question gets no answer
  IntrusiveList<DecisionWaiter, WaiterLink> waiters_;
};

// What is asked of a chain for one request.
struct ChainInputs {
  std::uint32_t chain = 0;          // its id
  std::uint64_t timeoutMillis = 0;  // of the whole chain
  std::span<const PolicyInput> inputs;
};

// One I/O thread owns it.
class Decisions {
 public:
  Decisions(EventLoop& loop, BufferPool& pool, ThreadCounters& counters, PolicyCalls& calls,
            VerdictStore& store);
  ~Decisions();
  Decisions(const Decisions&) = delete;
  Decisions& operator=(const Decisions&) = delete;

  enum class Asked : std::uint8_t {
    Replayed,  // `verdict` is there
    Waiting,   // the waiter hears of it
    TooLarge,  // the inputs fit no channel; the waiter hears nothing
  };
  Asked ask(DecisionWaiter& waiter, const ChainInputs& chain, const InputSource& source,
            VerdictRef& verdict);
  // Nothing more is heard of a wait, if there is one.
  void cancel(DecisionWaiter& waiter);

  // These chains (sorted ids) are those of the configuration from now on.
  void retainChains(std::span<const std::uint32_t> chains);

  // Questions are forgotten; their waiters have been told by others.
  void close();

  void addTo(Reclaimer& memory) { memory.add(questions_.cells()); }

 private:
  friend class Question;

  using Waiters = IntrusiveList<DecisionWaiter, WaiterLink>;
  static constexpr std::size_t kBuckets = 256;  // of open questions

  Question& makeQuestion(std::uint32_t chain, std::uint64_t timeoutMillis, std::size_t inputCount,
                         std::span<const std::byte> inputs, bool early);
  Question* openQuestion(const VerdictKey& key, bool early);
  bool begin(Question& question);
  void answered(Question& question, const Verdict& verdict, std::span<const std::uint8_t> bytes);
  void unanswered(Question& question, Reason reason);
  void drop(Question& question);
  static void detach(Question& question, Waiters& waiters);

  EventLoop& loop_;
  BufferPool& pool_;
  ThreadCounters& counters_;
  PolicyCalls& calls_;
  VerdictStore& store_;
  std::vector<std::byte> scratch_;
  Slab<Question> questions_;
  // Under way: those that others can join by their hash, and those that nobody can.
  std::array<IntrusiveList<Question, QuestionLink>, kBuckets> open_;
  IntrusiveList<Question, QuestionLink> unshared_;
  // Chains whose last verdict was for its request only: neither looking for a kept one nor waiting
  // for somebody else's is worth it.
  std::unordered_set<std::uint32_t> unrepeatable_;
};

}  // namespace tidegate
