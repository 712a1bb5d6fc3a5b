// The chunked transfer coding and its trailer section (RFC 9112 7.1).
#include <algorithm>
#include <limits>

#include "base/ascii.h"
#include "http1/field_lines.h"
#include "http1/field_rules.h"
#include "http1/parser.h"
#include "http1/scan.h"

namespace tidegate::http1 {
namespace {

constexpr std::uint8_t kMaxSizeDigits = 16;
constexpr std::uint64_t kMaxChunkBytes = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kFinalLineBytes = 2;  // the empty line that ends a trailer section

// Reads trailer fields into `sink(field)`, which is false when it has no room, and refuses those
// that a trailer may not hold.
template <typename Sink>
ParseOutcome readTrailers(HeadText& in, Sink&& sink) {
  ParseOutcome outcome = parseFieldLines(
      in, [&](const char* name, const char* nameEnd, const char* value, const char* valueEnd) {
        Field field;
        field.name = in.slice(name, nameEnd);
        field.value = in.slice(value, valueEnd);
        const std::string_view text(name, field.name.length);
        field.id = fieldIdOf(text);
        if (!isTrailerAllowed(field.id, text)) return ParseError::BadTrailer;
        return sink(field) ? ParseError::None : ParseError::TrailersTooLarge;
      });
  if (outcome.status == ParseStatus::Error && outcome.error != ParseError::TrailersTooLarge) {
    outcome.error = ParseError::BadTrailer;
  }
  return outcome;
}

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::decode(std::string_view input) {
  const char* p = input.data();
  const char* const end = p + input.size();
  const auto step = [&](Status status, ParseError error = ParseError::None) {
    return Step{status, error, static_cast<std::size_t>(p - input.data()), {}};
  };
  for (;;) {
    if (state_ == State::Done) return step(Status::Done);
    if (state_ == State::Trailers) {
      const ParseOutcome outcome = passTrailers(p, end);
      if (outcome.status == ParseStatus::Error) return step(Status::Error, outcome.error);
      return step(outcome.status == ParseStatus::Complete ? Status::Done : Status::NeedMore);
    }
    if (p == end) return step(Status::NeedMore);
    if (state_ == State::Data) {
      const std::uint64_t size =
          std::min<std::uint64_t>(remaining_, static_cast<std::uint64_t>(end - p));
      const std::string_view data(p, size);
      p += size;
      remaining_ -= size;
      if (remaining_ == 0) state_ = State::DataCr;
      Step found = step(Status::Data);
      found.data = data;
      return found;
    }
    const ParseError error = onFramingByte(*p);
    if (error != ParseError::None) return step(Status::Error, error);
    ++p;
  }
}

ParseError ChunkedDecoder::onFramingByte(char c) {
  switch (state_) {
    case State::Size:
      remaining_ = 0;
      digits_ = 0;
      extensionBytes_ = 0;
      state_ = State::SizeDigits;
      return hexValue(c) >= 0 ? onSizeByte(c) : ParseError::BadChunkSize;
    case State::SizeDigits:
      return onSizeByte(c);
    case State::ExtensionName:
    case State::ExtensionValue:
    case State::ExtensionQuoted:
    case State::ExtensionEscape:
    case State::ExtensionEnd:
      if (c != '\r' && ++extensionBytes_ > kMaxLineBytes) return ParseError::BadChunkExtension;
      return onExtensionByte(c);
    case State::SizeLf:
      if (c != '\n') return ParseError::BareCarriageReturn;
      state_ = remaining_ > 0 ? State::Data : State::Trailers;
      return ParseError::None;
    case State::DataCr:
      state_ = State::DataLf;
      return c == '\r' ? ParseError::None : ParseError::BadChunkEnd;
    case State::DataLf:
      state_ = State::Size;
      return c == '\n' ? ParseError::None : ParseError::BadChunkEnd;
    case State::Data:
    case State::Trailers:
    case State::Done:
      break;  // their bytes are not framing
  }
  return ParseError::None;
}

// White space around the size is refused: peers do not agree on whether it belongs to the size.
ParseError ChunkedDecoder::onSizeByte(char c) {
  const int digit = hexValue(c);
  if (digit >= 0) {
    remaining_ = remaining_ << 4 | static_cast<std::uint64_t>(digit);
    return ++digits_ <= kMaxSizeDigits && remaining_ <= kMaxChunkBytes ? ParseError::None
                                                                       : ParseError::BadChunkSize;
  }
  switch (c) {
    case ';':
      state_ = State::ExtensionName;
      emptyPart_ = true;
      return ParseError::None;
    case '\r':
      state_ = State::SizeLf;
      return ParseError::None;
    case '\n':
      return ParseError::BareLineFeed;
    default:
      return ParseError::BadChunkSize;
  }
}

// `name`, `name=token` or `name="quoted"` (RFC 9112 7.1.1). Above all no LF passes here: peers that
// skip extensions unread take it for the end of the line or for nothing.
ParseError ChunkedDecoder::onExtensionByte(char c) {
  switch (state_) {
    case State::ExtensionQuoted:
      if (c == '"') state_ = State::ExtensionEnd;
      if (c == '\\') state_ = State::ExtensionEscape;
      return hasClass(c, kValueByte) ? ParseError::None : ParseError::BadChunkExtension;
    case State::ExtensionEscape:
      state_ = State::ExtensionQuoted;
      return hasClass(c, kValueByte) ? ParseError::None : ParseError::BadChunkExtension;
    case State::ExtensionEnd:
      return endExtension(c);
    default:
      break;
  }
  if (hasClass(c, kTokenByte)) {
    emptyPart_ = false;
    return ParseError::None;
  }
  if (emptyPart_) {
    const bool quoted = state_ == State::ExtensionValue && c == '"';
    if (quoted) state_ = State::ExtensionQuoted;
    return quoted ? ParseError::None : ParseError::BadChunkExtension;
  }
  if (c == '=' && state_ == State::ExtensionName) {
    state_ = State::ExtensionValue;
    emptyPart_ = true;
    return ParseError::None;
  }
  return endExtension(c);
}

ParseError ChunkedDecoder::endExtension(char c) {
  if (c == '\r') {
    state_ = State::SizeLf;
    return ParseError::None;
  }
  if (c != ';') return ParseError::BadChunkExtension;
  state_ = State::ExtensionName;
  emptyPart_ = true;
  return ParseError::None;
}

ParseOutcome ChunkedDecoder::passTrailers(const char*& p, const char* end) {
  HeadText in({p, static_cast<std::size_t>(end - p)}, kMaxTrailerBytes + kFinalLineBytes,
              ParseError::TrailersTooLarge);
  const ParseOutcome outcome = readTrailers(
      in, [count = std::size_t{0}](const Field&) mutable { return ++count <= kMaxFields; });
  if (outcome.status != ParseStatus::Complete) return outcome;
  trailers_ = {p, static_cast<std::size_t>(in.p - p) - kFinalLineBytes};
  p = in.p;
  state_ = State::Done;
  return outcome;
}

ParseOutcome ChunkedDecoder::parseTrailers(std::string_view section, HeadFields& fields) {
  fields.clear();
  fields.rebase(section.data());
  HeadText in(section, kMaxTrailerBytes + 1, ParseError::TrailersTooLarge);
  const ParseOutcome outcome =
      readTrailers(in, [&fields](const Field& f) { return fields.add(f); });
  if (outcome.status == ParseStatus::Error) return outcome;
  // The section has no empty line: it is whole where it ends behind a line, and never complete.
  const bool whole = outcome.status == ParseStatus::NeedMore && in.p == in.end;
  return whole ? kComplete : failed(ParseError::BadTrailer);
}

}  // namespace tidegate::http1
