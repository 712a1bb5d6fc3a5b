// The part of the WebSocket handshake that a gateway does where one side speaks HTTP/1 and the
// other HTTP/2, which has no keys in it (RFC 6455 4.2.2, RFC 8441 5).
#pragma once

#include <array>
#include <string_view>

namespace tidegate {

inline constexpr std::size_t kWebSocketAcceptBytes = 28;

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::array<char, kWebSocketAcceptBytes> webSocketAccept(std::string_view key);

}  // namespace tidegate
