// The key of the WebSocket handshake.
#include "http/web_socket.h"

#include <string>

#include "check.h"

namespace tidegate {

namespace {

std::string acceptOf(std::string_view key) {
  const auto text = webSocketAccept(key);
  return {text.data(), text.size()};
}

}  // namespace

TEST("Sec-WebSocket-Accept is what RFC 6455 1.3 says") {
  CHECK_EQ(acceptOf("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK_EQ(acceptOf("x3JJHMbDL1EzLkh9GBhXDw=="), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

}  // namespace tidegate
