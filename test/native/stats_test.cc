// Counters: their layout, their names, and slots that come while others are written.
#include "observe/stats.h"

#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include "check.h"

namespace tidegate {
namespace {

TEST("counters stand in memory in the order of their names") {
  ThreadCounters counters;
  counters.connectionsAccepted.add(7);
  counters.requests.add(5);
  counters.snapshotVersion.set(9);
  counters.reasons[static_cast<std::size_t>(Reason::RouteNotFound)].add(3);

  const auto* words = reinterpret_cast<const Counter*>(&counters);
  const std::size_t notFound = kCounterCount + static_cast<std::size_t>(Reason::RouteNotFound);
  std::size_t filled = 0;
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    const std::string_view name = counterName(i);
    if (name == "connections_accepted") CHECK_EQ(words[i].get(), 7);
    if (name == "requests") CHECK_EQ(words[i].get(), 5);
    if (name == "snapshot_version") CHECK_EQ(words[i].get(), 9);
    filled += words[i].get() != 0 ? 1 : 0;
  }
  CHECK_EQ(filled, 3);
  CHECK_EQ(words[notFound].get(), 3);
}

TEST("counter names are distinct words for metrics") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    const std::string_view name = counterName(i);
    CHECK(!name.empty());
    CHECK_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789"),
             std::string_view::npos);
    CHECK(names.insert(name).second);
  }
}

TEST("gauges are marked") {
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    if (counterName(i) == "connections_active") CHECK(counterIsGauge(i));
    if (counterName(i) == "connections_accepted") CHECK(!counterIsGauge(i));
  }
}

TEST("reasons have distinct codes, and statuses only where the gateway answers") {
  std::set<std::string_view> codes;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    CHECK(codes.insert(reasonCode(reason)).second);
    CHECK(!reasonText(reason).empty());
    const unsigned status = reasonStatus(reason);
    CHECK(status == 0 || (status >= 400 && status < 600));
  }
  CHECK_EQ(reasonCode(Reason::UpstreamConnectFailed), "upstream_connect_failed");
  CHECK_EQ(reasonStatus(Reason::UpstreamConnectFailed), 502);
}

TEST("slots keep their place and their counts when more are added") {
  ThreadStats stats;
  REQUIRE(stats.ensureSlots(1));
  CHECK_EQ(stats.chunkCount(), 1);
  SlotCounters* first = &stats.slot(0);
  first->status2xx.add(4);
  REQUIRE(stats.ensureSlots(kSlotsPerChunk + 1));
  CHECK_EQ(stats.chunkCount(), 2);
  CHECK(first == &stats.slot(0));
  CHECK_EQ(stats.slot(0).status2xx.get(), 4);
  CHECK_EQ(stats.slot(kSlotsPerChunk).status2xx.get(), 0);
  CHECK(stats.chunk(1) == &stats.slot(kSlotsPerChunk));

  REQUIRE(stats.ensureSlots(3));
  CHECK_EQ(stats.chunkCount(), 2);
}

TEST("each class of status has its counter, and no status has none") {
  SlotCounters slot;
  const auto count = [&slot](std::uint16_t status, int times) {
    for (int i = 0; i < times; ++i) ExchangeSample(status, false, 0, 0, 0).addTo(slot);
  };
  count(101, 1);
  count(200, 2);
  count(308, 3);
  count(404, 4);
  count(599, 5);
  count(0, 6);
  CHECK_EQ(slot.status1xx.get(), 1);
  CHECK_EQ(slot.status2xx.get(), 2);
  CHECK_EQ(slot.status3xx.get(), 3);
  CHECK_EQ(slot.status4xx.get(), 4);
  CHECK_EQ(slot.status5xx.get(), 5);
  CHECK_EQ(slot.durations[0].get(), 21);
  CHECK_EQ(slot.failures.get(), 0);
}

TEST("an exchange is counted with its bytes and by its duration") {
  SlotCounters slot;
  ExchangeSample(502, true, 7, 11, kDurationBounds[2]).addTo(slot);
  ExchangeSample(200, false, 1, 2, kDurationBounds.back() + 1).addTo(slot);
  CHECK_EQ(slot.failures.get(), 1);
  CHECK_EQ(slot.bytesIn.get(), 8);
  CHECK_EQ(slot.bytesOut.get(), 13);
  CHECK_EQ(slot.durationMicros.get(), kDurationBounds[2] + kDurationBounds.back() + 1);
  CHECK_EQ(slot.durations[2].get(), 1);
  CHECK_EQ(slot.durations.back().get(), 1);
}

TEST("more slots than the table holds are refused") {
  ThreadStats stats;
  CHECK(!stats.ensureSlots(kMaxSlots + 1));
  CHECK_EQ(stats.chunkCount(), 0);
  CHECK(stats.ensureSlots(kMaxSlots));
  CHECK_EQ(stats.chunkCount(), kMaxSlots / kSlotsPerChunk);
}

TEST("a reader sees a counter only grow while its thread writes it and slots are added") {
  ThreadStats stats;
  REQUIRE(stats.ensureSlots(1));
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 100'000; ++i) {
      stats.counters.requests.add();
      stats.slot(0).durations[3].add();
    }
    done = true;
  });
  std::uint64_t last = 0;
  bool grows = true;
  std::size_t slots = 1;
  while (!done) {
    const std::uint64_t now = stats.counters.requests.get();
    grows = grows && now >= last;
    last = now;
    slots = slots < 4096 ? slots + 64 : slots;
    CHECK(stats.ensureSlots(slots));
  }
  writer.join();
  CHECK(grows);
  CHECK_EQ(stats.counters.requests.get(), 100'000);
  CHECK_EQ(stats.slot(0).durations[3].get(), 100'000);
}

}  // namespace
}  // namespace tidegate
