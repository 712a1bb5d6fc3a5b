// Heads of requests and responses: the first line, then the fields, then what they say together.
#include "http1/parser.h"

#include <algorithm>
#include <cstring>

#include "base/ascii.h"
#include "http1/field_lines.h"
#include "http1/field_rules.h"
#include "http1/scan.h"
#include "http1/target.h"

namespace tidegate::http1 {
namespace {

constexpr std::ptrdiff_t kMaxMethodBytes = 32;
constexpr int kMaxEmptyLines = 4;
constexpr std::string_view kVersion11 = "HTTP/1.1";

// `in` cut to its first line: a byte more than the limit, so that the line's CR may be the last.
HeadText lineOf(const HeadText& in, std::uint32_t limit, ParseError overLimit) {
  HeadText line = in;
  if (in.end - in.p > static_cast<std::ptrdiff_t>(limit)) {
    line.end = in.p + limit + 1;
    line.atEnd = failed(overLimit);
  }
  return line;
}

// Passes `HTTP/1.d`. A minor version above 1 is treated as 1 (RFC 9110 6.2).
ParseOutcome passVersion(HeadText& line, std::uint8_t& minorVersion) {
  if (line.end - line.p >= 8 && std::memcmp(line.p, kVersion11.data(), kVersion11.size()) == 0) {
    minorVersion = 1;
    line.p += kVersion11.size();
    return kComplete;
  }
  for (std::size_t i = 0; i < kVersion11.size(); ++i) {
    if (line.p + i == line.end) return line.atEnd;
    const char c = line.p[i];
    const bool matches = isDigit(kVersion11[i]) ? isDigit(c) : c == kVersion11[i];
    if (!matches) return failed(ParseError::BadVersion);
  }
  if (line.p[5] != '1') return failed(ParseError::UnsupportedVersion);
  minorVersion = line.p[7] == '0' ? 0 : 1;
  line.p += kVersion11.size();
  return kComplete;
}

// RFC 9112 2.2: a client may have sent an empty line too many after the body before.
ParseOutcome passEmptyLines(HeadText& in) {
  for (int lines = 0; in.p != in.end && *in.p == '\r'; ++lines) {
    if (lines == kMaxEmptyLines) return failed(ParseError::BadRequestLine);
    const ParseOutcome outcome = passLineEnd(in, ParseError::BadRequestLine);
    if (outcome.status != ParseStatus::Complete) return outcome;
  }
  return kComplete;
}

// Why a part of the request line cannot end with `c`.
ParseError badLineByte(char c, ParseError wrong) {
  if (c == '\n') return ParseError::BareLineFeed;
  return c == '\r' ? ParseError::BadRequestLine : wrong;
}

ParseOutcome parseRequestLine(HeadText& in, std::uint32_t limit, RequestLine& line,
                              TargetHost& host) {
  HeadText text = lineOf(in, limit, ParseError::TargetTooLong);
  const char* const method = text.p;
  const char* const methodEnd = scanName(text.begin, method, text.end);
  if (methodEnd - method > kMaxMethodBytes) return failed(ParseError::BadMethod);
  if (methodEnd == text.end) return text.atEnd;
  if (*methodEnd != ' ' || methodEnd == method) {
    return failed(badLineByte(*methodEnd, ParseError::BadMethod));
  }

  const char* const target = methodEnd + 1;
  const char* const query = scanPath(text.begin, target, text.end);
  const bool hasQuery = query != text.end && *query == '?';
  const char* const targetEnd = hasQuery ? scanTarget(text.begin, query, text.end) : query;
  if (targetEnd == text.end) return text.atEnd;
  if (*targetEnd != ' ') return failed(badLineByte(*targetEnd, ParseError::BadTarget));
  if (targetEnd == target) return failed(ParseError::BadRequestLine);

  text.p = targetEnd + 1;
  ParseOutcome outcome = passVersion(text, line.minorVersion);
  if (outcome.status != ParseStatus::Complete) return outcome;
  if (text.p == text.end) return text.atEnd;
  in.p = text.p;
  outcome = passLineEnd(in, ParseError::BadRequestLine);
  if (outcome.status != ParseStatus::Complete) return outcome;

  line.methodToken = in.slice(method, methodEnd);
  line.method = methodOf({method, line.methodToken.length});
  line.target = in.slice(target, targetEnd);
  const ParseError error = parseTarget(in.begin, query, line, host);
  return error == ParseError::None ? kComplete : failed(error);
}

ParseOutcome parseStatusLine(HeadText& in, std::uint32_t limit, StatusLine& line) {
  constexpr std::ptrdiff_t kStatusBytes = 4;  // SP and three digits
  HeadText text = lineOf(in, limit, ParseError::HeadTooLarge);
  ParseOutcome outcome = passVersion(text, line.minorVersion);
  if (outcome.status != ParseStatus::Complete) return outcome;
  std::uint16_t status = 0;
  for (std::ptrdiff_t i = 0; i < kStatusBytes; ++i, ++text.p) {
    if (text.p == text.end) return text.atEnd;
    if (i == 0 ? *text.p != ' ' : !isDigit(*text.p)) return failed(ParseError::BadStatusLine);
    if (i > 0) status = static_cast<std::uint16_t>(status * 10 + (*text.p - '0'));
  }
  if (status < 100 || status > 599) return failed(ParseError::BadStatusLine);
  line.status = status;

  // The space before an empty reason is often left out.
  if (text.p == text.end) return text.atEnd;
  if (*text.p == ' ') ++text.p;
  const char* const reason = text.p;
  const char* const reasonEnd =
      text.p[-1] == ' ' ? scanValue(text.begin, reason, text.end) : reason;
  if (reasonEnd == text.end) return text.atEnd;
  line.reason = in.slice(reason, reasonEnd);
  in.p = reasonEnd;
  return passLineEnd(in, ParseError::BadStatusLine);
}

// The value of a field that frames the message, without the spaces around it but with any tabs:
// peers do not agree on whether a tab there is white space (Node's parser does not take it for
// such), and every rule for these fields refuses one.
std::string_view framingValue(const char* value, const char* valueEnd) {
  while (value[-1] != ':') --value;
  while (*valueEnd != '\r') ++valueEnd;
  while (value != valueEnd && *value == ' ') ++value;
  while (value != valueEnd && valueEnd[-1] == ' ') --valueEnd;
  return {value, static_cast<std::size_t>(valueEnd - value)};
}

// Adds fields to a head and gathers what they say.
template <FieldIds NotedFields>
class FieldSink {
 public:
  FieldSink(HeadFields& head, FieldFacts& facts, const HeadLimits& limits)
      : head_(head),
        facts_(facts),
        maxFields_(std::min<std::size_t>(limits.fieldCount, kMaxFields)) {}

