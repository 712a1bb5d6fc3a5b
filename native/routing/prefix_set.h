// Which addresses belong to a set that is given as prefixes: one search, however many there are.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ip_address.h"

namespace tidegate {

// One prefix, and whether the addresses in it belong.
struct PrefixRule {
  IpPrefix prefix;
  bool member = true;
};

// Immutable. The most specific prefix that holds an address decides about it; where the same one
// says both, it does not belong. Kept as the sorted addresses at which the answer changes: at most
// two a prefix, of 4 bytes (IPv4) or 16 (IPv6).
class PrefixSet {
 public:
  PrefixSet() = default;
  // `others`: whether addresses in no prefix belong.
  PrefixSet(std::vector<PrefixRule> rules, bool others);

  bool contains(const IpAddress& address) const;

  std::size_t memoryBytes() const;

 private:
  struct Key {
    std::uint64_t high;
    std::uint64_t low;
    auto operator<=>(const Key&) const = default;
  };
  struct Sweep;

  // IPv4, as IpAddress keeps it: ::ffff:0.0.0.0 to ::ffff:255.255.255.255.
  static constexpr Key kFirstV4 = {0, 0xffff'0000'0000};
  static constexpr Key kLastV4 = {0, 0xffff'ffff'ffff};

  static Key keyOf(const IpAddress& address);
  bool containsV4(std::uint32_t address) const;
  void indexV4();

  // The answer before the first change; each change turns it over.
  bool firstV4_ = false;
  bool first_ = false;
  std::uint8_t shift_ = 31;           // an IPv4 address >> shift_ is its row of index_
  std::vector<std::uint32_t> v4_;     // changes behind kFirstV4, up to kLastV4
  std::vector<std::uint32_t> index_;  // rows + 1: the first change of v4_ in or after the row
  std::vector<Key> v6_;               // changes everywhere else
};

}  // namespace tidegate
