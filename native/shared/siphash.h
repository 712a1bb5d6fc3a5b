// SipHash (Aumasson and Bernstein): a hash keyed with a secret, so that nobody outside can choose
// keys that collide, nor tell from the outside that two did.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate {

struct SipKey {
  std::uint64_t first = 0;
  std::uint64_t second = 0;

  // From the system's random source.
  static SipKey random();
};

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  friend bool operator==(const Hash128&, const Hash128&) = default;
};

// SipHash-2-4 with 128 bits of result, which stand for the text.
Hash128 sipHash128(const SipKey& key, std::string_view text);

// The hash of the eight bytes of `prefix`, least significant first, and `text` after them.
Hash128 sipHash128(const SipKey& key, std::uint64_t prefix, std::string_view text);

// SipHash-1-3 with 64 bits of result: for tables that compare what they find, half the work.
std::uint64_t sipHash64(const SipKey& key, std::string_view text);

}  // namespace tidegate