  // A field that begins at `name`, and whose value is at [value, valueEnd).
  ParseError add(Slice name, FieldId id, const char* value, const char* valueEnd) {
    if (head_.fields().size() == maxFields_) return ParseError::TooManyHeaders;
    Field field;
    field.name = name;
    field.value = {static_cast<std::uint32_t>(value - head_.base()),
                   static_cast<std::uint32_t>(valueEnd - value)};
    field.id = id;
    field.hopByHop = (kHopByHopFields & bitOf(id)) != 0;
    head_.add(field);
    if ((NotedFields & bitOf(id)) == 0) return ParseError::None;
    return noteField(id, framingValue(value, valueEnd), facts_);
  }

 private:
  HeadFields& head_;
  FieldFacts& facts_;
  std::size_t maxFields_;
};

ParseError finishRequest(const FieldFacts& facts, bool hasHost, RequestHead& head) {
  RequestLine& line = head.line;
  if (!hasHost && line.minorVersion >= 1) return ParseError::MissingHost;
  if (facts.chunked) {
    line.body = BodyKind::Chunked;
  } else if (facts.hasLength) {
    line.body = BodyKind::Length;
    line.contentLength = facts.contentLength;
  }
  line.keepAlive = facts.keepAlive();
  line.expectContinue = facts.expectContinue;
  line.upgrade = facts.upgrade();
  line.teTrailers = facts.teTrailers;
  if (facts.namedFields > 0) markNamedFields(head);
  return ParseError::None;
}

// Responses that never have content, whatever their fields say (RFC 9112 6.3).
bool hasNoContent(std::uint16_t status) { return status < 200 || status == 204; }

ParseError finishResponse(const FieldFacts& facts, Method requestMethod, ResponseHead& head) {
  StatusLine& line = head.line;
  if (hasNoContent(line.status) && (facts.chunked || facts.contentLength > 0)) {
    return ParseError::BodyNotAllowed;
  }
  line.hasContentLength = facts.hasLength;
  line.contentLength = facts.contentLength;
  line.keepAlive = facts.keepAlive();
  line.upgrade = line.status == 101 && facts.upgrade();
  if (hasNoContent(line.status) || line.status == 304 || requestMethod == Method::Head) {
    line.body = BodyKind::None;
  } else if (facts.chunked) {
    line.body = BodyKind::Chunked;
  } else if (facts.hasLength) {
    line.body = BodyKind::Length;
  } else {
    line.body = BodyKind::UntilClose;
    line.keepAlive = false;
  }
  if (facts.namedFields > 0) markNamedFields(head);
  return ParseError::None;
}

}  // namespace

ParseOutcome parseRequestHead(std::string_view bytes, const HeadLimits& limits, RequestHead& head) {
  head.clear();
  head.rebase(bytes.data());
  head.line = RequestLine();
  head.size = 0;

  HeadText in(bytes, limits.headBytes, ParseError::HeadTooLarge);
  ParseOutcome outcome = passEmptyLines(in);
  if (outcome.status != ParseStatus::Complete) return outcome;
  TargetHost targetHost;
  outcome = parseRequestLine(in, limits.lineBytes, head.line, targetHost);
  if (outcome.status != ParseStatus::Complete) return outcome;

  FieldFacts facts{.minorVersion = head.line.minorVersion};
  FieldSink<kRequestFacts> sink(head, facts, limits);
  bool hasHost = false;
  outcome = parseFieldLines(
      in, [&](const char* name, const char* nameEnd, const char* value, const char* valueEnd) {
        const Slice nameSlice = in.slice(name, nameEnd);
        const FieldId id = fieldIdOf({name, nameSlice.length});
        const ParseError error = sink.add(nameSlice, id, value, valueEnd);
        if (error != ParseError::None || id != FieldId::Host) return error;
        if (hasHost) return ParseError::RepeatedHost;
        hasHost = true;
        return applyHost(in.begin, in.slice(value, valueEnd), targetHost, head.line);
      });
  if (outcome.status != ParseStatus::Complete) return outcome;

  const ParseError error = finishRequest(facts, hasHost, head);
  if (error != ParseError::None) return failed(error);
  head.size = static_cast<std::uint32_t>(in.p - in.begin);
  return kComplete;
}

ParseOutcome parseResponseHead(std::string_view bytes, const HeadLimits& limits,
                               Method requestMethod, ResponseHead& head) {
  head.clear();
  head.rebase(bytes.data());
  head.line = StatusLine();
  head.size = 0;

  HeadText in(bytes, limits.headBytes, ParseError::HeadTooLarge);
  ParseOutcome outcome = parseStatusLine(in, limits.lineBytes, head.line);
  if (outcome.status != ParseStatus::Complete) return outcome;

  FieldFacts facts{.minorVersion = head.line.minorVersion};
  FieldSink<kResponseFacts> sink(head, facts, limits);
  outcome = parseFieldLines(
      in, [&](const char* name, const char* nameEnd, const char* value, const char* valueEnd) {
        const Slice nameSlice = in.slice(name, nameEnd);
        return sink.add(nameSlice, fieldIdOf({name, nameSlice.length}), value, valueEnd);
      });
  if (outcome.status != ParseStatus::Complete) return outcome;

  const ParseError error = finishResponse(facts, requestMethod, head);
  if (error != ParseError::None) return failed(error);
  head.size = static_cast<std::uint32_t>(in.p - in.begin);
  return kComplete;
}

}  // namespace tidegate::http1
