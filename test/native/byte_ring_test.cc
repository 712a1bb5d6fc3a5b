#include "shared/byte_ring.h"

#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <string_view>

#include "check.h"

namespace tidegate {
namespace {

bool put(ByteRing& ring, std::string_view text) {
  const std::span<std::byte> room = ring.reserve(text.size());
  if (room.empty()) return false;
  std::memcpy(room.data(), text.data(), text.size());
  ring.commit(text.size());
  return true;
}

std::string_view view(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST("byte ring: messages of any size come out whole and in order, as from a deque") {
  std::mt19937 random(7);
  ByteRing ring(ByteRing::kSmallest);
  std::deque<std::string> model;
  std::size_t published = 0;  // of the model
  std::size_t popped = 0;
  for (int step = 0; step < 100'000; ++step) {
    switch (random() % 4) {
      case 0: {
        const std::size_t most = random() % 8 == 0 ? ring.largestMessage() : 100;
        const std::string text(1 + random() % most, static_cast<char>('a' + step % 26));
        if (put(ring, text)) model.push_back(text);
        break;
      }
      case 1:
        CHECK(!ring.publish());
        published = model.size();
        break;
      case 2: {
        const std::string_view front = view(ring.front());
        REQUIRE_EQ(front.empty(), published == 0);
        if (front.empty()) break;
        REQUIRE(front == model.front());
        model.pop_front();
        --published;
        ++popped;
        ring.pop();
        break;
      }
      default:
        CHECK(!ring.release());
    }
  }
  CHECK(popped > 1'000);
}

TEST("byte ring: the largest message fits at every offset of a ring that is half free") {
  for (std::size_t lead = 1; lead <= ByteRing::largestMessage(ByteRing::kSmallest); lead += 8) {
    ByteRing ring(ByteRing::kSmallest);
    for (int i = 0; i < 8; ++i) {
      REQUIRE(put(ring, std::string(lead, 'l')));
      REQUIRE(put(ring, std::string(ring.largestMessage(), 'x')));
      CHECK(!ring.publish());
      CHECK_EQ(ring.front().size(), lead);
      ring.pop();
      CHECK(view(ring.front()) == std::string(ring.largestMessage(), 'x'));
      ring.pop();
      CHECK(!ring.release());
    }
  }
}

TEST("byte ring: nothing is seen before it is published, less may be kept than was reserved") {
  ByteRing ring(ByteRing::kSmallest);
  REQUIRE_EQ(ring.reserve(100).size(), 100U);
  ring.commit(3);
  CHECK(ring.front().empty());
  CHECK(!ring.publish());
  CHECK_EQ(ring.front().size(), 3U);
}

TEST("byte ring: a consumer that sleeps is woken once, and does not sleep over a message") {
  ByteRing ring(ByteRing::kSmallest);
  CHECK(ring.trySleep());
  CHECK(!ring.publish());
  put(ring, "a");
  CHECK(ring.publish());
  put(ring, "b");
  CHECK(!ring.publish());
  CHECK(!ring.trySleep());
  ring.front();
  ring.pop();
  ring.front();
  ring.pop();
  CHECK(ring.trySleep());
  put(ring, "c");
  CHECK(ring.publish());
}

TEST("byte ring: a producer that asked for room is told once, when half of the ring is free") {
  ByteRing ring(ByteRing::kSmallest);
  const std::string text(ring.largestMessage(), 'x');
  for (int i = 0; i < 4; ++i) REQUIRE(put(ring, text));
  CHECK(!put(ring, "one more"));
  CHECK(!ring.publish());
  CHECK(ring.askForRoom());
  ring.front();
  ring.pop();
  CHECK(!ring.release());
  ring.front();
  ring.pop();
  CHECK(ring.release());
  ring.front();
  ring.pop();
  CHECK(!ring.release());
  CHECK(!ring.askForRoom());
}

}  // namespace
}  // namespace tidegate
