// The decisions that an I/O thread waits for: who gets which verdict, and how a call ends without
// one. The test holds the workers' ends of the channels.
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "policy/calls.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

class NoBell final : public Bell {
 public:
  void ring() override {}
};

// Remembers what became of it; its reply takes so many bytes.
class Fetch final : public PolicyFetch {
 public:
  void begin(const FetchMessage& message) override { path = message.path; }
  std::size_t describe(const FetchId& id, std::span<std::byte> out) override {
    return writeFetchResponse(id, 200, "\x90", std::string(size, 'x'), out);
  }
  void onReplied() override { state = "replied"; }
  void onUnwanted() override { state = "unwanted"; }

  std::string path;
  std::string state = "under way";
  std::size_t size = 2;
};

// Remembers how its call ended.
class Waiter final : public PolicyWaiter {
 public:
  explicit Waiter(std::size_t size = 12) : size_(size) {}

  std::size_t describe(PolicyCallId id, std::span<std::byte> out) override {
    if (size_ > out.size()) return 0;
    std::memset(out.data(), 0, size_);
    std::memcpy(out.data(), &id.index, 4);
    std::memcpy(out.data() + 4, &id.generation, 4);
    return size_;
  }
  PolicyFetch& makeFetch() override { return *fetches.emplace_back(std::make_shared<Fetch>()); }
  void onVerdict(const Verdict& verdict, std::span<const std::uint8_t> bytes) override {
    CHECK(!bytes.empty());
    ended = "verdict " + std::to_string(static_cast<int>(verdict.kind));
    if (then) then();
  }
  void onNoVerdict(Reason reason) override {
    ended = reasonCode(reason);
    if (then) then();
  }

  std::string ended;
  std::function<void()> then;
  std::vector<std::shared_ptr<Fetch>> fetches;

 private:
  std::size_t size_;
};

struct Request {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
};

// What says that nobody waits for a call any more is shorter than any descriptor here.
constexpr std::uint32_t kShortestDescriptor = 12;

class Fixture {
 public:
  // A new worker at that place.
  std::shared_ptr<Channel> open(std::size_t worker, std::size_t ringBytes = Channel::kRingBytes) {
    auto channel = std::make_shared<Channel>(bell_, bell_, ringBytes);
    loads_.resize(std::max(loads_.size(), worker + 1));
    loads_[worker] = std::make_shared<WorkerThread>();
    calls.setWorker(worker, channel, loads_[worker]);
    return channel;
  }

  // What the worker finds in its ring.
  std::vector<Request> take(const std::shared_ptr<Channel>& worker) {
    calls.flush();
    std::vector<std::byte> batch(Channel::kLargestMessage + 4);
    std::vector<Request> requests;
    for (std::size_t used = 0; (used = worker->server().take(batch)) > 0;) {
      for (std::size_t at = 0; at < used;) {
        std::uint32_t length = 0;
        std::memcpy(&length, batch.data() + at, 4);
        if (length < kShortestDescriptor) {
          ++cancelled;
          at += 4 + length;
          continue;
        }
        Request& request = requests.emplace_back();
        std::memcpy(&request.index, batch.data() + at + 4, 4);
        std::memcpy(&request.generation, batch.data() + at + 8, 4);
        at += 4 + length;
      }
    }
    return requests;
  }

  void give(const std::shared_ptr<Channel>& worker, const std::string& json) {
    const std::vector<std::uint8_t> message = test::encodeJson(json);
    const auto length = static_cast<std::uint32_t>(message.size());
    std::vector<std::byte> batch(4 + message.size());
    std::memcpy(batch.data(), &length, 4);
    std::memcpy(batch.data() + 4, message.data(), message.size());
    CHECK(worker->server().give(batch) == batch.size());
    calls.receive();
  }

  void goOn(const std::shared_ptr<Channel>& worker, Request request) {
    give(worker, "[" + std::to_string(request.index) + ", " + std::to_string(request.generation) +
                     ", 0, [null, [], 0, 0, [], []], null, null, null, [], [], []]");
  }

