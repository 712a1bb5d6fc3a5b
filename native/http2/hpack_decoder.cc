#include "http2/hpack_decoder.h"

#include <array>
#include <optional>

#include "http2/hpack_forms.h"
#include "http2/huffman.h"

namespace tidegate::http2 {

namespace {

class Reader {
 public:
  Reader(std::span<const std::uint8_t> block, std::span<char> room)
      : at_(block.data()), end_(block.data() + block.size()), room_(room) {}

  bool atEnd() const { return at_ == end_; }
  std::uint8_t peek() const { return *at_; }
  HpackError error() const { return error_; }

  // Where the other one has come to, with the whole room.
  void goOnAfter(const Reader& field) { at_ = field.at_; }

  // RFC 7541 5.1. Nothing on an error.
  std::optional<std::uint32_t> number(unsigned prefixBits) {
    const std::uint32_t mask = (1U << prefixBits) - 1;
    const std::uint32_t value = take() & mask;
    return value < mask ? std::optional(value) : longNumber(value);
  }

  // RFC 7541 5.2. A view into the block, or into the room where it had to be decoded.
  std::optional<std::string_view> text() {
    if (atEnd()) return fail(HpackError::Truncated);
    const bool huffman = (peek() & kHuffmanText.bits) != 0;
    const std::optional<std::uint32_t> length = number(kHuffmanText.prefix);
    if (!length) return std::nullopt;
    if (*length > static_cast<std::size_t>(end_ - at_)) return fail(HpackError::Truncated);
    const std::span<const std::uint8_t> bytes(at_, *length);
    at_ += *length;
    if (!huffman) return std::string_view{reinterpret_cast<const char*>(bytes.data()), *length};
    if (huffmanRoom(*length) > room_.size()) return fail(HpackError::TooLarge);
    const std::optional<std::size_t> size = huffmanDecode(bytes, room_.data());
    if (!size) return fail(HpackError::BadText);
    const std::string_view decoded{room_.data(), *size};
    room_ = room_.subspan(*size);
    return decoded;
  }

 private:
  std::optional<std::uint32_t> longNumber(std::uint32_t value) {
    // Four bytes have all that a length or a size can be; longer forms only cost time.
    for (unsigned shift = 0; shift <= 21; shift += 7) {
      if (atEnd()) return fail(HpackError::Truncated);
      const std::uint8_t byte = take();
      value += std::uint32_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return fail(HpackError::BadNumber);
  }

  std::uint8_t take() { return *at_++; }

  std::nullopt_t fail(HpackError error) {
    error_ = error;
    return std::nullopt;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::span<char> room_;
  HpackError error_ = HpackError::None;
};

// Names and values of the static table need no look, but for pseudo-fields, which have rules of
// their own; these are the names that have ids.
constexpr std::array<FieldMark, kStaticFields + 1> staticMarks() {
  struct Known {
    std::uint32_t index;
    FieldId id;
  };
  constexpr std::array<Known, 17> kKnown = {{
      {16, FieldId::AcceptEncoding},
      {19, FieldId::Accept},
      {23, FieldId::Authorization},
      {28, FieldId::ContentLength},
      {31, FieldId::ContentType},
      {32, FieldId::Cookie},
      {33, FieldId::Date},
      {35, FieldId::Expect},
      {38, FieldId::Host},
      {46, FieldId::Location},
      {48, FieldId::ProxyAuthenticate},
      {49, FieldId::ProxyAuthorization},
      {51, FieldId::Referer},
      {54, FieldId::Server},
      {57, FieldId::TransferEncoding},
      {58, FieldId::UserAgent},
      {60, FieldId::Via},
  }};
  std::array<FieldMark, kStaticFields + 1> marks{};
  for (std::uint32_t i = 1; i <= kStaticFields; ++i) {
    if (!staticField(i).name.starts_with(':')) marks[i] = {FieldId::Other, true, true};
  }
  for (const Known& known : kKnown) marks[known.index].id = known.id;
  return marks;
}

constexpr std::array<FieldMark, kStaticFields + 1> kStaticMarks = staticMarks();

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
      HpackField field;
      FieldMark fixed;
      FieldMark* const mark = find(*index, field, fixed);
      if (mark == nullptr) return HpackError::BadIndex;
      sink.onMarkedField(field.name, field.value, *mark);
      decoded += field.name.size() + field.value.size();
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
    HpackField known;
    FieldMark mark;
    if (*index == 0) {
      const auto literal = field.text();
      if (!literal) return field.error();
      known.name = *literal;
    } else {
      FieldMark fixed;
      const FieldMark* const named = find(*index, known, fixed);
      if (named == nullptr) return HpackError::BadIndex;
      mark = *named;
    }
    const auto value = field.text();
    if (!value) return field.error();
    mark.goodValue = false;
    // Before it is put into the table, where its name may be.
    if (!indexed && (form & kNeverIndexed.bits) != 0) {
      sink.onField(known.name, *value, true);
    } else {
      sink.onMarkedField(known.name, *value, mark);
    }
    decoded += known.name.size() + value->size();
    if (indexed) table_.insert(known.name, *value, mark);
    reader.goOnAfter(field);
    begun = true;
  }
  return HpackError::None;
}

// What the index stands for, and its mark; that of an entry of the static table in `fixed`. nullptr
// where there is none.
FieldMark* HpackDecoder::find(std::uint32_t index, HpackField& field, FieldMark& fixed) {
  if (index > kStaticFields) {
    const std::uint32_t age = index - kStaticFields - 1;
    if (age >= table_.count()) return nullptr;
    field = table_.at(age);
    return &table_.mark(age);
  }
  if (index == 0) return nullptr;
  field = staticField(index);
  fixed = kStaticMarks[index];
  return &fixed;
}

}  // namespace tidegate::http2
