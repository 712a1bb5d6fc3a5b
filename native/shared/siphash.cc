// SipHash-c-d: c rounds a word, d at the end, and of 128 bits at each half of it.
#include "shared/siphash.h"

#include <bit>
#include <cstring>
#include <span>

#include "base/random.h"

namespace tidegate {

namespace {

static_assert(std::endian::native == std::endian::little);

template <int WordRounds, int EndRounds>
class State {
 public:
  explicit State(const SipKey& key)
      : v0_(key.first ^ 0x736f6d6570736575),
        v1_(key.second ^ 0x646f72616e646f6d),
        v2_(key.first ^ 0x6c7967656e657261),
        v3_(key.second ^ 0x7465646279746573) {}

  // Makes it the variant of 128 bits; at the beginning.
  void widen() { v1_ ^= 0xee; }

  void add(std::uint64_t word) {
    v3_ ^= word;
    rounds<WordRounds>();
    v0_ ^= word;
  }

  // `before`: bytes that it has had already, a multiple of eight. What is left of a word at the end
  // is added with the length.
  void addLast(std::string_view text, std::uint64_t before) {
    const std::uint64_t length = before + text.size();
    for (; text.size() >= 8; text.remove_prefix(8)) add(wordAt(text.data()));
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
      last |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
    add(last | length << 56);
  }

  std::uint64_t finish() {
    v2_ ^= 0xff;
    rounds<EndRounds>();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

  Hash128 finishWide() {
    v2_ ^= 0xee;
    rounds<EndRounds>();
    const std::uint64_t low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    rounds<EndRounds>();
    return {low, v0_ ^ v1_ ^ v2_ ^ v3_};
  }

 private:
  static std::uint64_t wordAt(const char* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }

  template <int Count>
  void rounds() {
    for (int i = 0; i < Count; ++i) {
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

}  // namespace

SipKey SipKey::random() {
  SipKey key;
  fillRandom(std::as_writable_bytes(std::span(&key, 1)));
  return key;
}

Hash128 sipHash128(const SipKey& key, std::string_view text) {
  State<2, 4> state(key);
  state.widen();
  state.addLast(text, 0);
  return state.finishWide();
}

Hash128 sipHash128(const SipKey& key, std::uint64_t prefix, std::string_view text) {
  State<2, 4> state(key);
  state.widen();
  state.add(prefix);
  state.addLast(text, sizeof prefix);
  return state.finishWide();
}

std::uint64_t sipHash64(const SipKey& key, std::string_view text) {
  State<1, 3> state(key);
  state.addLast(text, 0);
  return state.finish();
}

}  // namespace tidegate
