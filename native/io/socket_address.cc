// Conversions between configuration text and sockaddr.
#include "io/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace tidegate {

namespace {

std::optional<std::uint16_t> parsePort(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > 65535) {
    return std::nullopt;
  }
  return static_cast<std::uint16_t>(value);
}

}  // namespace

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  SocketAddress result;
  if (text.starts_with("unix:")) {
    text.remove_prefix(5);
    sockaddr_un address{};
    if (text.empty() || text.size() >= sizeof address.sun_path) return std::nullopt;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, text.data(), text.size());
    result.length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size() + 1);
    std::memcpy(&result.storage_, &address, sizeof address);
    return result;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parsePort(text.substr(colon + 1));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto ip = IpAddress::parse(host);
  if (!port || !ip || (host.find(':') != std::string_view::npos) != bracketed) return std::nullopt;
  if (!bracketed) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(*port);
    std::memcpy(&address.sin_addr, ip->bytes.data() + 12, 4);
    std::memcpy(&result.storage_, &address, sizeof address);
    result.length_ = sizeof address;
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(*port);
    std::memcpy(&address.sin6_addr, ip->bytes.data(), 16);
    std::memcpy(&result.storage_, &address, sizeof address);
    result.length_ = sizeof address;
  }
  return result;
}

SocketAddress SocketAddress::fromNative(const sockaddr* address, socklen_t length) {
  SocketAddress result;
  result.length_ = length < sizeof result.storage_ ? length : sizeof result.storage_;
  std::memcpy(&result.storage_, address, result.length_);
  return result;
}

IpAddress SocketAddress::ip() const {
  if (family() == AF_INET) {
    return IpAddress::fromV4(&reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr);
  }
  if (family() == AF_INET6) {
    return IpAddress::fromV6(&reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr);
  }
  return {};
}

std::uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  }
  return 0;
}

std::string SocketAddress::unixPath() const {
  if (!isUnix() || length_ <= offsetof(sockaddr_un, sun_path)) return {};
  const auto* address = reinterpret_cast<const sockaddr_un*>(&storage_);
  return {address->sun_path, strnlen(address->sun_path, length_ - offsetof(sockaddr_un, sun_path))};
}

std::string SocketAddress::toString() const {
  if (isUnix()) return "unix:" + unixPath();
  const std::string host = ip().toString();
  const bool v6 = host.find(':') != std::string::npos || (family() == AF_INET6 && !ip().isV4());
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port());
}

}  // namespace tidegate
