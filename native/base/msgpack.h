// Reads msgpack strictly and without allocating: one value at a time, in the order of the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tidegate {

enum class MsgpackType : std::uint8_t {
  Nil,
  Boolean,
  Number,  // integer or floating point
  Text,
  Binary,
  Array,
  Map,
  Extension,
  Invalid,  // 0xc1, which msgpack never uses
  End,      // no byte is left
};

// What a message calls it: "text", "a map", ...
std::string_view msgpackTypeName(MsgpackType type);

// A cursor over borrowed bytes. Each read takes one value (of an array or a map: its header) when
// it is of that type and whole; otherwise it returns false, and neither cursor nor argument has
// changed.
class MsgpackReader {
 public:
  explicit MsgpackReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  // The type that the next value claims.
  MsgpackType peek() const;

  bool nil() {
    if (rest_.empty() || rest_[0] != kNil) return false;
    rest_ = rest_.subspan(1);
    return true;
  }
  bool boolean(bool& value);

  // Integers of any width. Also floating point that is a whole number of at most 2^53, because
  // JavaScript has no other way to write an integer above 32 bits.
  bool unsignedInteger(std::uint64_t& value) {
    // Most are small, and a byte.
    if (rest_.empty() || rest_[0] > kMostSmall) return unsignedNumber(value);
    value = rest_[0];
    rest_ = rest_.subspan(1);
    return true;
  }
  bool signedInteger(std::int64_t& value);

  // Valid UTF-8 only. Borrows from the bytes.
  bool text(std::string_view& value);

  // The same without the look at every byte, for what text() has accepted before.
  bool knownText(std::string_view& value);

  // Borrows from the bytes.
  bool binary(std::string_view& value);

  // `count` elements follow (of a map: pairs). A count that the bytes left cannot hold is refused,
  // so it is safe to loop over; it bounds elements, not memory.
  bool array(std::uint32_t& count);
  bool map(std::uint32_t& count);

  // The number of bytes that were not read yet.
  std::size_t remaining() const { return rest_.size(); }

 private:
  static constexpr std::uint8_t kNil = 0xc0;
  static constexpr std::uint8_t kMostSmall = 0x7f;

  bool unsignedNumber(std::uint64_t& value);
  bool integer(bool& negative, std::uint64_t& magnitude);
  bool floating(double& value, std::size_t& width) const;
  bool header(std::uint8_t fixed, std::uint8_t wide, std::size_t perElement, std::uint32_t& count);

  std::span<const std::uint8_t> rest_;
};

// Shortest form only, no surrogates, at most U+10FFFF (RFC 3629).
bool isUtf8(std::string_view text);

}  // namespace tidegate
