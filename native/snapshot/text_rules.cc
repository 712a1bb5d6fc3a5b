#include "snapshot/text_rules.h"

#include "base/byte_set.h"
#include "io/socket_address.h"

namespace tidegate {
namespace {

constexpr ByteSet kLocationBytes = ByteSet("").with(0x21, 0x7e).without("\"<>\\^`{|}");
constexpr ByteSet kTargetBytes = kLocationBytes.without("#");
constexpr ByteSet kPath = kTargetBytes.without("?");
constexpr ByteSet kHost =
    ByteSet("-._~!$&'()*+,;=%:[]").with('a', 'z').with('A', 'Z').with('0', '9');
constexpr ByteSet kLowerHost = ByteSet("-._~:[]").with('a', 'z').with('0', '9');
constexpr ByteSet kVia = ByteSet("!#$%&'*+-.^_`|~:[]").with('a', 'z').with('A', 'Z').with('0', '9');

}  // namespace

bool isTargetText(std::string_view text) { return kTargetBytes.holds(text); }

bool isPathText(std::string_view text) { return kPath.holds(text); }

bool isHostText(std::string_view text) { return kHost.holds(text); }

bool isHostPattern(std::string_view text) {
  if (text == "*") return true;
  if (text.starts_with("*.")) text.remove_prefix(2);
  return !text.empty() && kLowerHost.holds(text);
}

bool isLocationText(std::string_view text) { return kLocationBytes.holds(text); }

bool isViaName(std::string_view text) { return kVia.holds(text); }

bool isSocketAddress(std::string_view text) { return SocketAddress::parse(text).has_value(); }

bool isConnectAddress(std::string_view text) {
  const auto address = SocketAddress::parse(text);
  return address.has_value() && (address->isUnix() || address->port() != 0);
}

}  // namespace tidegate
