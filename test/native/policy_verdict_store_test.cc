// Kept verdicts: who gets one, for how long, which stay when memory is used up, and what a purge
// takes.
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "policy/verdict_store.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

constexpr std::size_t kRoom = std::size_t{64} * 1024;

std::vector<std::uint8_t> verdict(const std::string& consumer, std::uint64_t replay,
                                  std::uint64_t stale = 0, const std::string& tags = "") {
  return test::encodeJson("[1, 2, 0, [\"" + consumer + "\", [], " + std::to_string(replay) + ", " +
                          std::to_string(stale) + ", [" + tags +
                          "], []], null, null, null, [], [0, \"x-a\", \"" + consumer + "\"], []]");
}

class Fixture {
 public:
  explicit Fixture(std::size_t room = kRoom) : store(room, SipKey{1, 2}) {}

  VerdictKey key(const std::string& inputs, std::uint32_t chain = 7) {
    keys_.push_back(std::make_unique<std::string>(inputs));
    return store.keyOf(chain, std::as_bytes(std::span(*keys_.back())));
  }
  void keep(const std::string& inputs, std::uint64_t now = 0, std::uint64_t replay = 1000,
            std::uint64_t stale = 0) {
    keep(key(inputs), verdict(inputs, replay, stale), now);
  }
  void keep(const VerdictKey& key, const std::vector<std::uint8_t>& bytes, std::uint64_t now) {
    const Result<Verdict, VerdictError> decoded = decoder_.decode(bytes);
    REQUIRE(decoded.ok());
    store.keep(key, VerdictCopy(*decoded, bytes), now);
  }
  // The consumer of what is found; "stale ..." beyond its time, "" where there is nothing.
  std::string find(const std::string& inputs, std::uint64_t now = 0) {
    const KeptLookup found = store.find(key(inputs), now);
    if (!found.verdict) return "";
    return (found.fresh ? "" : "stale ") + std::string(found.verdict->consumer);
  }

  VerdictStore store;

 private:
  std::vector<std::unique_ptr<std::string>> keys_;
  VerdictDecoder decoder_;
};

TEST("a kept verdict is found under its own inputs only, until its time is up") {
  Fixture f;
  f.keep("ann", 100);
  f.keep("bob", 100);
  CHECK_EQ(f.find("ann", 100), "ann");
  CHECK_EQ(f.find("bob", 1099), "bob");
  CHECK_EQ(f.find("ann", 1100), "");
  CHECK_EQ(f.find("eve", 100), "");
  CHECK_EQ(f.store.count(), 1);
}

TEST("beyond its time a verdict is stale, as long as it says") {
  Fixture f;
  f.keep("ann", 0, 1000, 500);
  CHECK_EQ(f.find("ann", 999), "ann");
  CHECK_EQ(f.find("ann", 1000), "stale ann");
  CHECK_EQ(f.find("ann", 1499), "stale ann");
  CHECK_EQ(f.find("ann", 1500), "");
}

TEST("equal hashes of different inputs do not share a verdict") {
  Fixture f;
  const std::string ann = "ann";
  VerdictKey key = f.key(ann);
  f.keep(key, verdict("ann", 1000), 0);
  const std::string eve = "eve";
  const VerdictKey forged{key.chain, key.hash, std::as_bytes(std::span(eve))};
  CHECK(!f.store.find(forged, 0).verdict);
  f.keep(forged, verdict("eve", 1000), 0);
  CHECK(f.store.find(forged, 0).verdict->consumer == "eve");
  CHECK(f.store.find(key, 0).verdict->consumer == "ann");
  CHECK_EQ(f.store.count(), 2);
}

TEST("the same inputs have one verdict, the last") {
  Fixture f;
  f.keep(f.key("a"), verdict("first", 1000), 0);
  f.keep(f.key("a"), verdict("second", 1000), 0);
  CHECK_EQ(f.find("a"), "second");
  CHECK_EQ(f.store.count(), 1);
}

TEST("who has a verdict keeps it, also when the store lets it go") {
  Fixture f;
  f.keep("ann");
  const KeptLookup found = f.store.find(f.key("ann"), 0);
  REQUIRE(found.verdict);
  f.store.clear();
  CHECK_EQ(f.store.count(), 0);
  CHECK_EQ(f.store.bytes(), 0);
  std::string seen;
  found.verdict->requestEdits.each([&](const VerdictEdit& edit) { seen = edit.value; });
  CHECK_EQ(seen, "ann");
}

