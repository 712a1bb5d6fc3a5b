#include "policy/channel.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"

namespace tidegate {
namespace {

#if defined(__SANITIZE_THREAD__)
#define TIDEGATE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TIDEGATE_TSAN 1
#endif
#endif
#ifdef TIDEGATE_TSAN
constexpr std::uint32_t kMessages = 50'000;
#else
constexpr std::uint32_t kMessages = 1'000'000;
#endif

// A lost wake-up shows as a wait that is not over after this long.
constexpr std::chrono::seconds kWatchdog{60};

class TestBell final : public Bell {
 public:
  void ring() override {
    const std::lock_guard lock(mutex_);
    ++rings_;
    rung_ = true;
    condition_.notify_one();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    const bool rung = condition_.wait_for(lock, kWatchdog, [this] { return rung_; });
    rung_ = false;
    return rung;
  }
  int rings() {
    const std::lock_guard lock(mutex_);
    return rings_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
  int rings_ = 0;
};

struct World {
  explicit World(std::size_t ringBytes = ByteRing::kSmallest)
      : channel(std::make_shared<Channel>(clientBell, serverBell, ringBytes)),
        into(ByteRing::largestMessage(ringBytes) + 4) {}

  ChannelClient& client() { return channel->client(); }
  ChannelServer& server() { return channel->server(); }

