// How an I/O thread comes to a verdict: asked once for equal inputs, replayed as long as it holds,
// the last good one while nobody can decide anew.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "policy/decisions.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

class NoBell final : public Bell {
 public:
  void ring() override {}
};

// Of which nothing comes.
class NoFetch final : public PolicyFetch {
 public:
  void begin(const FetchMessage&) override {}
  std::size_t describe(const FetchId&, std::span<std::byte>) override { return 0; }
  void onReplied() override {}
  void onUnwanted() override { unwanted = true; }

  bool unwanted = false;
};

class Waiter final : public DecisionWaiter {
 public:
  PolicyFetch& makeFetch() override { return fetch; }
  bool fetchesEarly() const override { return early; }
  void onVerdict(VerdictRef verdict, bool replayed) override {
    ended = std::string(verdict->consumer) + (replayed ? " replayed" : " decided");
    if (then) then();
  }
  void onNoVerdict(Reason reason) override {
    ended = reasonCode(reason);
    if (then) then();
  }

  std::string ended;
  std::function<void()> then;
  NoFetch fetch;
  bool early = false;
};

struct Call {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  std::string path;
};

class Fixture {
 public:
  Fixture() {
    inputs_.push_back({InputKind::Path, "", FieldId::Other, {}});
    calls.setWorker(0, worker_, std::make_shared<WorkerThread>());
  }

  // "waiting", or the consumer of what was there.
  std::string ask(Waiter& waiter, std::string_view path, std::uint64_t timeout = 1000) {
    InputSource source;
    source.path = path;
    VerdictRef verdict;
    switch (decisions.ask(waiter, {3, timeout, inputs_}, source, verdict)) {
      case Decisions::Asked::Replayed:
        return std::string(verdict->consumer);
      case Decisions::Asked::Waiting:
        return "waiting";
      case Decisions::Asked::TooLarge:
        return "too large";
    }
    return "";
  }

  // What the worker has been asked since the last time.
  std::vector<Call> take() {
    calls.flush();
    std::vector<std::byte> batch(Channel::kLargestMessage + 4);
    std::vector<Call> taken;
    for (std::size_t used = 0; (used = worker_->server().take(batch)) > 0;) {
      for (std::size_t at = 0; at < used;) {
        std::uint32_t length = 0;
        std::memcpy(&length, batch.data() + at, 4);
        MsgpackReader reader(
            {reinterpret_cast<const std::uint8_t*>(batch.data()) + at + 4, length});
        std::uint32_t count = 0;
        std::uint64_t index = 0;
        std::uint64_t generation = 0;
        std::uint64_t chain = 0;
        std::string_view path;
        CHECK(reader.array(count));
        at += 4 + length;
        if (count == 2) continue;  // nobody waits for that call any more
        CHECK_EQ(count, 4);
        CHECK(reader.unsignedInteger(index) && reader.unsignedInteger(generation));
        CHECK(reader.unsignedInteger(chain) && chain == 3 && reader.text(path));
        taken.push_back({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(generation),
                         std::string(path)});
      }
    }
    return taken;
  }

  void give(const Call& call, const std::string& rest) {
    const std::vector<std::uint8_t> message = test::encodeJson(
        "[" + std::to_string(call.index) + ", " + std::to_string(call.generation) + ", " + rest);
    const auto length = static_cast<std::uint32_t>(message.size());
    std::vector<std::byte> batch(4 + message.size());
    std::memcpy(batch.data(), &length, 4);
    std::memcpy(batch.data() + 4, message.data(), message.size());
    CHECK(worker_->server().give(batch) == batch.size());
    calls.receive();
  }
  void goOn(const Call& call, const std::string& consumer, int replay = 0, int stale = 0) {
    give(call, "0, [\"" + consumer + "\", [], " + std::to_string(replay) + ", " +
                   std::to_string(stale) + ", [], []], null, null, null, [], [], []]");
  }
  // Its policies begin one.
  void fetch(const Call& call) {
    give(call, R"(5, 1, "orders", "GET", "/", null, [], null, null])");
  }
  void failed(const Call& call) { give(call, R"(3, [null, [], 0, 0, [], []], 0, "p"])"); }

  // Until a kept verdict of that many ms has had its time.
  void pass(std::uint64_t millis) {
    const std::uint64_t until = loop.nowMillis() + millis;
    while (loop.nowMillis() <= until) loop.turn(1);
  }
  void waitFor(const Waiter& waiter) {
    for (int turn = 0; waiter.ended.empty() && turn < 1000; ++turn) loop.turn(10);
  }

  EventLoop loop;
  BufferPool pool;
  ThreadCounters counters;
  PolicyCalls calls{loop, counters};
  VerdictStore store{std::size_t{1} << 20, SipKey{1, 2}};
  Decisions decisions{loop, pool, counters, calls, store};

