// A connection's output over a real socket pair with small buffers: every byte arrives once and in
// order.
#include "io/output.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <random>
#include <string>

#include "check.h"
#include "io/input.h"

namespace tidegate {
namespace {

struct Pair {
  Transport writer;
  FileHandle reader;
};

Pair makePair(int bufferBytes) {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) != 0) return {};
  setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bufferBytes, sizeof bufferBytes);
  return {Transport(Socket(FileHandle(fds[0]))), FileHandle(fds[1])};
}

std::string drain(const FileHandle& reader) {
  std::string all;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t n = read(reader.get(), chunk.data(), chunk.size());
    if (n <= 0) return all;
    all.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

std::string randomText(std::mt19937_64& random, std::size_t size) {
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

TEST(
    "own and borrowed parts arrive in the order in which they were appended, however often the "
    "socket is full") {
  std::mt19937_64 random(11);
  BufferPool pool;
  for (int round = 0; round < 300; ++round) {
    Pair pair = makePair(static_cast<int>(2048 + random() % 20000));
    REQUIRE(pair.writer.open());
    Output output;
    std::string expected;
    std::string arrived;
    bool blocked = false;
    for (int event = 0; event < 12; ++event) {
      // Borrowed bytes live until the flush of their event and not longer.
      std::vector<std::unique_ptr<std::string>> borrowed;
      const auto parts = random() % 5;
      for (std::size_t i = 0; i < parts; ++i) {
        const std::string text =
            randomText(random, random() % (random() % 4 == 0 ? 60'000 : 3'000));
        expected += text;
        if (random() % 2 == 0) {
          output.append(pool, text);
        } else {
          borrowed.push_back(std::make_unique<std::string>(text));
          output.appendBorrowed(pool, *borrowed.back());
        }
      }
      const Output::FlushResult result = output.flush(pool, pair.writer);
      blocked = result.status == Output::Status::Blocked;
      CHECK_EQ(blocked, !output.empty());
      for (auto& text : borrowed) std::fill(text->begin(), text->end(), '#');
      if (random() % 3 == 0) arrived += drain(pair.reader);
    }
    while (!output.empty()) {
      arrived += drain(pair.reader);
      REQUIRE(output.flush(pool, pair.writer).status != Output::Status::Failed);
    }
    arrived += drain(pair.reader);
    CHECK(arrived == expected);
  }
  CHECK_EQ(pool.bytesInUse(), 0u);
}

TEST("an output that was written completely holds no block") {
  BufferPool pool;
  Pair pair = makePair(100'000);
  Output output;
  output.append(pool, "hello");
  CHECK(pool.bytesInUse() > 0);
  CHECK(output.flush(pool, pair.writer).status == Output::Status::Done);
  CHECK_EQ(pool.bytesInUse(), 0u);
}

TEST("writing to a closed peer fails as a value, without a signal") {
  BufferPool pool;
  Pair pair = makePair(100'000);
  pair.reader.reset();
  Output output;
  output.append(pool, "hello");
  CHECK(output.flush(pool, pair.writer).status == Output::Status::Failed);
}

TEST("kept input comes out as it went in") {
  std::mt19937_64 random(3);
  BufferPool pool;
  Input input;
  std::string model;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 == 0) {
      const std::string text = randomText(random, random() % 5000);
      if (random() % 2 == 0) {
        input.keep(pool, text);
      } else {
        const std::span<char> room = input.room(pool, text.size());
        std::copy(text.begin(), text.end(), room.begin());
        input.grow(text.size());
      }
      model += text;
    } else {
      const std::size_t used = model.empty() ? 0 : random() % (model.size() + 1);
      input.consume(used);
      model.erase(0, used);
    }
    REQUIRE(input.view() == model);
  }
  input.clear();
  CHECK_EQ(pool.bytesInUse(), 0u);
}

TEST("the pool gives back the block that was released last, and frees what exceeds its bound") {
  constexpr std::size_t kLarge = 60 * 1024;
  const auto trim = [](BufferPool& pool) {
    pool.age();
    while (pool.reclaim() > 0) {
    }
  };
  BufferPool pool;
  Block first = pool.acquire(kLarge);
  Block second = pool.acquire(kLarge);
  char* const address = second.data();
  second.release();
  CHECK(pool.acquire(kLarge).data() == address);
  Block large = pool.acquire(10'000'000);
  CHECK(large.capacity() >= 10'000'000u);
  large.release();
  CHECK(pool.bytesKept() <= BufferPool::kMaxKept);
  first.release();
  // What was used since the last trim stays; of what was not, half goes.
  const std::size_t kept = pool.bytesKept();
  trim(pool);
  CHECK_EQ(pool.bytesKept(), kept);
  trim(pool);
  CHECK(pool.bytesKept() > 0 && pool.bytesKept() < kept);
  const std::size_t steady = pool.bytesKept();
  pool.acquire(kLarge).release();
  trim(pool);
  pool.acquire(kLarge).release();
  trim(pool);
  CHECK(pool.bytesKept() > 0 && pool.bytesKept() <= steady);
}

}  // namespace
}  // namespace tidegate
