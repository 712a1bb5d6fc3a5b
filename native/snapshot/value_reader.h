// Reads the values of a snapshot by their expected type and range, and says where one is wrong.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/msgpack.h"
#include "snapshot/limits.h"

namespace tidegate {

// What a text must be.
struct TextRule {
  std::size_t minBytes;
  std::size_t maxBytes;
  bool (*valid)(std::string_view);
  std::string_view expected;  // "a token": for the error
};

class ValueReader;

// Whether a text that is refused may stand in the message.
enum class Shown : std::uint8_t { WhenRefused, Never };

// One key of a map, and how its value reaches the struct.
template <typename T>
struct Member {
  std::string_view key;
  bool (*read)(ValueReader& reader, T& target);
};

// Every read returns false at the first thing that is wrong; error() then names its place, and the
// reader is of no more use.
class ValueReader {
 public:
  explicit ValueReader(std::span<const std::uint8_t> bytes) : reader_(bytes) {}

  // A map whose keys are all in `table`, each at most once.
  template <typename T, std::size_t N>
  bool members(T& target, const Member<T> (&table)[N]);

  // An array whose length is in `count`. Elements are read one after the other, so a length that is
  // a lie costs nothing.
  template <typename T, typename Read>
  bool list(std::vector<T>& target, Range count, Read read);

  template <std::integral T>
  bool number(T& target, Range range) {
    std::int64_t value = 0;
    if (!numberIn(value, range, "")) return false;
    target = static_cast<T>(value);
    return true;
  }

  // nil is kUnlimited.
  bool numberOrUnlimited(std::uint64_t& target, Range range);

  bool boolean(bool& target);
  bool text(std::string& target, const TextRule& rule, Shown shown = Shown::WhenRefused);
  // The empty text, which says "none", or one that keeps the rule.
  bool textOrNone(std::string& target, const TextRule& rule);

  // Borrows from the bytes that are read.
  bool binary(std::string_view& target, std::string_view what);

  // The position of a text among `names` is the value of the enumeration.
  template <typename E, std::size_t N>
  bool oneOf(E& target, const std::array<std::string_view, N>& names) {
    std::size_t index = 0;
    if (!choice(index, names)) return false;
    target = static_cast<E>(index);
    return true;
  }

  // For unions: what comes next.
  MsgpackType peek() const { return reader_.peek(); }

  bool atEnd() const { return reader_.remaining() == 0; }

  // Fail at the place being read: with what was expected of the next value, or in own words. False.
  bool expected(std::string_view what);
  bool wrong(std::string_view message);
  // The same at a key or an element below it.
  bool wrongAt(std::string_view key, std::string_view message);

  const std::string& error() const { return error_; }

 private:
  struct Step {
    std::string_view key;  // empty: an element, by its index
    std::uint32_t index = 0;
  };

  bool numberIn(std::int64_t& value, Range range, std::string_view alternative);
  bool choice(std::size_t& index, std::span<const std::string_view> names);
  std::string place() const;

  MsgpackReader reader_;
  std::vector<Step> path_;
  std::string error_;
};

// For a message: quoted, control characters escaped, cut after some 60 bytes.
std::string quotedForMessage(std::string_view text);

template <typename T, std::size_t N>
bool ValueReader::members(T& target, const Member<T> (&table)[N]) {
  static_assert(N <= 64);
  std::uint32_t count = 0;
  if (!reader_.map(count)) return expected("a map");
  std::uint64_t seen = 0;
  for (; count > 0; --count) {
    std::string_view key;
    if (!reader_.text(key)) return expected("a text as key");
    std::size_t i = 0;
    while (i < N && table[i].key != key) ++i;
    if (i == N) return wrong("unknown key " + quotedForMessage(key));
    if ((seen >> i & 1) != 0) return wrong("repeated key " + quotedForMessage(key));
    seen |= std::uint64_t{1} << i;
    path_.push_back({.key = table[i].key});
    if (!table[i].read(*this, target)) return false;
    path_.pop_back();
  }
  return true;
}

template <typename T, typename Read>
bool ValueReader::list(std::vector<T>& target, Range count, Read read) {
  std::uint32_t elements = 0;
  const MsgpackReader start = reader_;
  if (!reader_.array(elements)) return expected("an array");
  if (elements < count.min || elements > count.max) {
    reader_ = start;
    return wrong("expected " + std::to_string(count.min) + ".." + std::to_string(count.max) +
                 " elements but received " + std::to_string(elements));
  }
  for (std::uint32_t i = 0; i < elements; ++i) {
    path_.push_back({.key = {}, .index = i});
    if (!read(*this, target.emplace_back())) return false;
    path_.pop_back();
  }
  return true;
}

}  // namespace tidegate