  // Turns of the loop until the waiter's call has ended.
  void waitFor(const Waiter& waiter) {
    for (int turn = 0; waiter.ended.empty() && turn < 1000; ++turn) loop.turn(10);
  }

  std::uint32_t load(std::size_t worker) const { return loads_[worker]->load; }

  void addLoad(std::size_t worker, std::uint32_t requests) { loads_[worker]->load += requests; }

  std::size_t cancelled = 0;  // what workers were told of calls that nobody waits for

  EventLoop loop;
  ThreadCounters counters;
  PolicyCalls calls{loop, counters};

 private:
  std::shared_ptr<Bell> bell_ = std::make_shared<NoBell>();
  std::vector<std::shared_ptr<WorkerThread>> loads_;
};

TEST("a verdict reaches the call that it names, and that one only") {
  Fixture f;
  const auto worker = f.open(0);
  Waiter first;
  Waiter second;
  REQUIRE(static_cast<bool>(f.calls.ask(first, 1000)));
  REQUIRE(static_cast<bool>(f.calls.ask(second, 1000)));
  const std::vector<Request> requests = f.take(worker);
  REQUIRE_EQ(requests.size(), 2);
  f.goOn(worker, requests[1]);
  CHECK_EQ(second.ended, "verdict 0");
  CHECK_EQ(first.ended, "");
  f.goOn(worker, requests[0]);
  CHECK_EQ(first.ended, "verdict 0");
  CHECK_EQ(f.load(0), 0);
}

TEST("a verdict on a call that has ended reaches nobody, also where its place was taken again") {
  Fixture f;
  const auto worker = f.open(0);
  Waiter gone;
  f.calls.cancel(f.calls.ask(gone, 1000));
  const std::vector<Request> old = f.take(worker);
  REQUIRE_EQ(old.size(), 1);
  Waiter next;
  CHECK_EQ(f.calls.ask(next, 1000).index, old[0].index);
  f.goOn(worker, old[0]);
  CHECK_EQ(gone.ended, "");
  CHECK_EQ(next.ended, "");
  CHECK_EQ(f.counters.policyLateVerdicts.get(), 1);
  f.give(worker, "[4000000000, 0, 0, [null, [], 0, 0, [], []], null, null, null, [], [], []]");
  CHECK_EQ(f.counters.policyLateVerdicts.get(), 2);
}

TEST("a worker cannot decide what another one has") {
  Fixture f;
  const auto first = f.open(0);
  const auto second = f.open(1);
  Waiter a;
  Waiter b;
  f.calls.ask(a, 1000);
  f.calls.ask(b, 1000);
  const std::vector<Request> ofFirst = f.take(first);
  REQUIRE_EQ(ofFirst.size(), 1);
  f.goOn(second, ofFirst[0]);
  CHECK_EQ(a.ended + b.ended, "");
  f.goOn(first, ofFirst[0]);
  CHECK_EQ(a.ended + b.ended, "verdict 0");
}

TEST("requests go to the worker that has the fewest in its hands") {
  Fixture f;
  const auto first = f.open(0);
  const auto second = f.open(1);
  std::vector<Waiter> waiters(6);
  for (Waiter& waiter : waiters) f.calls.ask(waiter, 1000);
  CHECK_EQ(f.load(0), 3);
  CHECK_EQ(f.load(1), 3);
  for (const Request& request : f.take(second)) f.goOn(second, request);
  std::vector<Waiter> more(3);
  for (Waiter& waiter : more) f.calls.ask(waiter, 1000);
  CHECK_EQ(f.load(0), 3);
  CHECK_EQ(f.load(1), 3);
}

TEST("a verdict that cannot be read fails the call that it names") {
  Fixture f;
  const auto worker = f.open(0);
  Waiter waiter;
  Waiter other;
  f.calls.ask(waiter, 1000);
  f.calls.ask(other, 1000);
  const std::vector<Request> requests = f.take(worker);
  const std::string id =
      std::to_string(requests[0].index) + ", " + std::to_string(requests[0].generation);
  f.give(
      worker,
      "[" + id + R"(, 0, [null, [], 0, 0, [], []], null, null, null, [], [0, "host", "x"], []])");
  CHECK_EQ(waiter.ended, "policy_failed");
  f.give(worker, R"("nonsense")");
  CHECK_EQ(f.counters.policyBadVerdicts.get(), 2);
  CHECK_EQ(other.ended, "");
}

