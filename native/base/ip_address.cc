// Text forms of addresses and prefixes (RFC 4291, RFC 5952), and membership.
#include "base/ip_address.h"

#include <arpa/inet.h>

#include <cstring>

namespace tidegate {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::uint8_t kMappedBits = 96;

// Every number of a dotted quad, with the dot behind it.
struct DottedByte {
  std::array<char, 4> text;
  std::uint8_t size;
};

constexpr std::array<DottedByte, 256> kDottedBytes = [] {
  std::array<DottedByte, 256> all{};
  for (unsigned value = 0; value < all.size(); ++value) {
    std::uint8_t size = 0;
    const auto put = [&](unsigned digit) {
      all[value].text[size++] = static_cast<char>('0' + digit);
    };
    if (value >= 100) put(value / 100);
    if (value >= 10) put(value / 10 % 10);
    put(value % 10);
    all[value].text[size++] = '.';
    all[value].size = size;
  }
  return all;
}();

char* writeHexGroup(char* out, unsigned value) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 12; shift >= 0; shift -= 4) {
    // Leading zeros are left out, the last digit never is.
    if (shift == 0 || value >> shift != 0) *out++ = kDigits[(value >> shift) & 15];
  }
  return out;
}

// The longest run of at least two zero groups, the first of equals (RFC 5952 4.2).
struct ZeroRun {
  int start = -1;
  int length = 0;
};

ZeroRun longestZeroRun(const std::array<unsigned, 8>& groups) {
  ZeroRun best;
  for (int i = 0; i < 8;) {
    int end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i >= 2 && end - i > best.length) best = {i, end - i};
    i = end + 1;
  }
  return best;
}

}  // namespace

bool IpAddress::isV4() const {
  return std::memcmp(bytes.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  // inet_pton wants a NUL, and would stop at one inside.
  char copy[kMaxText];
  if (text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return std::nullopt;
  text.copy(copy, text.size());
  copy[text.size()] = '\0';

  std::uint8_t raw[16];
  if (inet_pton(AF_INET, copy, raw) == 1) return fromV4(raw);
  if (inet_pton(AF_INET6, copy, raw) == 1) return fromV6(raw);
  return std::nullopt;
}

IpAddress IpAddress::fromV4(const void* address) {
  IpAddress result;
  std::memcpy(result.bytes.data(), kMappedPrefix.data(), kMappedPrefix.size());
  std::memcpy(result.bytes.data() + kMappedPrefix.size(), address, 4);
  return result;
}

IpAddress IpAddress::fromV6(const void* address) {
  IpAddress result;
  std::memcpy(result.bytes.data(), address, result.bytes.size());
  return result;
}

std::size_t IpAddress::format(char* out) const {
  char* end = out;
  if (isV4()) {
    for (std::size_t i = kMappedPrefix.size(); i < bytes.size(); ++i) {
      const DottedByte& byte = kDottedBytes[bytes[i]];
      std::memcpy(end, byte.text.data(), byte.text.size());
      end += byte.size;
    }
    // Without the dot behind the last one.
    return static_cast<std::size_t>(end - out) - 1;
  }

  std::array<unsigned, 8> groups;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    groups[i] = static_cast<unsigned>(bytes[2 * i]) << 8 | bytes[2 * i + 1];
  }
  const ZeroRun run = longestZeroRun(groups);
  for (int i = 0; i < 8; ++i) {
    if (i == run.start) {
      *end++ = ':';
      *end++ = ':';
      i += run.length - 1;
      continue;
    }
    if (i > 0 && end[-1] != ':') *end++ = ':';
    end = writeHexGroup(end, groups[static_cast<std::size_t>(i)]);
  }
  return static_cast<std::size_t>(end - out);
}

std::string IpAddress::toString() const {
  char text[kMaxText];
  return {text, format(text)};
}

bool IpPrefix::contains(const IpAddress& ip) const {
  const std::size_t whole = length / 8;
  if (std::memcmp(ip.bytes.data(), address.bytes.data(), whole) != 0) return false;
  const unsigned rest = length % 8;
  return rest == 0 || (ip.bytes[whole] ^ address.bytes[whole]) >> (8 - rest) == 0;
}

std::string IpPrefix::toString() const {
  const bool dotted = address.isV4() && length >= kMappedBits;
  return address.toString() + "/" + std::to_string(dotted ? length - kMappedBits : length);
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view addressText = text.substr(0, slash);
  const std::optional<IpAddress> address = IpAddress::parse(addressText);
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return IpPrefix{*address, 128};

  const bool dotted = addressText.find(':') == std::string_view::npos;
  const std::string_view digits = text.substr(slash + 1);
  if (digits.empty() || digits.size() > 3 || (digits[0] == '0' && digits.size() > 1)) {
    return std::nullopt;
  }
  unsigned length = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    length = length * 10 + static_cast<unsigned>(digit - '0');
  }
  if (length > (dotted ? 32U : 128U)) return std::nullopt;
  return of(*address, dotted ? length + kMappedBits : length);
}

std::optional<IpPrefix> IpPrefix::of(const IpAddress& address, unsigned length) {
  if (length > 128) return std::nullopt;
  for (unsigned bit = length; bit < 128; ++bit) {
    if ((address.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) return std::nullopt;
  }
  return IpPrefix{address, static_cast<std::uint8_t>(length)};
}

}  // namespace tidegate
