// Field lines of a head or a trailer section, one after the other (RFC 9112 5). What a field means
// is its sink's concern.
#pragma once

#include <cstring>

#include "http1/parser.h"
#include "http1/scan.h"

namespace tidegate::http1 {

inline constexpr ParseOutcome kComplete{ParseStatus::Complete, ParseError::None};
inline constexpr ParseOutcome kNeedMore{ParseStatus::NeedMore, ParseError::None};

inline constexpr ParseOutcome failed(ParseError error) { return {ParseStatus::Error, error}; }

// Bytes that are parsed in place. The limit cuts `end` short, so that no rule ever sees a byte
// beyond it: what is wrong with a message does not depend on how much of it has arrived.
struct HeadText {
  const char* begin;
  const char* p;  // the next byte
  const char* end;
  // What running into `end` means: more bytes may come, or the limit stands there.
  ParseOutcome atEnd;

  HeadText(std::string_view bytes, std::size_t limit, ParseError overLimit)
      : begin(bytes.data()),
        p(bytes.data()),
        end(bytes.data() + (bytes.size() < limit ? bytes.size() : limit)),
        atEnd(bytes.size() < limit ? kNeedMore : failed(overLimit)) {}

  Slice slice(const char* from, const char* to) const {
    return {static_cast<std::uint32_t>(from - begin), static_cast<std::uint32_t>(to - from)};
  }
};

// Why the line that ends at `p` has not ended well, which is `wrong` when neither CR nor LF stands
// there.
inline ParseOutcome badLineEnd(const HeadText& in, const char* p, ParseError wrong) {
  if (*p != '\r') return failed(*p == '\n' ? ParseError::BareLineFeed : wrong);
  return in.end - p < 2 ? in.atEnd : failed(ParseError::BareCarriageReturn);
}

inline bool endsLine(const char* p, const char* end) {
  return end - p >= 2 && std::memcmp(p, "\r\n", 2) == 0;
}

// Passes the end of a line; `in.p` stands on the byte that ended it.
inline ParseOutcome passLineEnd(HeadText& in, ParseError wrong) {
  if (!endsLine(in.p, in.end)) return badLineEnd(in, in.p, wrong);
  in.p += 2;
  return kComplete;
}

// Why a line cannot begin, or a name cannot end, with `c`.
inline ParseError badNameByte(char c) {
  return c == '\n' ? ParseError::BareLineFeed : ParseError::BadHeaderName;
}

// Reads field lines up to and with the empty line, and hands each to `sink(nameBegin, nameEnd,
// valueBegin, valueEnd)`, which returns a ParseError. Complete: `in.p` stands behind the empty
// line. Otherwise it stands where the last whole line ended.
template <typename Sink>
ParseOutcome parseFieldLines(HeadText& in, Sink&& sink) {
  const auto isBlank = [](char c) { return c == ' ' || c == '\t'; };
  const char* const begin = in.begin;
  const char* const end = in.end;
  const char* name = in.p;
  for (;; in.p = name) {
    if (name == end) return in.atEnd;
    if (*name == '\r') return passLineEnd(in, ParseError::BadHeaderName);
    const char* const nameEnd = scanName(begin, name, end);
    if (nameEnd == end) return in.atEnd;
    if (*nameEnd != ':' || nameEnd == name) {
      const bool folded = nameEnd == name && isBlank(*name);
      return failed(folded ? ParseError::FoldedLine : badNameByte(*nameEnd));
    }
    const char* value = nameEnd + 1;
    while (value != end && isBlank(*value)) ++value;
    const char* valueEnd = scanValue(begin, value, end);
    if (valueEnd == end) return in.atEnd;
    if (!endsLine(valueEnd, end)) return badLineEnd(in, valueEnd, ParseError::BadHeaderValue);
    const char* const next = valueEnd + 2;
    while (valueEnd != value && isBlank(valueEnd[-1])) --valueEnd;
    const ParseError error = sink(name, nameEnd, value, valueEnd);
    if (error != ParseError::None) return failed(error);
    name = next;
  }
}

}  // namespace tidegate::http1
