// What the fields of a head say of its body and its connection (RFC 9112 6 and 9.3, RFC
// 9110 7.6.1).
#pragma once

#include <cstdint>
#include <string_view>

#include "http/message.h"
#include "http1/parser.h"

namespace tidegate::http1 {

// Gathered field by field; the head's version is set before.
struct FieldFacts {
  std::uint8_t minorVersion = 1;
  bool hasLength = false;
  bool chunked = false;
  bool closeOption = false;      // Connection: close
  bool keepAliveOption = false;  // Connection: keep-alive
  bool upgradeOption = false;    // Connection: upgrade
  bool hasUpgrade = false;
  bool teTrailers = false;
  bool expectContinue = false;
  std::uint8_t namedFields = 0;  // options of Connection that may be names of other fields
  std::uint64_t contentLength = 0;

  bool keepAlive() const { return !closeOption && (minorVersion >= 1 || keepAliveOption); }
  bool upgrade() const { return upgradeOption && hasUpgrade && minorVersion >= 1; }
};

// Fields that noteField() reads, in a response and in a request.
inline constexpr FieldIds kResponseFacts =
    bitOf(FieldId::Connection) | bitOf(FieldId::ContentLength) | bitOf(FieldId::TransferEncoding) |
    bitOf(FieldId::Upgrade);
inline constexpr FieldIds kRequestFacts =
    kResponseFacts | bitOf(FieldId::Expect) | bitOf(FieldId::Te);

// Fields that are always meant for one hop.
inline constexpr FieldIds kHopByHopFields =
    bitOf(FieldId::Connection) | bitOf(FieldId::KeepAlive) | bitOf(FieldId::ProxyAuthenticate) |
    bitOf(FieldId::ProxyAuthorization) | bitOf(FieldId::ProxyConnection) | bitOf(FieldId::Te) |
    bitOf(FieldId::Trailer) | bitOf(FieldId::TransferEncoding) | bitOf(FieldId::Upgrade);

// Reads one field into `facts`, and refuses values and repetitions that leave the framing in doubt.
// `value` keeps tabs around it, which make it a bad one.
ParseError noteField(FieldId id, std::string_view value, FieldFacts& facts);

// Marks the fields that Connection names as hop-by-hop. Needed only where facts.namedFields > 0.
void markNamedFields(HeadFields& head);

// Whether a field of that name may stand in a trailer section (RFC 9110 6.5.1).
bool isTrailerAllowed(FieldId id, std::string_view name);

}  // namespace tidegate::http1