 private:
  std::shared_ptr<Bell> bell_ = std::make_shared<NoBell>();
  std::shared_ptr<Channel> worker_ = std::make_shared<Channel>(bell_, bell_);
  std::vector<PolicyInput> inputs_;
};

TEST("a verdict that may be replayed is decided once, and given to equal inputs at once") {
  Fixture f;
  Waiter first;
  CHECK_EQ(f.ask(first, "/a"), "waiting");
  const std::vector<Call> asked = f.take();
  REQUIRE_EQ(asked.size(), 1);
  f.goOn(asked[0], "ann", 1'000'000);
  CHECK_EQ(first.ended, "ann decided");
  Waiter second;
  CHECK_EQ(f.ask(second, "/a"), "ann");
  CHECK_EQ(f.ask(second, "/b"), "waiting");
  CHECK_EQ(f.take().size(), 1);
  CHECK_EQ(f.counters.policyReplays.get(), 1);
  f.decisions.cancel(second);
}

TEST("a verdict without replay is for its request only") {
  Fixture f;
  for (int i = 0; i < 3; ++i) {
    Waiter waiter;
    CHECK_EQ(f.ask(waiter, "/a"), "waiting");
    const std::vector<Call> asked = f.take();
    REQUIRE_EQ(asked.size(), 1);
    f.goOn(asked[0], "ann");
    CHECK_EQ(waiter.ended, "ann decided");
  }
  CHECK_EQ(f.store.count(), 0);
}

TEST("requests with equal inputs wait for one decision") {
  Fixture f;
  std::vector<Waiter> waiters(5);
  for (Waiter& waiter : waiters) CHECK_EQ(f.ask(waiter, "/a"), "waiting");
  const std::vector<Call> asked = f.take();
  REQUIRE_EQ(asked.size(), 1);
  f.goOn(asked[0], "ann", 1'000'000);
  CHECK_EQ(waiters[0].ended, "ann decided");
  for (std::size_t i = 1; i < waiters.size(); ++i) CHECK_EQ(waiters[i].ended, "ann replayed");
}

TEST("where the verdict was for one of them, the others are asked about by themselves") {
  Fixture f;
  std::vector<Waiter> waiters(3);
  for (Waiter& waiter : waiters) CHECK_EQ(f.ask(waiter, "/a"), "waiting");
  std::vector<Call> asked = f.take();
  REQUIRE_EQ(asked.size(), 1);
  f.goOn(asked[0], "ann");
  CHECK_EQ(waiters[0].ended, "ann decided");
  CHECK_EQ(waiters[1].ended, "");
  asked = f.take();
  REQUIRE_EQ(asked.size(), 2);
  f.goOn(asked[1], "cid");
  f.goOn(asked[0], "bob");
  CHECK_EQ(waiters[1].ended, "bob decided");
  CHECK_EQ(waiters[2].ended, "cid decided");
  // From now on nobody waits for somebody else's.
  std::vector<Waiter> more(2);
  for (Waiter& waiter : more) CHECK_EQ(f.ask(waiter, "/a"), "waiting");
  asked = f.take();
  REQUIRE_EQ(asked.size(), 2);
  // Until one may be replayed again.
  f.goOn(asked[0], "dan", 1'000'000);
  f.goOn(asked[1], "dan", 1'000'000);
  Waiter last;
  CHECK_EQ(f.ask(last, "/a"), "dan");
}

TEST("early data is decided apart from what is none, and each from its like at once") {
  Fixture f;
  std::vector<Waiter> waiters(6);
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    waiters[i].early = i % 2 == 0;
    CHECK_EQ(f.ask(waiters[i], "/a"), "waiting");
  }
  const std::vector<Call> asked = f.take();
  REQUIRE_EQ(asked.size(), 2);
  f.goOn(asked[0], "early", 1'000'000);
  CHECK_EQ(waiters[0].ended, "early decided");
  CHECK_EQ(waiters[4].ended, "early replayed");
  CHECK_EQ(waiters[1].ended, "");
  f.goOn(asked[1], "late", 1'000'000);
  CHECK_EQ(waiters[1].ended, "late decided");
  CHECK_EQ(waiters[5].ended, "late replayed");
}

TEST("a verdict for early data is kept where nobody was asked about that") {
  for (const bool fetches : {false, true}) {
    Fixture f;
    std::vector<Waiter> waiters(2);
    for (Waiter& waiter : waiters) {
      waiter.early = true;
      CHECK_EQ(f.ask(waiter, "/a"), "waiting");
    }
    const std::vector<Call> asked = f.take();
    REQUIRE_EQ(asked.size(), 1);
    if (fetches) f.fetch(asked[0]);
    f.goOn(asked[0], "ann", 1'000'000);
    for (const Waiter& waiter : waiters) CHECK(waiter.ended.starts_with("ann "));
    CHECK_EQ(f.store.count(), fetches ? 0u : 1u);
    Waiter next;
    CHECK_EQ(f.ask(next, "/a"), fetches ? "waiting" : "ann");
    f.decisions.cancel(next);
  }
}

