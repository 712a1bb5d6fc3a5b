#include "http2/request_writer.h"

#include <array>
#include <charconv>
#include <cstring>

namespace tidegate::http2 {

void writeRequestHead(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder,
                      std::uint32_t stream, const OutgoingRequest& head, std::string_view scheme,
                      bool endStream) {
  Block joined;
  std::string_view target = head.path;
  if (head.hasQuery) {
    joined = pool.acquire(head.path.size() + 1 + head.query.size());
    char* at = joined.data();
    at += head.path.copy(at, head.path.size());
    *at++ = '?';
    at += head.query.copy(at, head.query.size());
    target = {joined.data(), static_cast<std::size_t>(at - joined.data())};
  }
  std::array<char, 20> digits{};
  const char* const end = std::to_chars(digits.begin(), digits.end(), head.contentLength).ptr;
  const std::string_view length(digits.data(), static_cast<std::size_t>(end - digits.data()));
  const bool webSocket = !head.upgrade.empty();
  const std::string_view method = webSocket ? "CONNECT" : head.method;

  FieldBlock::Size size;
  size.with(":method", method).with(":protocol", "websocket").with(":scheme", scheme);
  size.with(":authority", head.host).with(":path", target);
  size.with(head.fields).with("content-length", length).with("te", "trailers");
  FieldBlock block(out, pool, encoder, size);
  if (webSocket) {
    block.add({{":method", method}, {":protocol", "websocket"}});
  } else {
    block.add({{":method", method}});
  }
  block.add({{":scheme", scheme}, {":authority", head.host}, {":path", target}});
  block.addAll(head.fields, webSocket ? "sec-websocket-key" : "");
  if (head.body == BodyKind::Length) block.add({{"content-length", length}});
  if (head.teTrailers) block.add({{"te", "trailers"}});
  block.end(stream, endStream);
}

}  // namespace tidegate::http2
