// Content-Length, Transfer-Encoding, Connection, Expect, TE and Upgrade; and which fields a trailer
// may hold.
#include "http1/field_rules.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/ascii.h"
#include "http1/scan.h"

namespace tidegate::http1 {
namespace {

// Takes the next element off a comma-separated list, without the white space around it; it may be
// empty (RFC 9110 5.6.1). Call it while `more` is true.
std::string_view nextElement(std::string_view& list, bool& more) {
  const std::size_t comma = list.find(',');
  more = comma != std::string_view::npos;
  std::string_view element = list.substr(0, comma);
  while (element.starts_with(' ')) element.remove_prefix(1);
  while (element.ends_with(' ')) element.remove_suffix(1);
  list.remove_prefix(more ? comma + 1 : list.size());
  return element;
}

bool isToken(std::string_view text) {
  const char* const end = text.data() + text.size();
  return !text.empty() && scanName(text.data(), text.data(), end) == end;
}

ParseError noteContentLength(std::string_view value, FieldFacts& facts) {
  // Equal repetitions are refused like others: a peer that reads one of them only could be told
  // apart.
  if (facts.hasLength) return ParseError::ConflictingLength;
  if (facts.chunked) return ParseError::LengthWithTransferCoding;
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  const bool mayBeTooLarge = value.size() > std::numeric_limits<std::int64_t>::digits10;
  std::uint64_t length = 0;
  for (const char c : value) {
    if (c == ',') return ParseError::ConflictingLength;
    if (!isDigit(c)) return ParseError::BadContentLength;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (mayBeTooLarge && length > (kMax - digit) / 10) return ParseError::BadContentLength;
    length = length * 10 + digit;
  }
  if (value.empty()) return ParseError::BadContentLength;
  facts.hasLength = true;
  facts.contentLength = length;
  return ParseError::None;
}

// The value is not exactly `chunked`. Only a list of other codings with one chunked at its end says
// where the body ends (RFC 9112 6.3), and so is merely unsupported.
ParseError refuseCodings(std::string_view value) {
  std::string_view coding;
  for (bool more = true; more;) {
    coding = nextElement(value, more);
    if (!isToken(coding)) return ParseError::BadTransferCoding;
    if (more && equalsIgnoreCase(coding, "chunked")) return ParseError::BadTransferCoding;
  }
  return equalsIgnoreCase(coding, "chunked") ? ParseError::UnsupportedTransferCoding
                                             : ParseError::BadTransferCoding;
}

ParseError noteTransferEncoding(std::string_view value, FieldFacts& facts) {
  // HTTP/1.0 does not know the field, so a peer of that version may take the body for something
  // else.
  if (facts.minorVersion == 0) return ParseError::BadTransferCoding;
  if (facts.hasLength) return ParseError::LengthWithTransferCoding;
  if (facts.chunked) return ParseError::BadTransferCoding;
  if (!equalsIgnoreCase(value, "chunked")) return refuseCodings(value);
  facts.chunked = true;
  return ParseError::None;
}

// Fields that must reach every recipient: dropping them on a client's word would change how the
// message is framed, where it goes, or on whose behalf.
constexpr FieldIds kNeverNamed = bitOf(FieldId::Authorization) | bitOf(FieldId::ContentLength) |
                                 bitOf(FieldId::Cookie) | bitOf(FieldId::Forwarded) |
                                 bitOf(FieldId::Host) | bitOf(FieldId::TransferEncoding) |
                                 bitOf(FieldId::XForwardedFor) | bitOf(FieldId::XForwardedHost) |
                                 bitOf(FieldId::XForwardedProto);

// Each is looked for among all fields, so their number bounds what a head can cost.
constexpr std::uint8_t kMaxNamedFields = 32;

ParseError noteConnectionOption(std::string_view option, FieldFacts& facts) {
  const FieldId id = fieldIdOf(option);
  if (id == FieldId::KeepAlive) {
    facts.keepAliveOption = true;
  } else if (id == FieldId::Upgrade) {
    facts.upgradeOption = true;
  } else if (equalsIgnoreCase(option, "close")) {
    facts.closeOption = true;
  } else if ((kNeverNamed & bitOf(id)) != 0 || !isToken(option)) {
    return ParseError::BadConnection;
  } else if ((kHopByHopFields & bitOf(id)) == 0 && ++facts.namedFields > kMaxNamedFields) {
    return ParseError::BadConnection;
  }
  return ParseError::None;
}

ParseError noteConnection(std::string_view value, FieldFacts& facts) {
  for (bool more = true; more;) {
    const std::string_view option = nextElement(value, more);
    if (option.empty()) continue;
    const ParseError error = noteConnectionOption(option, facts);
    if (error != ParseError::None) return error;
  }
  return ParseError::None;
}

ParseError noteExpect(std::string_view value, FieldFacts& facts) {
  if (facts.minorVersion == 0) return ParseError::None;  // RFC 9110 10.1.1
  if (!equalsIgnoreCase(value, "100-continue")) return ParseError::BadExpect;
  facts.expectContinue = true;
  return ParseError::None;
}

void noteTe(std::string_view value, FieldFacts& facts) {
  for (bool more = true; more;) {
    if (equalsIgnoreCase(nextElement(value, more), "trailers")) facts.teTrailers = true;
  }
}

void markField(HeadFields& head, std::string_view name) {
  for (Field& field : head.fields()) {
    if (equalsIgnoreCase(head.name(field), name)) field.hopByHop = true;
  }
}

constexpr FieldIds kNeverInTrailers = kHopByHopFields | kNeverNamed | bitOf(FieldId::ContentType) |
                                      bitOf(FieldId::Date) | bitOf(FieldId::Expect) |
                                      bitOf(FieldId::Location) | bitOf(FieldId::Via) |
                                      bitOf(FieldId::XRequestId);

// Framing, routing, request modifiers, authentication, response control, and how to process the
// content (RFC 7230 4.1.2 lists them; RFC 9110 6.5.1 has the principle).
constexpr std::array<std::string_view, 24> kNamesNeverInTrailers = {
    "age",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "proxy-authentication-info",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "warning",
    "www-authenticate",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
};

}  // namespace

ParseError noteField(FieldId id, std::string_view value, FieldFacts& facts) {
  switch (id) {
    case FieldId::Connection:
      return noteConnection(value, facts);
    case FieldId::ContentLength:
      return noteContentLength(value, facts);
    case FieldId::TransferEncoding:
      return noteTransferEncoding(value, facts);
    case FieldId::Expect:
      return noteExpect(value, facts);
    case FieldId::Te:
      noteTe(value, facts);
      return ParseError::None;
    case FieldId::Upgrade:
      facts.hasUpgrade = facts.hasUpgrade || !value.empty();
      return ParseError::None;
    default:
      return ParseError::None;
  }
}

void markNamedFields(HeadFields& head) {
  for (const Field& field : head.fields()) {
    if (field.id != FieldId::Connection) continue;
    std::string_view options = head.value(field);
    for (bool more = true; more;) {
      const std::string_view option = nextElement(options, more);
      if (!option.empty()) markField(head, option);
    }
  }
}

bool isTrailerAllowed(FieldId id, std::string_view name) {
  if ((kNeverInTrailers & bitOf(id)) != 0) return false;
  return std::none_of(kNamesNeverInTrailers.begin(), kNamesNeverInTrailers.end(),
                      [name](std::string_view never) { return equalsIgnoreCase(name, never); });
}

}  // namespace tidegate::http1
