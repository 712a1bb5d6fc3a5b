// An immutable hash table from (context, text) to a small value: hosts, exact paths and the
// branches of the path tree.
//
// Made to touch few cache lines where the table is large and cold: a compact index (open
// addressing, at most half full), and records in which value and text stand side by side.
#pragma once

#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/large_pages.h"
#include "routing/keyed_hash.h"

namespace tidegate {

template <typename Value>
class KeyedTable {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  struct Entry {
    std::uint32_t context = 0;  // what the text is looked up in: a host, a tree node
    std::string text;
    Value value;
  };

  KeyedTable() = default;
  // No two entries share context and text.
  KeyedTable(const std::vector<Entry>& entries, const HashKey& key);

  // nullptr when it is not there. Valid as long as the table, also when that is moved.
  const Value* find(std::uint32_t context, std::string_view text) const;

 private:
  struct Slot {
    std::uint32_t tag = 0;       // the upper half of the hash
    std::uint32_t line = kFree;  // where the record is
  };

  // The text follows.
  struct Record {
    std::uint32_t context;
    std::uint32_t length;
    Value value;
  };

  struct alignas(64) Line {
    char bytes[64];
  };

  // Records begin at multiples of kGrain bytes. One that fits into a cache line does not straddle
  // two.
  static constexpr std::size_t kGrain = 16;
  static constexpr std::uint32_t kFree = 0xffffffff;
  static_assert(alignof(Record) <= kGrain && sizeof(Line) % kGrain == 0);

  const char* bytes() const { return reinterpret_cast<const char*>(records_.data()); }
  std::uint32_t append(const Entry& entry, std::size_t& used);

  HashKey key_;
  std::uint64_t mask_ = 0;
  LargeVector<Slot> slots_ = LargeVector<Slot>(1);
  LargeVector<Line> records_;
};

template <typename Value>
KeyedTable<Value>::KeyedTable(const std::vector<Entry>& entries, const HashKey& key)
    : key_(key), mask_(std::bit_ceil(2 * entries.size() + 1) - 1), slots_(mask_ + 1) {
  std::size_t used = 0;
  for (const Entry& entry : entries) {
    assert(find(entry.context, entry.text) == nullptr);
    const std::uint64_t hash = keyedHash(entry.context, entry.text, key_);
    std::uint64_t at = hash & mask_;
    while (slots_[at].line != kFree) at = (at + 1) & mask_;
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), append(entry, used)};
  }
}

template <typename Value>
std::uint32_t KeyedTable<Value>::append(const Entry& entry, std::size_t& used) {
  const std::size_t size = sizeof(Record) + entry.text.size();
  const std::size_t lineLeft = sizeof(Line) - used % sizeof(Line);
  if (size > lineLeft && size <= sizeof(Line)) used += lineLeft;
  const std::size_t begin = used;
  used = (begin + size + kGrain - 1) / kGrain * kGrain;
  records_.resize((used + sizeof(Line) - 1) / sizeof(Line));
  char* out = reinterpret_cast<char*>(records_.data()) + begin;
  const Record record{entry.context, static_cast<std::uint32_t>(entry.text.size()), entry.value};
  std::memcpy(out, &record, sizeof record);
  entry.text.copy(out + sizeof record, entry.text.size());
  return static_cast<std::uint32_t>(begin / kGrain);
}

template <typename Value>
const Value* KeyedTable<Value>::find(std::uint32_t context, std::string_view text) const {
  // Nothing to hash for: many have no route that names a host, or none with an exact path.
  if (records_.empty()) return nullptr;
  const std::uint64_t hash = keyedHash(context, text, key_);
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::uint64_t at = hash & mask_; slots_[at].line != kFree; at = (at + 1) & mask_) {
    if (slots_[at].tag != tag) continue;
    const char* begin = bytes() + std::size_t{slots_[at].line} * kGrain;
    const auto* record = reinterpret_cast<const Record*>(begin);
    if (record->context == context && record->length == text.size() &&
        std::memcmp(begin + sizeof(Record), text.data(), text.size()) == 0) {
      return &record->value;
    }
  }
  return nullptr;
}

}  // namespace tidegate
