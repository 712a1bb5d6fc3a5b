// Prefixes to the addresses at which membership changes, and the search among these.
#include "routing/prefix_set.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <tuple>

namespace tidegate {
namespace {

constexpr unsigned kMaxIndexBits = 16;

std::uint64_t bigEndian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

PrefixSet::Key PrefixSet::keyOf(const IpAddress& address) {
  return {bigEndian(address.bytes.data()), bigEndian(address.bytes.data() + 8)};
}

// Goes through the prefixes from the lowest address on, the wider before the narrower inside it,
// and notes where the answer changes.
struct PrefixSet::Sweep {
  struct Open {
    std::optional<Key> end;  // the address behind it; none: it reaches the last one
    bool member;
  };

  bool others;
  std::vector<Open> open;  // each inside the one before
  std::vector<Key> changes;
  bool first;
  bool answer;

  explicit Sweep(bool outside) : others(outside), first(outside), answer(outside) {}

  static std::optional<Key> endOf(const Key& begin, unsigned length) {
    if (length == 0) return std::nullopt;
    Key end = begin;
    if (length > 64) {
      end.low += std::uint64_t{1} << (128 - length);
      if (end.low == 0) ++end.high;
    } else {
      end.high += std::uint64_t{1} << (64 - length);
    }
    if (end == Key{0, 0}) return std::nullopt;
    return end;
  }

  void change(const Key& at, bool member) {
    if (at == Key{0, 0}) {
      first = answer = member;
    } else if (member != answer) {
      answer = member;
      // Two changes at one address are none.
      if (!changes.empty() && changes.back() == at) {
        changes.pop_back();
      } else {
        changes.push_back(at);
      }
    }
  }

  void closeUpTo(const Key* at) {
    while (!open.empty() && open.back().end && (at == nullptr || *open.back().end <= *at)) {
      const Key end = *open.back().end;
      open.pop_back();
      change(end, open.empty() ? others : open.back().member);
    }
  }

  void add(const PrefixRule& rule) {
    const Key begin = keyOf(rule.prefix.address);
    closeUpTo(&begin);
    open.push_back({endOf(begin, rule.prefix.length), rule.member});
    change(begin, rule.member);
  }
};

PrefixSet::PrefixSet(std::vector<PrefixRule> rules, bool others) {
  std::ranges::sort(rules, [](const PrefixRule& a, const PrefixRule& b) {
    return std::tuple(a.prefix.address.bytes, a.prefix.length, !a.member) <
           std::tuple(b.prefix.address.bytes, b.prefix.length, !b.member);
  });
  Sweep sweep(others);
  for (const PrefixRule& rule : rules) sweep.add(rule);
  sweep.closeUpTo(nullptr);

  first_ = firstV4_ = sweep.first;
  const auto isV4 = [](const Key& key) { return key > kFirstV4 && key <= kLastV4; };
  const auto v4 = static_cast<std::size_t>(std::ranges::count_if(sweep.changes, isV4));
  v4_.reserve(v4);
  v6_.reserve(sweep.changes.size() - v4 + v4 % 2);
  for (const Key& key : sweep.changes) {
    if (isV4(key)) {
      v4_.push_back(static_cast<std::uint32_t>(key.low));
    } else {
      v6_.push_back(key);
      if (key <= kFirstV4) firstV4_ = !firstV4_;
    }
  }
  // For what lies behind, the changes among IPv4 addresses come to one or none.
  if (v4_.size() % 2 != 0) v6_.insert(std::ranges::upper_bound(v6_, kLastV4), kLastV4);
  indexV4();
}

// About two changes a row.
void PrefixSet::indexV4() {
  const unsigned bits = std::clamp<unsigned>(static_cast<unsigned>(std::bit_width(v4_.size())), 2,
                                             kMaxIndexBits + 1) -
                        1;
  shift_ = static_cast<std::uint8_t>(32 - bits);
  const std::size_t rows = std::size_t{1} << bits;
  index_.resize(rows + 1);
  std::size_t next = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    while (next < v4_.size() && v4_[next] >> shift_ < row) ++next;
    index_[row] = static_cast<std::uint32_t>(next);
  }
  index_[rows] = static_cast<std::uint32_t>(v4_.size());
}

bool PrefixSet::contains(const IpAddress& address) const {
  const Key key = keyOf(address);
  if (key >= kFirstV4 && key <= kLastV4) {
    return containsV4(static_cast<std::uint32_t>(key.low));
  }
  const auto after = std::ranges::upper_bound(v6_, key);
  return first_ != ((after - v6_.begin()) % 2 != 0);
}

bool PrefixSet::containsV4(std::uint32_t address) const {
  if (v4_.empty()) return firstV4_;
  const std::size_t row = address >> shift_;
  const auto begin = v4_.begin();
  const auto after = std::upper_bound(begin + index_[row], begin + index_[row + 1], address);
  return firstV4_ != ((after - begin) % 2 != 0);
}

std::size_t PrefixSet::memoryBytes() const {
  return v4_.capacity() * sizeof v4_[0] + index_.capacity() * sizeof index_[0] +
         v6_.capacity() * sizeof v6_[0];
}

}  // namespace tidegate
