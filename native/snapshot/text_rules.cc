// Character classes, each a table of 256 bits.
#include "snapshot/text_rules.h"

#include <algorithm>
#include <array>

#include "http/field_id.h"
#include "io/socket_address.h"

namespace tidegate {
namespace {

class ByteSet {
 public:
  constexpr explicit ByteSet(std::string_view bytes) {
    for (const char byte : bytes) add(static_cast<unsigned char>(byte));
  }

  constexpr ByteSet with(unsigned first, unsigned last) const {
    ByteSet result = *this;
    for (unsigned byte = first; byte <= last; ++byte) result.add(byte);
    return result;
  }
  constexpr ByteSet without(std::string_view bytes) const {
    ByteSet result = *this;
    for (const char byte : bytes) result.has_[static_cast<unsigned char>(byte)] = false;
    return result;
  }

  constexpr bool holds(std::string_view text) const {
    return std::ranges::all_of(
        text, [this](char byte) { return has_[static_cast<unsigned char>(byte)]; });
  }

 private:
  constexpr void add(unsigned byte) { has_[byte] = true; }

  std::array<bool, 256> has_{};
};

constexpr ByteSet kPlain = ByteSet("").with(0x20, 0x7e).with(0x80, 0xff);
constexpr ByteSet kField = kPlain.with('\t', '\t');
constexpr ByteSet kToken = ByteSet("!#$%&'*+-.^_`|~").with('a', 'z').with('A', 'Z').with('0', '9');
constexpr ByteSet kLowerToken = ByteSet("!#$%&'*+-.^_`|~").with('a', 'z').with('0', '9');
constexpr ByteSet kLocation = ByteSet("").with(0x21, 0x7e).without("\"<>\\^`{|}");
constexpr ByteSet kTarget = kLocation.without("#");
constexpr ByteSet kPath = kTarget.without("?");
constexpr ByteSet kHost =
    ByteSet("-._~!$&'()*+,;=%:[]").with('a', 'z').with('A', 'Z').with('0', '9');
constexpr ByteSet kLowerHost = ByteSet("-._~:[]").with('a', 'z').with('0', '9');
constexpr ByteSet kVia = kToken.with(':', ':').with('[', '[').with(']', ']');

}  // namespace

bool isPlainText(std::string_view text) { return kPlain.holds(text); }

bool isToken(std::string_view text) { return !text.empty() && kToken.holds(text); }

bool isLowerCaseToken(std::string_view text) { return !text.empty() && kLowerToken.holds(text); }

bool isFieldText(std::string_view text) { return kField.holds(text); }

bool isEditableField(std::string_view name) {
  switch (fieldIdOf(name)) {
    case FieldId::Connection:
    case FieldId::ContentLength:
    case FieldId::Expect:
    case FieldId::Host:
    case FieldId::KeepAlive:
    case FieldId::ProxyConnection:
    case FieldId::Te:
    case FieldId::Trailer:
    case FieldId::TransferEncoding:
    case FieldId::Upgrade:
      return false;
    default:
      return isToken(name);
  }
}

bool isTargetText(std::string_view text) { return kTarget.holds(text); }

bool isPathText(std::string_view text) { return kPath.holds(text); }

bool isHostText(std::string_view text) { return kHost.holds(text); }

bool isHostPattern(std::string_view text) {
  if (text == "*") return true;
  if (text.starts_with("*.")) text.remove_prefix(2);
  return !text.empty() && kLowerHost.holds(text);
}

bool isLocationText(std::string_view text) { return kLocation.holds(text); }

bool isViaName(std::string_view text) { return kVia.holds(text); }

bool isSocketAddress(std::string_view text) { return SocketAddress::parse(text).has_value(); }

bool isConnectAddress(std::string_view text) {
  const auto address = SocketAddress::parse(text);
  return address.has_value() && (address->isUnix() || address->port() != 0);
}

}  // namespace tidegate
