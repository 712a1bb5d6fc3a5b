// An immutable hash table from (context, text) to a number: hosts, exact paths and the branches of
// the path tree.
//
// Open addressing with linear probing, at most half full. The hash is keyed with random bits at
// each build, so that nobody outside can choose texts that collide.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate {

struct HashKey {
  std::uint64_t first = 0;
  std::uint64_t second = 0;

  // From the system's random source.
  static HashKey random();
};

class KeyedTable {
 public:
  static constexpr std::uint32_t kMissing = 0xffffffff;

  struct Entry {
    std::uint32_t context = 0;  // what the text is looked up in: a bucket, a tree node
    std::string text;
    std::uint32_t value = 0;  // not kMissing
  };

  KeyedTable() = default;
  // No two entries share context and text.
  KeyedTable(const std::vector<Entry>& entries, const HashKey& key);

  // The value, or kMissing.
  std::uint32_t find(std::uint32_t context, std::string_view text) const;

 private:
  static constexpr std::size_t kInline = 16;

  // Two to a cache line; a short text needs no other line.
  struct alignas(32) Slot {
    std::uint32_t value = kMissing;
    std::uint32_t context = 0;
    std::uint32_t length = 0;
    std::uint32_t offset = 0;  // in overflow_, of a text longer than kInline
    char text[kInline] = {};
  };

  bool holds(const Slot& slot, std::uint32_t context, std::string_view text) const;

  HashKey key_;
  std::uint64_t mask_ = 0;
  std::vector<Slot> slots_ = std::vector<Slot>(1);
  std::string overflow_;
};

}  // namespace tidegate
