// The part of the WebSocket handshake that a gateway does where one side speaks HTTP/1 and the
// other HTTP/2, which has no keys in it (RFC 6455 4.2.2, RFC 8441 5).
#pragma once

#include <array>
#include <string_view>

#include "http/message.h"

namespace tidegate {

inline constexpr std::size_t kWebSocketAcceptBytes = 28;

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::array<char, kWebSocketAcceptBytes> webSocketAccept(std::string_view key);

// Whether the response has the one Sec-WebSocket-Accept that belongs to the request's
// Sec-WebSocket-Key: who answered knows that it is a WebSocket (RFC 6455 4.1).
bool acceptsWebSocket(const HeadFields& request, const HeadFields& response);

}  // namespace tidegate
