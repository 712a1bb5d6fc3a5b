// The hash is built from 64 × 64 → 128-bit multiplications folded together (as in wyhash), both
// halves keyed.
#include "routing/keyed_table.h"

#include <sys/random.h>

#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>

namespace tidegate {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t load64(const char* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::uint64_t load32(const char* at) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// 1 to 3 bytes: the first, the middle and the last.
std::uint64_t loadFew(const char* at, std::size_t size) {
  const auto byte = [at](std::size_t i) {
    return static_cast<std::uint64_t>(static_cast<unsigned char>(at[i]));
  };
  return byte(0) << 16 | byte(size / 2) << 8 | byte(size - 1);
}

std::uint64_t hash(std::uint32_t context, std::string_view text, const HashKey& key) {
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t state = key.first ^ context;
  while (left > 16) {
    state = fold(load64(at) ^ key.second, load64(at + 8) ^ state);
    at += 16;
    left -= 16;
  }
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (left > 8) {
    low = load64(at);
    high = load64(at + left - 8);
  } else if (left >= 4) {
    low = load32(at);
    high = load32(at + left - 4);
  } else if (left > 0) {
    low = loadFew(at, left);
  }
  const std::uint64_t mixed = fold(low ^ key.second, high ^ state);
  return fold(mixed ^ key.first, text.size() ^ key.second);
}

}  // namespace

HashKey HashKey::random() {
  HashKey key;
  std::size_t filled = 0;
  while (filled < sizeof key) {
    const ssize_t got = getrandom(reinterpret_cast<char*>(&key) + filled, sizeof key - filled, 0);
    // Only interruption by a signal is possible on a kernel that has the call; one without cannot
    // run us safely.
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  return key;
}

KeyedTable::KeyedTable(const std::vector<Entry>& entries, const HashKey& key)
    : key_(key), mask_(std::bit_ceil(2 * entries.size() + 1) - 1), slots_(mask_ + 1) {
  for (const Entry& entry : entries) {
    assert(entry.value != kMissing && find(entry.context, entry.text) == kMissing);
    std::uint64_t at = hash(entry.context, entry.text, key_) & mask_;
    while (slots_[at].value != kMissing) at = (at + 1) & mask_;
    Slot& slot = slots_[at];
    slot.value = entry.value;
    slot.context = entry.context;
    slot.length = static_cast<std::uint32_t>(entry.text.size());
    if (entry.text.size() <= kInline) {
      entry.text.copy(slot.text, kInline);
    } else {
      slot.offset = static_cast<std::uint32_t>(overflow_.size());
      overflow_ += entry.text;
    }
  }
}

bool KeyedTable::holds(const Slot& slot, std::uint32_t context, std::string_view text) const {
  if (slot.context != context || slot.length != text.size()) return false;
  const char* own = text.size() <= kInline ? slot.text : overflow_.data() + slot.offset;
  return std::memcmp(own, text.data(), text.size()) == 0;
}

std::uint32_t KeyedTable::find(std::uint32_t context, std::string_view text) const {
  std::uint64_t at = hash(context, text, key_) & mask_;
  while (slots_[at].value != kMissing) {
    if (holds(slots_[at], context, text)) return slots_[at].value;
    at = (at + 1) & mask_;
  }
  return kMissing;
}

}  // namespace tidegate
