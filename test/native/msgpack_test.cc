// The msgpack reader: exact bytes in, exact value out, and nothing taken when a value is not whole.
#include "base/msgpack.h"

#include <cstdint>
#include <string>
#include <vector>

#include "check.h"

namespace tidegate {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytesOf(std::string_view text) { return {text.begin(), text.end()}; }

struct IntegerCase {
  Bytes bytes;
  std::int64_t value;
};

const std::vector<IntegerCase> kIntegers = {
    {{0x00}, 0},
    {{0x7f}, 127},
    {{0xff}, -1},
    {{0xe0}, -32},
    {{0xcc, 0xff}, 255},
    {{0xcc, 0x01}, 1},  // longer than it has to be
    {{0xcd, 0x01, 0x00}, 256},
    {{0xce, 0xff, 0xff, 0xff, 0xff}, 4294967295},
    {{0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, INT64_MAX},
    {{0xd0, 0x80}, -128},
    {{0xd0, 0x7f}, 127},
    {{0xd1, 0x80, 0x00}, -32768},
    {{0xd2, 0xff, 0xff, 0xff, 0xfe}, -2},
    {{0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}, INT64_MIN},
    {{0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1},
    {{0xca, 0x40, 0x40, 0x00, 0x00}, 3},
    {{0xcb, 0x42, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, 8589934592},        // 2^33
    {{0xcb, 0x43, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, 9007199254740992},  // 2^53
    {{0xcb, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, 0},                 // -0
    {{0xcb, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, -2},
};

TEST("integers of every width are read, negative ones only as signed") {
  for (const IntegerCase& c : kIntegers) {
    MsgpackReader reader(c.bytes);
    CHECK(reader.peek() == MsgpackType::Number);
    std::int64_t value = 0;
    CHECK(reader.signedInteger(value));
    CHECK_EQ(value, c.value);
    CHECK_EQ(reader.remaining(), 0);

    MsgpackReader again(c.bytes);
    std::uint64_t whole = 7;
    CHECK_EQ(again.unsignedInteger(whole), c.value >= 0);
    CHECK_EQ(whole, c.value >= 0 ? static_cast<std::uint64_t>(c.value) : 7);
    CHECK_EQ(again.remaining(), c.value >= 0 ? 0 : c.bytes.size());
  }
}

TEST("an unsigned integer above 63 bits is not a signed one") {
  const Bytes bytes(9, 0xff);
  Bytes top = bytes;
  top[0] = 0xcf;
  MsgpackReader reader(top);
  std::int64_t value = 5;
  CHECK(!reader.signedInteger(value));
  CHECK_EQ(value, 5);
  std::uint64_t whole = 0;
  CHECK(reader.unsignedInteger(whole));
  CHECK_EQ(whole, UINT64_MAX);
}

TEST("floating point that is no whole number of at most 2^53 is no integer") {
  const std::vector<Bytes> refused = {
      {0xca, 0x3f, 0x00, 0x00, 0x00},                          // 0.5
      {0xca, 0x7f, 0xc0, 0x00, 0x00},                          // NaN
      {0xca, 0x7f, 0x80, 0x00, 0x00},                          // infinity
      {0xcb, 0x43, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01},  // 2^53 + 2
      {0xcb, 0xff, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},  // -1.8e308
  };
  for (const Bytes& bytes : refused) {
    MsgpackReader reader(bytes);
    std::int64_t value = 0;
    CHECK(!reader.signedInteger(value));
    CHECK_EQ(reader.remaining(), bytes.size());
  }
}

TEST("every value that is cut off is refused, and nothing of it taken") {
  const std::vector<Bytes> values = {
      {0xcc, 1},
      {0xcd, 1, 2},
      {0xce, 1, 2, 3, 4},
      {0xd3, 1, 2, 3, 4, 5, 6, 7, 8},
      {0xca, 0x40, 0x40, 0, 0},
      {0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0},
      {0xa3, 'a', 'b', 'c'},
      {0xd9, 2, 'a', 'b'},
      {0xda, 0, 2, 'a', 'b'},
      {0xdb, 0, 0, 0, 2, 'a', 'b'},
      {0x92, 1, 2},
      {0xdc, 0, 2, 1, 2},
      {0xdd, 0, 0, 0, 2, 1, 2},
      {0x81, 1, 2},
      {0xde, 0, 1, 1, 2},
      {0xdf, 0, 0, 0, 1, 1, 2},
  };
  for (const Bytes& whole : values) {
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      // On the heap and exactly that long, so that a sanitizer sees a byte too many.
      const Bytes bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      MsgpackReader reader(bytes);
      std::int64_t number = 0;
      std::string_view text;
      std::uint32_t count = 0;
      const bool read = reader.signedInteger(number) || reader.text(text) || reader.array(count) ||
                        reader.map(count);
      CHECK_EQ(read, length == whole.size());
      if (!read) CHECK_EQ(reader.remaining(), length);
    }
  }
}

TEST("counts that the bytes left cannot hold are refused") {
  std::uint32_t count = 0;
  const Bytes array = {0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
  CHECK(!MsgpackReader(array).array(count));
  const Bytes map = {0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
  CHECK(!MsgpackReader(map).map(count));
  const Bytes half = {0x82, 1, 2, 3};
  CHECK(!MsgpackReader(half).map(count));
  const Bytes exact = {0xdd, 0, 0, 0, 3, 1, 2, 3};
  CHECK(MsgpackReader(exact).array(count));
  CHECK_EQ(count, 3);
}

TEST("nil and booleans are themselves only") {
  const Bytes bytes = {0xc0, 0xc3, 0xc2};
  MsgpackReader reader(bytes);
  bool value = false;
  CHECK(!reader.boolean(value));
  CHECK(reader.nil());
  CHECK(!reader.nil());
  CHECK(reader.boolean(value));
  CHECK(value);
  CHECK(reader.boolean(value));
  CHECK(!value);
  CHECK(reader.peek() == MsgpackType::End);
  CHECK(!reader.boolean(value));
  CHECK(!reader.nil());
}

TEST("each first byte has the type that the specification gives it") {
  for (unsigned tag = 0; tag < 256; ++tag) {
    const Bytes bytes = {static_cast<std::uint8_t>(tag)};
    MsgpackType expected = MsgpackType::Number;
    if (tag >= 0x80 && tag <= 0x8f) expected = MsgpackType::Map;
    if (tag >= 0x90 && tag <= 0x9f) expected = MsgpackType::Array;
    if (tag >= 0xa0 && tag <= 0xbf) expected = MsgpackType::Text;
    if (tag == 0xc0) expected = MsgpackType::Nil;
    if (tag == 0xc1) expected = MsgpackType::Invalid;
    if (tag == 0xc2 || tag == 0xc3) expected = MsgpackType::Boolean;
    if (tag >= 0xc4 && tag <= 0xc6) expected = MsgpackType::Binary;
    if (tag >= 0xc7 && tag <= 0xc9) expected = MsgpackType::Extension;
    if (tag >= 0xd4 && tag <= 0xd8) expected = MsgpackType::Extension;
    if (tag >= 0xd9 && tag <= 0xdb) expected = MsgpackType::Text;
    if (tag == 0xdc || tag == 0xdd) expected = MsgpackType::Array;
    if (tag == 0xde || tag == 0xdf) expected = MsgpackType::Map;
    CHECK(MsgpackReader(bytes).peek() == expected);
    CHECK(!msgpackTypeName(expected).empty());
  }
}

TEST("text that is not UTF-8 is refused") {
  const Bytes good = bytesOf("\xa5\xe2\x82\xac!!");
  MsgpackReader reader(good);
  std::string_view text;
  REQUIRE(reader.text(text));
  CHECK_EQ(text, "\xe2\x82\xac!!");

  const Bytes bad = bytesOf("\xa3\xff!!");
  MsgpackReader badReader(bad);
  CHECK(!badReader.text(text));
  CHECK_EQ(badReader.remaining(), bad.size());
}

TEST("binary data is read in all its widths, whole or not at all") {
  for (const std::string_view header :
       {std::string_view("\xc4\x03", 2), std::string_view("\xc5\x00\x03", 3),
        std::string_view("\xc6\x00\x00\x00\x03", 5)}) {
    const Bytes bytes = bytesOf(std::string(header) + std::string("\x00\xff\n", 3));
    MsgpackReader reader(bytes);
    std::string_view data;
    REQUIRE(reader.binary(data));
    CHECK_EQ(data, std::string_view("\x00\xff\n", 3));
    CHECK_EQ(reader.remaining(), 0);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      MsgpackReader cut(std::span<const std::uint8_t>(bytes).first(size));
      CHECK(!cut.binary(data));
      CHECK_EQ(cut.remaining(), size);
    }
  }
  const Bytes text = bytesOf("\xa1!");
  MsgpackReader reader(text);
  std::string_view data;
  CHECK(!reader.binary(data));
}

TEST("UTF-8 is checked by RFC 3629") {
  for (const std::string_view good :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa9z"}) {
    CHECK(isUtf8(good));
  }
  for (const std::string_view bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe2\x82",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff", "a\xe2\x28\xa1"}) {
    CHECK(!isUtf8(bad));
  }
}

}  // namespace
}  // namespace tidegate