TEST("a verdict that is no longer fresh serves while deciding anew fails") {
  Fixture f;
  Waiter first;
  CHECK_EQ(f.ask(first, "/a"), "waiting");
  f.goOn(f.take().at(0), "ann", 1, 1'000'000);
  f.pass(2);
  for (const char* how : {"failed", "late"}) {
    std::vector<Waiter> waiters(2);
    for (Waiter& waiter : waiters) CHECK_EQ(f.ask(waiter, "/a", 1), "waiting");
    const std::vector<Call> asked = f.take();
    REQUIRE_EQ(asked.size(), 1);
    if (std::string_view(how) == "failed") {
      f.failed(asked[0]);
    } else {
      f.waitFor(waiters[1]);
    }
    for (const Waiter& waiter : waiters) CHECK_EQ(waiter.ended, "ann replayed");
  }
  // A new one takes its place.
  Waiter anew;
  CHECK_EQ(f.ask(anew, "/a"), "waiting");
  f.goOn(f.take().at(0), "bob", 1'000'000);
  CHECK_EQ(anew.ended, "bob decided");
  CHECK_EQ(f.ask(anew, "/a"), "bob");
}

TEST("without a stale verdict, all who wait hear of the failure, and it is not kept") {
  Fixture f;
  std::vector<Waiter> waiters(2);
  for (Waiter& waiter : waiters) CHECK_EQ(f.ask(waiter, "/a", 1), "waiting");
  f.waitFor(waiters[1]);
  for (const Waiter& waiter : waiters) CHECK_EQ(waiter.ended, "policy_timeout");
  CHECK_EQ(f.take().size(), 1);
  Waiter next;
  CHECK_EQ(f.ask(next, "/a"), "waiting");
  CHECK_EQ(f.take().size(), 1);
  f.decisions.cancel(next);
}

TEST("who no longer waits hears nothing, and the last one takes the question along") {
  Fixture f;
  Waiter gone;
  Waiter stays;
  CHECK_EQ(f.ask(gone, "/a"), "waiting");
  CHECK_EQ(f.ask(stays, "/a"), "waiting");
  std::vector<Call> asked = f.take();
  f.decisions.cancel(gone);
  f.goOn(asked.at(0), "ann", 1'000'000);
  CHECK_EQ(gone.ended, "");
  CHECK_EQ(stays.ended, "ann decided");

  Waiter only;
  CHECK_EQ(f.ask(only, "/b"), "waiting");
  asked = f.take();
  f.decisions.cancel(only);
  f.goOn(asked.at(0), "bob", 1'000'000);
  CHECK_EQ(f.counters.policyLateVerdicts.get(), 1);
  CHECK_EQ(f.ask(only, "/b"), "waiting");
  f.decisions.cancel(only);
}

TEST("the end of one wait may end or begin others") {
  Fixture f;
  std::vector<Waiter> waiters(4);
  Waiter again;
  for (Waiter& waiter : waiters) CHECK_EQ(f.ask(waiter, "/a"), "waiting");
  waiters[0].then = [&] { f.decisions.cancel(waiters[2]); };
  waiters[1].then = [&] { CHECK_EQ(f.ask(again, "/b"), "waiting"); };
  f.goOn(f.take().at(0), "ann", 1'000'000);
  CHECK_EQ(waiters[1].ended, "ann replayed");
  CHECK_EQ(waiters[2].ended, "");
  CHECK_EQ(waiters[3].ended, "ann replayed");
  f.goOn(f.take().at(0), "bob");
  CHECK_EQ(again.ended, "bob decided");
}

TEST("verdicts of chains that the configuration no longer has are gone") {
  Fixture f;
  Waiter waiter;
  CHECK_EQ(f.ask(waiter, "/a"), "waiting");
  f.goOn(f.take().at(0), "ann", 1'000'000);
  const std::vector<std::uint32_t> kept = {3};
  f.decisions.retainChains(kept);
  CHECK_EQ(f.ask(waiter, "/a"), "ann");
  f.decisions.retainChains({});
  CHECK_EQ(f.ask(waiter, "/a"), "waiting");
  f.decisions.cancel(waiter);
}

TEST("inputs that fit no channel are refused at once") {
  Fixture f;
  Waiter waiter;
  CHECK_EQ(f.ask(waiter, std::string(Channel::kLargestMessage, 'a')), "too large");
  CHECK_EQ(f.ask(waiter, std::string(Channel::kLargestMessage - 7, 'a')), "too large");
  CHECK_EQ(waiter.ended, "");
}

}  // namespace
}  // namespace tidegate
