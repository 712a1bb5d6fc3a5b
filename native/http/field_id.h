// The header fields that the core acts on; every other field is FieldId::Other and passes by name.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate {

// Order is free: ids never leave the process.
enum class FieldId : std::uint8_t {
  Other,
  Accept,
  AcceptEncoding,
  Authorization,
  Connection,
  ContentLength,
  ContentType,
  Cookie,
  Date,
  Expect,
  Forwarded,
  GrpcTimeout,
  Host,
  KeepAlive,
  Location,
  ProxyAuthenticate,
  ProxyAuthorization,
  ProxyConnection,
  Referer,
  Server,
  Te,
  Trailer,
  TransferEncoding,
  Upgrade,
  UserAgent,
  Via,
  XForwardedFor,
  XForwardedHost,
  XForwardedProto,
  XRequestId,
};

// A set of ids, one bit each; see bitOf().
using FieldIds = std::uint64_t;
constexpr FieldIds bitOf(FieldId id) { return FieldIds{1} << static_cast<unsigned>(id); }

// Case-insensitive; FieldId::Other for names that the core does not act on. Never allocates.
FieldId fieldIdOf(std::string_view name);

// The canonical lower-case name; empty for FieldId::Other.
std::string_view fieldName(FieldId id);

}  // namespace tidegate
