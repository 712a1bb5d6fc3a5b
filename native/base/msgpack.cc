// The msgpack wire format (github.com/msgpack/msgpack, spec.md), the part that we read.
#include "base/msgpack.h"

#include <bit>
#include <cstring>

namespace tidegate {
namespace {

constexpr std::uint8_t kNeverUsed = 0xc1;
constexpr std::uint8_t kFalse = 0xc2;
constexpr std::uint8_t kTrue = 0xc3;
constexpr std::uint8_t kBin8 = 0xc4;
constexpr std::uint8_t kBin32 = 0xc6;
constexpr std::uint8_t kExt32 = 0xc9;
constexpr std::uint8_t kFloat32 = 0xca;
constexpr std::uint8_t kFloat64 = 0xcb;
constexpr std::uint8_t kUint8 = 0xcc;
constexpr std::uint8_t kInt8 = 0xd0;
constexpr std::uint8_t kInt64 = 0xd3;
constexpr std::uint8_t kFixExt16 = 0xd8;
constexpr std::uint8_t kStr8 = 0xd9;
constexpr std::uint8_t kStr32 = 0xdb;
constexpr std::uint8_t kArray16 = 0xdc;
constexpr std::uint8_t kArray32 = 0xdd;
constexpr std::uint8_t kMap16 = 0xde;

constexpr std::uint8_t kFixText = 0xa0;
constexpr std::uint8_t kFixArray = 0x90;
constexpr std::uint8_t kFixMap = 0x80;

// Above it a double does not tell neighbouring integers apart.
constexpr double kMaxWhole = 9007199254740992.0;

std::uint64_t bigEndian(const std::uint8_t* bytes, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

std::string_view msgpackTypeName(MsgpackType type) {
  switch (type) {
    case MsgpackType::Nil:
      return "nil";
    case MsgpackType::Boolean:
      return "a boolean";
    case MsgpackType::Number:
      return "a number";
    case MsgpackType::Text:
      return "text";
    case MsgpackType::Binary:
      return "binary data";
    case MsgpackType::Array:
      return "an array";
    case MsgpackType::Map:
      return "a map";
    case MsgpackType::Extension:
      return "an extension type";
    case MsgpackType::Invalid:
      return "an invalid byte";
    case MsgpackType::End:
      return "the end of the data";
  }
  return "";
}

MsgpackType MsgpackReader::peek() const {
  if (rest_.empty()) return MsgpackType::End;
  const std::uint8_t tag = rest_[0];
  if (tag < kFixMap) return MsgpackType::Number;
  if (tag < kFixArray) return MsgpackType::Map;
  if (tag < kFixText) return MsgpackType::Array;
  if (tag < kNil) return MsgpackType::Text;
  if (tag == kNil) return MsgpackType::Nil;
  if (tag == kNeverUsed) return MsgpackType::Invalid;
  if (tag <= kTrue) return MsgpackType::Boolean;
  if (tag <= kBin32) return MsgpackType::Binary;
  if (tag <= kExt32) return MsgpackType::Extension;
  if (tag <= kInt64) return MsgpackType::Number;
  if (tag <= kFixExt16) return MsgpackType::Extension;
  if (tag <= kStr32) return MsgpackType::Text;
  if (tag <= kArray32) return MsgpackType::Array;
  if (tag >= 0xe0) return MsgpackType::Number;
  return MsgpackType::Map;
}

bool MsgpackReader::boolean(bool& value) {
  if (rest_.empty() || (rest_[0] != kTrue && rest_[0] != kFalse)) return false;
  value = rest_[0] == kTrue;
  rest_ = rest_.subspan(1);
  return true;
}

bool MsgpackReader::floating(double& value, std::size_t& width) const {
  if (rest_.empty() || (rest_[0] != kFloat32 && rest_[0] != kFloat64)) return false;
  width = rest_[0] == kFloat32 ? 4 : 8;
  if (rest_.size() <= width) return false;
  const std::uint64_t bits = bigEndian(rest_.data() + 1, width);
  value = width == 4 ? std::bit_cast<float>(static_cast<std::uint32_t>(bits))
                     : std::bit_cast<double>(bits);
  return true;
}

// Any number that is whole, as a sign and a magnitude.
bool MsgpackReader::integer(bool& negative, std::uint64_t& magnitude) {
  if (peek() != MsgpackType::Number) return false;
  const std::uint8_t tag = rest_[0];
  std::size_t width = 0;

  if (tag < kFixMap || tag >= 0xe0) {
    negative = tag >= 0xe0;
    magnitude = negative ? 0x100u - tag : tag;
  } else if (double value = 0; floating(value, width)) {
    // A NaN fails the first comparison.
    if (!(value >= -kMaxWhole && value <= kMaxWhole)) return false;
    const auto whole = static_cast<std::int64_t>(value);
    if (static_cast<double>(whole) != value) return false;
    negative = whole < 0;
    magnitude = static_cast<std::uint64_t>(negative ? -whole : whole);
  } else {
    if (tag < kUint8) return false;  // a floating point number that is cut off
    const bool isSigned = tag >= kInt8;
    width = std::size_t{1} << (tag - (isSigned ? kInt8 : kUint8));
    if (rest_.size() <= width) return false;
    magnitude = bigEndian(rest_.data() + 1, width);
    negative = isSigned && (magnitude >> (width * 8 - 1)) != 0;
    if (negative) {
      magnitude = ~magnitude + 1;
      if (width < 8) magnitude &= (std::uint64_t{1} << (width * 8)) - 1;
    }
  }
  rest_ = rest_.subspan(1 + width);
  return true;
}

bool MsgpackReader::unsignedNumber(std::uint64_t& value) {
  const auto start = rest_;
  bool negative = false;
  std::uint64_t magnitude = 0;
  if (!integer(negative, magnitude) || negative) {
    rest_ = start;
    return false;
  }
  value = magnitude;
  return true;
}

bool MsgpackReader::signedInteger(std::int64_t& value) {
  const auto start = rest_;
  bool negative = false;
  std::uint64_t magnitude = 0;
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  if (!integer(negative, magnitude) || magnitude > (negative ? kTop : kTop - 1)) {
    rest_ = start;
    return false;
  }
  value = static_cast<std::int64_t>(negative ? ~magnitude + 1 : magnitude);
  return true;
}

bool MsgpackReader::text(std::string_view& value) {
  const auto start = rest_;
  std::string_view content;
  if (!knownText(content)) return false;
  if (!isUtf8(content)) {
    rest_ = start;
    return false;
  }
  value = content;
  return true;
}

bool MsgpackReader::knownText(std::string_view& value) {
  if (rest_.empty()) return false;
  const std::uint8_t tag = rest_[0];
  const bool isFixed = (tag & 0xe0) == kFixText;
  if (!isFixed && (tag < kStr8 || tag > kStr32)) return false;
  std::size_t width = 0;
  std::uint64_t length = tag & 0x1f;
  if (!isFixed) {
    width = std::size_t{1} << (tag - kStr8);
    if (rest_.size() <= width) return false;
    length = bigEndian(rest_.data() + 1, width);
  }
  if (length > rest_.size() - 1 - width) return false;
  value = {reinterpret_cast<const char*>(rest_.data()) + 1 + width, length};
  rest_ = rest_.subspan(1 + width + value.size());
  return true;
}

bool MsgpackReader::binary(std::string_view& value) {
  if (peek() != MsgpackType::Binary) return false;
  const std::size_t width = std::size_t{1} << (rest_[0] - kBin8);
  if (rest_.size() <= width) return false;
  const std::uint64_t length = bigEndian(rest_.data() + 1, width);
  if (length > rest_.size() - 1 - width) return false;
  value = {reinterpret_cast<const char*>(rest_.data()) + 1 + width, length};
  rest_ = rest_.subspan(1 + width + value.size());
  return true;
}

// The header of an array or a map: `fixed` holds the count in its low four bits, `wide` has 16 and
// the tag after it 32 bits of count. The caller has seen the type.
bool MsgpackReader::header(std::uint8_t fixed, std::uint8_t wide, std::size_t perElement,
                           std::uint32_t& count) {
  const std::uint8_t tag = rest_[0];
  std::size_t width = 0;
  std::uint64_t number = tag & 0x0f;
  if ((tag & 0xf0) != fixed) {
    width = tag == wide ? 2 : 4;
    if (rest_.size() <= width) return false;
    number = bigEndian(rest_.data() + 1, width);
  }
  // An element is one byte at least.
  if (number > (rest_.size() - 1 - width) / perElement) return false;
  count = static_cast<std::uint32_t>(number);
  rest_ = rest_.subspan(1 + width);
  return true;
}

bool MsgpackReader::array(std::uint32_t& count) {
  return peek() == MsgpackType::Array && header(kFixArray, kArray16, 1, count);
}

bool MsgpackReader::map(std::uint32_t& count) {
  return peek() == MsgpackType::Map && header(kFixMap, kMap16, 2, count);
}

bool isUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto* end = at + text.size();
  while (at < end) {
    // Most texts are ASCII.
    for (std::uint64_t eight; end - at >= 8; at += 8) {
      std::memcpy(&eight, at, sizeof eight);
      if ((eight & 0x8080'8080'8080'8080) != 0) break;
    }
    if (at == end) break;
    const std::uint8_t first = *at++;
    if (first < 0x80) continue;
    // The second byte's range refuses overlong forms, surrogates and what is over U+10FFFF.
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xbf;
    int more = 0;
    if (first >= 0xc2 && first <= 0xdf) {
      more = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
      more = 2;
      if (first == 0xe0) low = 0xa0;
      if (first == 0xed) high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
      more = 3;
      if (first == 0xf0) low = 0x90;
      if (first == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (end - at < more) return false;
    for (; more > 0; --more, ++at) {
      if (*at < low || *at > high) return false;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}

}  // namespace tidegate
