// Names of header fields to ids and back. The length decides among at most four names, and a name
// is compared in words of up to eight bytes.
#include "http/field_id.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace tidegate {
namespace {

// Indexed by FieldId.
constexpr std::array<std::string_view, 30> kNames = {
    "",
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "grpc-timeout",
    "host",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
};
static_assert(kNames[static_cast<std::size_t>(FieldId::XRequestId)] == "x-request-id");

// `Word` at `at` of the name of `Id`, as a load from memory reads it, and the bits that make its
// letters lower case. Only letters get such a bit: '-' (0x2d) would otherwise equal CR (0x0d).
template <typename Word>
struct Pattern {
  Word text;
  Word fold;
};

template <typename Word>
consteval Pattern<Word> patternOf(std::string_view name, std::size_t at) {
  std::array<char, sizeof(Word)> text{};
  std::array<char, sizeof(Word)> fold{};
  for (std::size_t i = 0; i < sizeof(Word); ++i) {
    text[i] = name[at + i];
    fold[i] = name[at + i] >= 'a' ? 0x20 : 0;
  }
  return {std::bit_cast<Word>(text), std::bit_cast<Word>(fold)};
}

template <FieldId Id, typename Word, std::size_t At>
bool matchesAt(const char* name) {
  constexpr Pattern<Word> kPattern = patternOf<Word>(kNames[static_cast<std::size_t>(Id)], At);
  Word word;
  std::memcpy(&word, name + At, sizeof word);
  return static_cast<Word>(word | kPattern.fold) == kPattern.text;
}

// `name` has the length of the name of `Id`. The last word may overlap the one before.
template <FieldId Id>
bool matches(const char* name) {
  constexpr std::size_t kSize = kNames[static_cast<std::size_t>(Id)].size();
  if constexpr (kSize > 16) {
    return matchesAt<Id, std::uint64_t, 0>(name) && matchesAt<Id, std::uint64_t, 8>(name) &&
           matchesAt<Id, std::uint64_t, kSize - 8>(name);
  } else if constexpr (kSize >= 8) {
    return matchesAt<Id, std::uint64_t, 0>(name) && matchesAt<Id, std::uint64_t, kSize - 8>(name);
  } else if constexpr (kSize >= 4) {
    return matchesAt<Id, std::uint32_t, 0>(name) && matchesAt<Id, std::uint32_t, kSize - 4>(name);
  } else {
    return matchesAt<Id, std::uint16_t, 0>(name) && matchesAt<Id, std::uint16_t, kSize - 2>(name);
  }
}

// The one of `Ids` that `name` is; all of them have its length.
template <FieldId... Ids>
FieldId oneOf(const char* name) {
  FieldId found = FieldId::Other;
  (void)((matches<Ids>(name) && (found = Ids, true)) || ...);
  return found;
}

}  // namespace

FieldId fieldIdOf(std::string_view name) {
  const char* text = name.data();
  switch (name.size()) {
    case 2:
      return oneOf<FieldId::Te>(text);
    case 3:
      return oneOf<FieldId::Via>(text);
    case 4:
      return oneOf<FieldId::Host, FieldId::Date>(text);
    case 6:
      return oneOf<FieldId::Accept, FieldId::Cookie, FieldId::Server, FieldId::Expect>(text);
    case 7:
      return oneOf<FieldId::Referer, FieldId::Upgrade, FieldId::Trailer>(text);
    case 8:
      return oneOf<FieldId::Location>(text);
    case 9:
      return oneOf<FieldId::Forwarded>(text);
    case 10:
      return oneOf<FieldId::Connection, FieldId::UserAgent, FieldId::KeepAlive>(text);
    case 12:
      return oneOf<FieldId::ContentType, FieldId::XRequestId, FieldId::GrpcTimeout>(text);
    case 13:
      return oneOf<FieldId::Authorization>(text);
    case 14:
      return oneOf<FieldId::ContentLength>(text);
    case 15:
      return oneOf<FieldId::AcceptEncoding, FieldId::XForwardedFor>(text);
    case 16:
      return oneOf<FieldId::XForwardedHost, FieldId::ProxyConnection>(text);
    case 17:
      return oneOf<FieldId::TransferEncoding, FieldId::XForwardedProto>(text);
    case 18:
      return oneOf<FieldId::ProxyAuthenticate>(text);
    case 19:
      return oneOf<FieldId::ProxyAuthorization>(text);
    default:
      return FieldId::Other;
  }
}

std::string_view fieldName(FieldId id) { return kNames[static_cast<std::size_t>(id)]; }

}  // namespace tidegate