  std::shared_ptr<TestBell> clientBell = std::make_shared<TestBell>();
  std::shared_ptr<TestBell> serverBell = std::make_shared<TestBell>();
  std::shared_ptr<Channel> channel;
  std::vector<std::byte> into;
};

void append(std::vector<std::byte>& batch, std::uint32_t length, std::size_t bytes) {
  const std::size_t at = batch.size();
  batch.resize(at + 4 + bytes, std::byte{'v'});
  std::memcpy(batch.data() + at, &length, 4);
}

std::size_t receiveAll(ChannelClient& client) {
  return client.receive([](std::span<const std::byte>) {}, 1'000'000);
}

// Message `number`: its number, then bytes that follow from it.
std::size_t fill(std::uint32_t number, std::span<std::byte> out) {
  const std::size_t size = 4 + number * 2'654'435'761U % (out.size() < 256 ? 60 : 250);
  for (std::size_t i = 4; i < size; ++i) out[i] = static_cast<std::byte>(number + i);
  std::memcpy(out.data(), &number, 4);
  return size;
}

bool isMessage(std::uint32_t number, std::span<const std::byte> message) {
  std::byte expected[256];
  const std::size_t size = fill(number, expected);
  return message.size() == size && std::memcmp(message.data(), expected, size) == 0;
}

// Gives back what it takes until the client is gone.
void echo(World& world) {
  ChannelServer& server = world.server();
  while (!server.clientGone()) {
    const std::size_t used = server.take(world.into);
    std::span<const std::byte> batch(world.into.data(), used);
    while (!batch.empty()) {
      const auto taken = server.give(batch);
      if (!taken) {
        CHECK(taken.has_value());
        return;
      }
      batch = batch.subspan(*taken);
      if (!batch.empty() && !world.serverBell->wait()) {
        CHECK(!"the server is told of room");
        return;
      }
    }
    if (used == 0 && server.trySleep() && !server.clientGone() && !world.serverBell->wait()) {
      CHECK(!"the server is woken");
      return;
    }
  }
}

void moveMessages(std::size_t ringBytes, std::uint32_t inFlight, std::uint32_t messages) {
  World world(ringBytes);
  std::thread worker([&world] { echo(world); });
  ChannelClient& client = world.client();
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  std::uint32_t wrong = 0;
  std::byte message[256];
  while (received < messages) {
    while (sent < messages && sent - received < inFlight) {
      if (!client.send({message, fill(sent, message)})) break;
      ++sent;
    }
    client.flush();
    const std::size_t count = client.receive(
        [&](std::span<const std::byte> bytes) { wrong += isMessage(received++, bytes) ? 0 : 1; },
        256);
    if (count == 0 && client.trySleep() && !world.clientBell->wait()) {
      CHECK(!"the client is woken");
      break;
    }
  }
  client.close();
  worker.join();
  CHECK_EQ(wrong, 0U);
  CHECK_EQ(received, messages);
}

TEST("channel: two threads, rings that are always full: every message arrives, whole, in order") {
  moveMessages(ByteRing::kSmallest, 1'000'000, kMessages);
}

TEST("channel: two threads, large rings: every message arrives, whole, in order") {
  moveMessages(Channel::kRingBytes, 1'000'000, kMessages);
}

TEST("channel: two threads that sleep after each message: no wake-up is lost") {
  moveMessages(ByteRing::kSmallest, 1, kMessages / 50);
}

TEST("channel: a turn rings once, and only for a worker that sleeps") {
  World world;
  const std::byte message[10]{};
  CHECK(world.client().send(message));
  world.client().flush();
  CHECK_EQ(world.serverBell->rings(), 0);
  CHECK_EQ(world.server().take(world.into), 14U);
  CHECK(world.server().trySleep());
  CHECK(world.client().send(message));
  CHECK(world.client().send(message));
  CHECK_EQ(world.server().take(world.into), 0U);
  world.client().flush();
  world.client().flush();
  CHECK_EQ(world.serverBell->rings(), 1);
  CHECK_EQ(world.server().take(world.into), 28U);
}

TEST("channel: a batch with a wrong length is refused from there on") {
  const auto largest = static_cast<std::uint32_t>(ByteRing::largestMessage(ByteRing::kSmallest));
  struct Case {
    std::uint32_t length;
    std::size_t bytes;
  };
  for (const Case& bad : {Case{0, 0}, Case{0, 8}, Case{100, 8}, Case{largest + 1, largest + 1},
                          Case{0xffffffff, 8}, Case{0xfffffffc, 8}}) {
    World world;
    std::vector<std::byte> batch;
    append(batch, 5, 5);
    append(batch, bad.length, bad.bytes);
    append(batch, 5, 5);
    CHECK(!world.server().give(batch).has_value());
    CHECK_EQ(receiveAll(world.client()), 1U);
  }
  for (std::size_t cut = 1; cut < 4; ++cut) {
    World world;
    std::vector<std::byte> batch;
    append(batch, 5, 5);
    batch.resize(9 + cut, std::byte{1});
    CHECK(!world.server().give(batch).has_value());
    CHECK_EQ(receiveAll(world.client()), 1U);
  }
}

TEST("channel: what does not fit stays with the worker, which is told of room") {
  World world;
  std::vector<std::byte> batch;
  for (int i = 0; i < 6; ++i) append(batch, 1000, 1000);
  const auto taken = world.server().give(batch);
  REQUIRE(taken.has_value());
  CHECK_EQ(*taken, 4 * 1004U);
  CHECK_EQ(receiveAll(world.client()), 4U);
  CHECK_EQ(world.serverBell->rings(), 1);
  const auto rest = world.server().give(std::span(batch).subspan(*taken));
  REQUIRE(rest.has_value());
  CHECK_EQ(*rest, 2 * 1004U);
}

TEST("channel: a client that found no room is told once, when the worker has made some") {
  World world;
  const std::byte message[1000]{};
  int sent = 0;
  while (world.client().send(message)) ++sent;
  CHECK_EQ(sent, 4);
  CHECK_EQ(world.clientBell->rings(), 0);
  while (world.server().take(world.into) != 0) {
  }
  CHECK_EQ(world.clientBell->rings(), 1);
  CHECK(world.client().send(message));
}

TEST("channel: a worker that ends leaves what it gave; one whose client ended gives to nobody") {
  World ended;
  std::vector<std::byte> batch;
  append(batch, 5, 5);
  CHECK(ended.server().give(batch).has_value());
  ended.server().close();
  ended.server().close();
  CHECK_EQ(ended.clientBell->rings(), 1);
  CHECK(!ended.client().serverGone());
  CHECK_EQ(receiveAll(ended.client()), 1U);
  CHECK(ended.client().serverGone());
  CHECK(!ended.client().send(batch));

  World alone;
  CHECK(alone.client().send(batch));
  alone.client().flush();
  alone.client().close();
  CHECK_EQ(alone.serverBell->rings(), 1);
  CHECK(alone.server().clientGone());
  CHECK_EQ(alone.server().take(alone.into), 0U);
  for (int i = 0; i < 2'000; ++i) CHECK_EQ(alone.server().give(batch).value_or(0), batch.size());
}

TEST("channel: either side may close at any moment; the other never waits for it") {
  for (int round = 0; round < 200; ++round) {
    World world;
    const bool clientCloses = round % 2 == 0;
    std::thread worker([&] {
      if (clientCloses) return echo(world);
      for (int i = 0; i < round; ++i) {
        const std::size_t used = world.server().take(world.into);
        (void)world.server().give({world.into.data(), used});
      }
      world.server().close();
    });
    std::byte message[256];
    for (std::uint32_t i = 0; clientCloses ? std::cmp_less(i, round) : true; ++i) {
      (void)world.client().send({message, fill(i, message)});
      world.client().flush();
      receiveAll(world.client());
      if (world.client().serverGone()) break;
    }
    world.client().close();
    worker.join();
  }
}

}  // namespace
}  // namespace tidegate
