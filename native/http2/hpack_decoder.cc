#include "http2/hpack_decoder.h"

#include <optional>

#include "http2/hpack_forms.h"
#include "http2/huffman.h"

namespace tidegate::http2 {

namespace {

class Reader {
 public:
  Reader(std::span<const std::uint8_t> block, std::span<char> room) : rest_(block), room_(room) {}

  bool atEnd() const { return rest_.empty(); }
  std::uint8_t peek() const { return rest_.front(); }
  HpackError error() const { return error_; }

  // Where the other one has come to, with the whole room.
  void goOnAfter(const Reader& field) { rest_ = field.rest_; }

  // RFC 7541 5.1. Nothing on an error.
  std::optional<std::uint32_t> number(unsigned prefixBits) {
    const std::uint32_t mask = (1U << prefixBits) - 1;
    std::uint32_t value = take() & mask;
    if (value < mask) return value;
    // Four bytes have all that a length or a size can be; longer forms only cost time.
    for (unsigned shift = 0; shift <= 21; shift += 7) {
      if (atEnd()) return fail(HpackError::Truncated);
      const std::uint8_t byte = take();
      value += std::uint32_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return fail(HpackError::BadNumber);
  }

  // RFC 7541 5.2. A view into the block, or into the room where it had to be decoded.
  std::optional<std::string_view> text() {
    if (atEnd()) return fail(HpackError::Truncated);
    const bool huffman = (peek() & kHuffmanText.bits) != 0;
    const std::optional<std::uint32_t> length = number(kHuffmanText.prefix);
    if (!length) return std::nullopt;
    if (*length > rest_.size()) return fail(HpackError::Truncated);
    const std::span<const std::uint8_t> bytes = rest_.first(*length);
    rest_ = rest_.subspan(*length);
    if (!huffman) return std::string_view{reinterpret_cast<const char*>(bytes.data()), *length};
    if (huffmanRoom(*length) > room_.size()) return fail(HpackError::TooLarge);
    const std::optional<std::size_t> size = huffmanDecode(bytes, room_.data());
    if (!size) return fail(HpackError::BadText);
    const std::string_view decoded{room_.data(), *size};
    room_ = room_.subspan(*size);
    return decoded;
  }

 private:
  std::uint8_t take() {
    const std::uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }

  std::nullopt_t fail(HpackError error) {
    error_ = error;
    return std::nullopt;
  }

  std::span<const std::uint8_t> rest_;
  std::span<char> room_;
  HpackError error_ = HpackError::None;
};

std::optional<HpackField> fieldAt(std::uint32_t index, const DynamicTable& table) {
  if (index == 0) return std::nullopt;
  if (index <= kStaticFields) return staticField(index);
  const std::uint32_t age = index - kStaticFields - 1;
  if (age >= table.count()) return std::nullopt;
  return table.at(age);
}

}  // namespace

HpackError HpackDecoder::decode(std::span<const std::uint8_t> block, std::span<char> room,
                                HpackSink& sink) {
  Reader reader(block, room);
  bool begun = false;
  std::size_t decoded = 0;
  while (!reader.atEnd()) {
    if (decoded > kMostDecoded) return HpackError::TooLarge;
    const std::uint8_t form = reader.peek();
    if ((form & kIndexed.bits) != 0) {
      const auto index = reader.number(kIndexed.prefix);
      if (!index) return reader.error();
      const auto field = fieldAt(*index, table_);
      if (!field) return HpackError::BadIndex;
      sink.onField(field->name, field->value, false);
      decoded += field->name.size() + field->value.size();
      begun = true;
      continue;
    }
    if ((form & 0xe0) == kTableSize.bits) {
      // RFC 7541 4.2: at the beginning of a block.
      const auto limit = reader.number(kTableSize.prefix);
      if (!limit) return reader.error();
      if (begun || *limit > table_.capacity()) return HpackError::BadLimit;
      table_.setLimit(*limit);
      continue;
    }
    const bool indexed = (form & kWithIndexing.bits) != 0;
    // Each field has the whole room.
    Reader field = reader;
    const auto index = field.number(indexed ? kWithIndexing.prefix : kWithoutIndexing.prefix);
    if (!index) return field.error();
    std::string_view name;
    if (*index == 0) {
      const auto literal = field.text();
      if (!literal) return field.error();
      name = *literal;
    } else {
      const auto known = fieldAt(*index, table_);
      if (!known) return HpackError::BadIndex;
      name = known->name;
    }
    const auto value = field.text();
    if (!value) return field.error();
    // Before it is put into the table, where its name may be.
    sink.onField(name, *value, !indexed && (form & kNeverIndexed.bits) != 0);
    decoded += name.size() + value->size();
    if (indexed) table_.insert(name, *value);
    reader.goOnAfter(field);
    begun = true;
  }
  return HpackError::None;
}

}  // namespace tidegate::http2