TEST("without a verdict in time a call ends by itself, and says whether a worker had it") {
  Fixture f;
  Waiter unsent;
  f.calls.ask(unsent, 1);
  f.waitFor(unsent);
  CHECK_EQ(unsent.ended, "policy_unavailable");
  const auto worker = f.open(0);
  Waiter sent;
  f.calls.ask(sent, 1);
  f.waitFor(sent);
  CHECK_EQ(sent.ended, "policy_timeout");
  const std::vector<Request> requests = f.take(worker);
  REQUIRE_EQ(requests.size(), 1);
  f.goOn(worker, requests[0]);
  CHECK_EQ(f.counters.policyLateVerdicts.get(), 1);
}

TEST("what finds no room waits its turn, and goes out when there is some") {
  Fixture f;
  const auto worker = f.open(0, 4096);
  std::vector<Waiter> waiters(40, Waiter(500));
  for (Waiter& waiter : waiters) REQUIRE(static_cast<bool>(f.calls.ask(waiter, 10'000)));
  std::vector<Request> seen;
  for (int round = 0; round < 100 && seen.size() < waiters.size(); ++round) {
    for (const Request& request : f.take(worker)) seen.push_back(request);
    f.calls.receive();
  }
  REQUIRE_EQ(seen.size(), waiters.size());
  for (std::uint32_t i = 0; i < seen.size(); ++i) CHECK_EQ(seen[i].index, i);
}

TEST("a descriptor that no worker could take is refused at once") {
  Fixture f;
  const auto worker = f.open(0);
  Waiter waiter(Channel::kLargestMessage + 1);
  CHECK(!f.calls.ask(waiter, 1000));
  CHECK_EQ(waiter.ended, "");
  Waiter largest(Channel::kLargestMessage);
  CHECK(static_cast<bool>(f.calls.ask(largest, 1000)));
  CHECK_EQ(f.take(worker).size(), 1);
}

TEST(
    "when a worker goes, the calls in its hands fail and no other, and what it gave still counts") {
  Fixture f;
  const auto first = f.open(0);
  const auto second = f.open(1);
  std::vector<Waiter> waiters(4);
  for (Waiter& waiter : waiters) f.calls.ask(waiter, 1000);
  const std::vector<Request> requests = f.take(first);
  REQUIRE_EQ(requests.size(), 2);
  // Asked again from within: the worker that is left gets it.
  Waiter again;
  waiters[requests[1].index].then = [&] { f.calls.ask(again, 1000); };
  f.goOn(first, requests[0]);
  first->server().close();
  f.calls.receive();
  CHECK_EQ(waiters[requests[0].index].ended, "verdict 0");
  CHECK_EQ(waiters[requests[1].index].ended, "policy_worker_lost");
  CHECK_EQ(f.take(second).size(), 3);
  CHECK_EQ(again.ended, "");
}

TEST("a worker that takes another's place gets what has been waiting") {
  Fixture f;
  Waiter waiter;
  f.calls.ask(waiter, 1000);
  const auto worker = f.open(0);
  CHECK_EQ(f.take(worker).size(), 1);
  const auto successor = f.open(0);
  CHECK_EQ(waiter.ended, "policy_worker_lost");
  CHECK(worker->server().clientGone());
  Waiter next;
  f.calls.ask(next, 1000);
  CHECK_EQ(f.take(successor).size(), 1);
}

TEST("a worker is told when nobody waits for its verdict any more, and one that has none is not") {
  Fixture f;
  const auto worker = f.open(0);
  Waiter waiter;
  const PolicyCallId id = f.calls.ask(waiter, 1000);
  CHECK_EQ(f.take(worker).size(), 1);
  f.calls.cancel(id);
  CHECK_EQ(f.take(worker).size(), 0);
  CHECK_EQ(f.cancelled, 1);
  Fixture none;
  none.calls.cancel(none.calls.ask(waiter, 1000));
  const auto late = none.open(0);
  CHECK_EQ(none.take(late).size(), 0);
  CHECK_EQ(none.cancelled, 0);
}

TEST("where the least loaded worker has no room, another one is asked") {
  Fixture f;
  const auto small = f.open(0, 4096);
  const auto large = f.open(1);
  // The large one has more to do, by what others gave it.
  f.addLoad(1, 100);
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (int i = 0; i < 40; ++i) {
    waiters.push_back(std::make_unique<Waiter>(std::size_t{200}));
    REQUIRE(static_cast<bool>(f.calls.ask(*waiters.back(), 1000)));
  }
  const std::size_t first = f.take(small).size();
  CHECK(first > 0 && first < 40);
  CHECK_EQ(f.take(large).size(), 40 - first);
  f.calls.close();
}

// As a worker begins one.
std::string beginning(Request request, int number, const std::string& path = "/") {
  return "[" + std::to_string(request.index) + ", " + std::to_string(request.generation) + ", 5, " +
         std::to_string(number) + R"(, "orders", "GET", ")" + path + R"(", null, [], null, null])";
}

std::string takingBack(Request request, int number) {
  return "[" + std::to_string(request.index) + ", " + std::to_string(request.generation) + ", 5, " +
         std::to_string(number) + "]";
}

// A call in the worker's hands, and the worker.
struct Asked {
  explicit Asked(std::size_t ringBytes = Channel::kRingBytes) : worker(f.open(0, ringBytes)) {
    f.calls.ask(waiter, 1000);
    const std::vector<Request> requests = f.take(worker);
    if (requests.size() == 1) request = requests[0];
  }
  void begin(int number, const std::string& path = "/") {
    f.give(worker, beginning(request, number, path));
  }
  std::string state(std::size_t fetch) const { return waiter.fetches[fetch]->state; }
  // Bytes of all messages that are in the worker's ring.
  std::size_t takeBytes() {
    f.calls.flush();
    std::vector<std::byte> batch(Channel::kLargestMessage + 4);
    std::size_t bytes = 0;
    for (std::size_t used = 0; (used = worker->server().take(batch)) > 0;) bytes += used;
    return bytes;
  }

  Waiter waiter;  // outlives the calls
  Fixture f;
  std::shared_ptr<Channel> worker;
  Request request;
};

TEST("a fetch belongs to the call that it names, whose worker hears what came of it") {
  Asked a;
  a.begin(1, "/a");
  a.begin(2, "/b");
  REQUIRE_EQ(a.waiter.fetches.size(), 2);
  CHECK_EQ(a.waiter.fetches[1]->path, "/b");
  a.f.calls.reply(*a.waiter.fetches[1]);
  CHECK_EQ(a.state(0) + ", " + a.state(1), "under way, replied");
  CHECK(a.takeBytes() > 0);
  CHECK_EQ(a.f.load(0), 1);  // a fetch is no verdict
  a.f.goOn(a.worker, a.request);
  CHECK_EQ(a.waiter.ended, "verdict 0");
  CHECK_EQ(a.state(0) + ", " + a.state(1), "unwanted, replied");
  CHECK_EQ(a.f.counters.policyFetches.get(), 2);
}

TEST("fetches end with their call, however it ends") {
  const std::vector<std::pair<std::string, std::function<void(Asked&)>>> ends = {
      {"", [](Asked& a) { a.f.calls.cancel({a.request.index, a.request.generation}); }},
      {"policy_timeout", [](Asked& a) { a.f.waitFor(a.waiter); }},
      {"policy_worker_lost", [](Asked& a) { a.f.open(0); }},
      {"policy_failed",
       [](Asked& a) {
         a.f.give(a.worker, "[" + std::to_string(a.request.index) + ", " +
                                std::to_string(a.request.generation) + ", 5, 2, 3]");
       }},
  };
  for (const auto& [ended, end] : ends) {
    Asked a;
    a.begin(1);
    REQUIRE_EQ(a.waiter.fetches.size(), 1);
    end(a);
    CHECK_EQ(a.waiter.ended, ended);
    CHECK_EQ(a.state(0), "unwanted");
    // What its worker still says of it reaches nobody.
    a.f.give(a.worker, takingBack(a.request, 1));
    a.begin(3);
    CHECK_EQ(a.waiter.fetches.size(), 1);
  }
}

TEST("a worker takes a fetch back, and not another one") {
  Asked a;
  a.begin(1);
  a.begin(2);
  a.f.give(a.worker, takingBack(a.request, 2));
  a.f.give(a.worker, takingBack(a.request, 7));
  CHECK_EQ(a.state(0) + ", " + a.state(1), "under way, unwanted");
  CHECK_EQ(a.waiter.ended, "");
  a.begin(2);
  CHECK_EQ(a.waiter.fetches.size(), 3);
}

TEST("a worker cannot fetch for a call of another one") {
  Asked a;
  const auto other = a.f.open(1);
  a.f.give(other, beginning(a.request, 1));
  CHECK(a.waiter.fetches.empty());
  a.begin(1);
  a.f.give(other, takingBack(a.request, 1));
  CHECK_EQ(a.state(0), "under way");
}

TEST("a call has 8 fetches at once, 64 in all, and no number twice; more end it") {
  Asked many;
  for (int i = 0; i < 8; ++i) many.begin(i);
  CHECK_EQ(many.waiter.ended, "");
  many.begin(8);
  CHECK_EQ(many.waiter.ended, "policy_failed");
  CHECK_EQ(many.waiter.fetches.size(), 8);
  CHECK_EQ(many.state(7), "unwanted");

  Asked twice;
  twice.begin(1);
  twice.begin(1);
  CHECK_EQ(twice.waiter.ended, "policy_failed");

  Asked all;
  for (int i = 0; i < 64; ++i) {
    all.begin(i);
    all.f.calls.reply(*all.waiter.fetches.back());
  }
  CHECK_EQ(all.waiter.ended, "");
  all.begin(64);
  CHECK_EQ(all.waiter.ended, "policy_failed");
}

TEST("a reply that finds no room waits, before new calls, and goes out when there is some") {
  Asked a(8192);
  for (int i = 0; i < 8; ++i) {
    a.begin(i);
    a.waiter.fetches.back()->size = 1900;
  }
  for (const auto& fetch : a.waiter.fetches) a.f.calls.reply(*fetch);
  CHECK_EQ(a.state(0), "replied");
  CHECK_EQ(a.state(7), "under way");
  Waiter next;
  a.f.calls.ask(next, 1000);
  std::size_t bytes = 0;
  for (int round = 0; round < 10 && a.state(7) != "replied"; ++round) {
    bytes += a.takeBytes();
    a.f.calls.receive();
  }
  for (std::size_t i = 0; i < 8; ++i) CHECK_EQ(a.state(i), "replied");
  CHECK(bytes + a.takeBytes() > 8 * 1900);
  a.f.calls.receive();
  a.f.goOn(a.worker, {a.request.index, a.request.generation});
  CHECK_EQ(a.waiter.ended, "verdict 0");
  a.f.calls.close();
}

TEST("a reply that waits is dropped with its call") {
  Asked a(8192);
  for (int i = 0; i < 8; ++i) {
    a.begin(i);
    a.waiter.fetches.back()->size = 1900;
  }
  for (const auto& fetch : a.waiter.fetches) a.f.calls.reply(*fetch);
  a.f.open(0);
  CHECK_EQ(a.waiter.ended, "policy_worker_lost");
  CHECK_EQ(a.state(7), "unwanted");
  CHECK(!a.f.calls.receive());
}

TEST("of a reply that is too large its worker hears that it is") {
  Asked a;
  a.begin(1);
  a.waiter.fetches[0]->size = Channel::kLargestMessage;
  a.f.calls.reply(*a.waiter.fetches[0]);
  CHECK_EQ(a.state(0), "replied");
  const std::size_t bytes = a.takeBytes();
  CHECK(bytes > 0 && bytes < 200);
}

}  // namespace
}  // namespace tidegate
