// IPv4 and IPv6 addresses and prefixes as values. IPv4 is kept as an IPv4-mapped IPv6 address, so
// that one comparison serves both families.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  bool isV4() const;
  bool operator==(const IpAddress&) const = default;

  // Dotted quad or RFC 4291 text, without brackets or zone. nullopt when it is neither.
  static std::optional<IpAddress> parse(std::string_view text);
  // `address` points at the 4 or 16 bytes in network order.
  static IpAddress fromV4(const void* address);
  static IpAddress fromV6(const void* address);

  // RFC 5952 text (dotted quad for IPv4-mapped). `out` holds at least kMaxText bytes; returns the
  // length. No NUL.
  static constexpr std::size_t kMaxText = 46;
  std::size_t format(char* out) const;
  std::string toString() const;
};

struct IpPrefix {
  IpAddress address;        // host bits are zero
  std::uint8_t length = 0;  // 0..128, over the mapped form: 10.0.0.0/8 has length 104

  bool contains(const IpAddress& ip) const;
  bool operator==(const IpPrefix&) const = default;

  // "10.0.0.0/8", "2001:db8::/32", or an address alone (its full length). Set host bits are an
  // error.
  static std::optional<IpPrefix> parse(std::string_view text);

  // `length` over the mapped form; nullopt when it is more than 128 or a host bit is set.
  static std::optional<IpPrefix> of(const IpAddress& address, unsigned length);

  // As parse() reads it, always with a length.
  std::string toString() const;
};

}  // namespace tidegate
