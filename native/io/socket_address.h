// Socket addresses as values: IPv4, IPv6 and Unix paths, parsed from and written as configuration
// text.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/ip_address.h"

namespace tidegate {

class SocketAddress {
 public:
  // "1.2.3.4:80", "[::1]:80", "unix:/path". nullopt when it is none of them.
  static std::optional<SocketAddress> parse(std::string_view text);
  static SocketAddress fromNative(const sockaddr* address, socklen_t length);

  const sockaddr* native() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t nativeLength() const { return length_; }
  int family() const { return storage_.ss_family; }
  bool isUnix() const { return storage_.ss_family == AF_UNIX; }

  // The unspecified address for Unix sockets.
  IpAddress ip() const;
  std::uint16_t port() const;
  std::string unixPath() const;
  std::string toString() const;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace tidegate