TEST("memory is bounded, and what is never asked for again goes first") {
  Fixture f;
  for (int i = 0; i < 5000; ++i) {
    f.keep("once-" + std::to_string(i));
    CHECK(f.store.bytes() <= kRoom);
  }
  const std::size_t full = f.store.count();
  CHECK(full > 50);
  // Somebody who comes back is let in, in place of one who did not.
  for (int round = 0; round < 8 && f.find("regular").empty(); ++round) f.keep("regular");
  CHECK_EQ(f.find("regular"), "regular");
}

TEST("a flood of keys that are seen once does not push out those in use") {
  Fixture f;
  std::vector<std::string> regulars;
  for (int i = 0; i < 20; ++i) regulars.push_back("regular-" + std::to_string(i));
  for (const std::string& each : regulars) f.keep(each, 0, 1'000'000);
  std::mt19937_64 random(20261125);
  int asked = 0;
  int missed = 0;
  for (int i = 0; i < 100'000; ++i) {
    f.keep(f.key("flood-" + std::to_string(random())), verdict("flood", 1'000'000), 0);
    if (i % 10 != 0) continue;
    const std::string& regular = regulars[static_cast<std::size_t>(i / 10) % regulars.size()];
    ++asked;
    if (!f.find(regular).empty()) continue;
    // It is an estimate: one that was lost is decided anew, and comes in again.
    ++missed;
    f.keep(regular, 0, 1'000'000);
  }
  if (missed * 100 > asked) std::fprintf(stderr, "%d of %d missed\n", missed, asked);
  CHECK(missed * 100 <= asked);
  CHECK(f.store.bytes() <= kRoom);
}

TEST("what has expired makes room") {
  Fixture f;
  for (int i = 0; i < 1000; ++i) f.keep("old-" + std::to_string(i), 0, 10);
  for (int i = 0; i < 20; ++i) f.keep("new-" + std::to_string(i), 1000, 1000);
  for (int i = 0; i < 20; ++i) {
    const std::string name = "new-" + std::to_string(i);
    CHECK_EQ(f.find(name, 1000), name);
  }
}

TEST("a verdict that is too large for the store, or a store without memory, keeps nothing") {
  Fixture f;
  f.keep(f.key(std::string(kRoom / 16, 'a')), verdict("ann", 1000), 0);
  CHECK_EQ(f.store.count(), 0);
  Fixture none(0);
  none.keep("ann");
  CHECK_EQ(none.find("ann"), "");
}

TEST("a purge takes those of a consumer, a tag or a chain") {
  Fixture f;
  f.keep(f.key("1", 5), verdict("ann", 1000, 0, R"("gold", "eu")"), 0);
  f.keep(f.key("2", 6), verdict("ann", 1000), 0);
  f.keep(f.key("3", 7), verdict("bob", 1000, 0, R"("gold")"), 0);
  f.keep(f.key("4", 8), verdict("cid", 1000), 0);
  CHECK_EQ(f.store.purgeTag("silver"), 0);
  CHECK_EQ(f.store.purgeTag("eu"), 1);
  CHECK_EQ(f.store.purgeConsumer("bob"), 1);
  CHECK_EQ(f.store.count(), 2);
  const std::vector<std::uint32_t> chains = {8, 9};
  CHECK_EQ(f.store.purgeChains(chains), 1);
  CHECK_EQ(f.store.retainChains(chains), 1);
  CHECK_EQ(f.store.count(), 0);
}

TEST("on random keeps, finds and purges the store gives what a plain map would, or nothing") {
  std::mt19937 random(7);
  Fixture f(std::size_t{1} << 20);  // room for all of them
  std::map<std::string, std::pair<std::string, std::uint64_t>> model;
  std::uint64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    now += random() % 3;
    const std::string name = "k" + std::to_string(random() % 300);
    switch (random() % 8) {
      case 0: {
        const std::string consumer = "c" + std::to_string(random() % 10);
        const std::uint64_t replay = 1 + random() % 500;
        f.keep(f.key(name), verdict(consumer, replay), now);
        model[name] = {consumer, now + replay};
        break;
      }
      case 1:
        if (random() % 50 == 0) {
          const std::string consumer = "c" + std::to_string(random() % 10);
          f.store.purgeConsumer(consumer);
          std::erase_if(model, [&](const auto& each) { return each.second.first == consumer; });
        }
        break;
      default: {
        const auto found = model.find(name);
        const bool there = found != model.end() && now < found->second.second;
        CHECK_EQ(f.find(name, now), there ? found->second.first : "");
      }
    }
  }
}

}  // namespace
}  // namespace tidegate
