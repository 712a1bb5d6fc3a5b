// Invariants that hold for any bytes: mutated messages of every kind, from a fixed seed.
#include <cstdint>
#include <string>
#include <string_view>

#include "check.h"
#include "http1_cases.h"
#include "http1_invariants.h"

namespace tidegate::test {
namespace {

constexpr std::string_view kSeeds[] = {
    "GET /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nConnection: x-a, close\r\nX-A: b\r\n\r\n",
    "POST http://h/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "PUT / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: today\r\n\r\nhello",
    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "5;a=b\r\nhello\r\n1F\r\n0123456789012345678901234567890\r\n0\r\nA: b\r\nC: d\r\n\r\nrest",
};

// Bytes that the grammar gives a meaning.
constexpr std::string_view kTelling{"\r\n\t :;,/?#*@[]%0aA\0\x7f\x80", 21};

// xorshift64*: the same mutations in every run.
class Random {
 public:
  std::size_t below(std::size_t bound) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::size_t>((state_ * 0x2545f4914f6cdd1dU) >> 33) % bound;
  }

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15U;
};

void mutate(std::string& bytes, Random& random) {
  const std::size_t at = random.below(bytes.size());
  const char telling = kTelling[random.below(kTelling.size())];
  switch (random.below(5)) {
    case 0:
      bytes[at] = telling;
      break;
    case 1:
      bytes.insert(at, 1, telling);
      break;
    case 2:
      bytes.erase(at, 1 + random.below(3));
      break;
    case 3:
      bytes[at] = static_cast<char>(random.below(256));
      break;
    default:
      bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(24)));
      break;
  }
  if (bytes.empty()) bytes = "\r";
}

TEST("mutated messages never break the parser's promises") {
  Random random;
  for (int round = 0; round < 4'000; ++round) {
    std::string bytes(kSeeds[random.below(std::size(kSeeds))]);
    for (std::size_t i = 1 + random.below(4); i > 0; --i) mutate(bytes, random);
    const std::string broken = brokenInvariant(bytes, bytes.size());
    CHECK_EQ(broken.empty() ? "" : broken + ": " + quoted(bytes), "");
  }
}

}  // namespace
}  // namespace tidegate::test
