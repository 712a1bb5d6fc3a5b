// A hash of short texts, keyed with random bits at each build of a router, so that nobody outside
// can choose texts that collide. Built from 64 × 64 → 128-bit multiplications folded together, as
// in wyhash.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace tidegate {

struct HashKey {
  std::uint64_t first = 0;
  std::uint64_t second = 0;

  // From the system's random source.
  static HashKey random();
};

namespace hashing {

__extension__ using Wide = unsigned __int128;

inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <typename Integer>
std::uint64_t load(const char* at) {
  Integer value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// 1 to 3 bytes: the first, the middle and the last.
inline std::uint64_t loadFew(const char* at, std::size_t size) {
  const auto byte = [at](std::size_t i) { return load<unsigned char>(at + i); };
  return byte(0) << 16 | byte(size / 2) << 8 | byte(size - 1);
}

}  // namespace hashing

inline std::uint64_t keyedHash(std::uint32_t context, std::string_view text, const HashKey& key) {
  using hashing::fold;
  using hashing::load;
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t state = key.first ^ context;
  while (left > 16) {
    state = fold(load<std::uint64_t>(at) ^ key.second, load<std::uint64_t>(at + 8) ^ state);
    at += 16;
    left -= 16;
  }
  // Words that overlap read every byte that is left.
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (left >= 8) {
    low = load<std::uint64_t>(at);
    high = load<std::uint64_t>(at + left - 8);
  } else if (left >= 4) {
    low = load<std::uint32_t>(at);
    high = load<std::uint32_t>(at + left - 4);
  } else if (left > 0) {
    low = hashing::loadFew(at, left);
  }
  const std::uint64_t mixed = fold(low ^ key.second, high ^ state);
  return fold(mixed ^ key.first, text.size() ^ key.second);
}

}  // namespace tidegate
