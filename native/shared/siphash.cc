// SipHash-2-4-128: two rounds a word, four at each half of the end.
#include "shared/siphash.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace tidegate {

namespace {

static_assert(std::endian::native == std::endian::little);

class State {
 public:
  explicit State(const SipKey& key)
      : v0_(key.first ^ 0x736f6d6570736575),
        // 0xee is what makes it the variant of 128 bits.
        v1_(key.second ^ 0x646f72616e646f6d ^ 0xee),
        v2_(key.first ^ 0x6c7967656e657261),
        v3_(key.second ^ 0x7465646279746573) {}

  void add(std::uint64_t word) {
    v3_ ^= word;
    rounds(2);
    v0_ ^= word;
  }

  Hash128 finish() {
    v2_ ^= 0xee;
    rounds(4);
    const std::uint64_t low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    rounds(4);
    return {low, v0_ ^ v1_ ^ v2_ ^ v3_};
  }

 private:
  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0_ += v1_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v3_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  std::uint64_t v0_;
  std::uint64_t v1_;
  std::uint64_t v2_;
  std::uint64_t v3_;
};

// `before`: bytes that the state has had already, a multiple of eight.
Hash128 hashRest(State& state, std::string_view text, std::uint64_t before) {
  const std::uint64_t length = before + text.size();
  while (text.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data(), sizeof word);
    state.add(word);
    text.remove_prefix(8);
  }
  std::uint64_t last = 0;
  text.copy(reinterpret_cast<char*>(&last), text.size());
  state.add(last | length << 56);
  return state.finish();
}

}  // namespace

SipKey SipKey::random() {
  SipKey key;
  std::size_t filled = 0;
  while (filled < sizeof key) {
    const ssize_t got = getrandom(reinterpret_cast<char*>(&key) + filled, sizeof key - filled, 0);
    // A signal may interrupt it. Nothing else fails on a kernel that has the call, and there is no
    // safe way on without it.
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  return key;
}

Hash128 sipHash128(const SipKey& key, std::string_view text) {
  State state(key);
  return hashRest(state, text, 0);
}

Hash128 sipHash128(const SipKey& key, std::uint64_t prefix, std::string_view text) {
  State state(key);
  state.add(prefix);
  return hashRest(state, text, sizeof prefix);
}

}  // namespace tidegate
