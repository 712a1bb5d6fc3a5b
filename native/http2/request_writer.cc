#include "http2/request_writer.h"

#include <array>
#include <charconv>
#include <span>

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
  std::array<char, 20> digits;
  std::string_view length;
  if (head.body == BodyKind::Length) {
    const char* const end = std::to_chars(digits.begin(), digits.end(), head.contentLength).ptr;
    length = {digits.data(), static_cast<std::size_t>(end - digits.data())};
  }
  const bool webSocket = !head.upgrade.empty();
  const std::string_view method = webSocket ? "CONNECT" : head.method;

  FieldBlock::Size size;
  size.with(":method", method).with(":protocol", "websocket").with(":scheme", scheme);
  size.with(":authority", head.host).with(":path", target);
  size.with(head.fields).with("content-length", length).with("te", "trailers");
  FieldBlock block(out, pool, encoder, size);
  if (webSocket) block.add({{":method", method}, {":protocol", "websocket"}});
  const std::array<OutgoingField, 4> pseudo = {
      {{":method", method}, {":scheme", scheme}, {":authority", head.host}, {":path", target}}};
  block.add(std::span(pseudo).subspan(webSocket ? 1 : 0));
  block.addAll(head.fields, webSocket ? "sec-websocket-key" : "");
  if (head.body == BodyKind::Length) block.add({{"content-length", length}});
  if (head.teTrailers) block.add({{"te", "trailers"}});
  block.end(stream, endStream);
}

}  // namespace tidegate::http2
