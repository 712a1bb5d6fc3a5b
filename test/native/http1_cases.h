// Tables of exact bytes and exact outcomes for the HTTP/1 parser, each held at every split point.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http1/parser.h"

namespace tidegate::test {

// Bytes in memory of exactly their size, so that AddressSanitizer sees a read beyond them.
class ExactBytes {
 public:
  explicit ExactBytes(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::vector<char> bytes_;
};

// A head as one line of text, such as
//   "GET /a?b host=h authority=h:1 HTTP/1.1 length=5 close expect | Name: value | ~Connection:
//   close"
// Words that say nothing (no body, keep-alive) are left out; "~" marks hop-by-hop fields.
std::string describeHead(const RequestHead& head);
// Such as "200 [OK] HTTP/1.1 length=5 close | Name: value".
std::string describeHead(const ResponseHead& head);

// Parses `bytes` and holds that every shorter prefix asks for more, and that bytes after the head
// change nothing. Returns describeHead(), or the error's text when the head is refused.
std::string acceptRequest(std::string_view bytes, const http1::HeadLimits& limits = {});
std::string acceptResponse(std::string_view bytes, Method requestMethod = Method::Get,
                           const http1::HeadLimits& limits = {});

// Parses `bytes` and holds that every prefix either asks for more or is refused for the same
// reason, and that no longer prefix is better off than a shorter one. None when the head is not
// refused. `seenAt`: the length of the shortest refused prefix.
http1::ParseError refuseRequest(std::string_view bytes, const http1::HeadLimits& limits = {},
                                std::size_t* seenAt = nullptr);
http1::ParseError refuseResponse(std::string_view bytes, Method requestMethod = Method::Get,
                                 const http1::HeadLimits& limits = {},
                                 std::size_t* seenAt = nullptr);

// What a chunked body comes to: "body" | trailer section | bytes left over, or the error.
struct DecodedBody {
  std::string body;
  std::string trailers;
  std::size_t consumed = 0;
  http1::ChunkedDecoder::Status status = http1::ChunkedDecoder::Status::NeedMore;
  http1::ParseError error = http1::ParseError::None;

  bool operator==(const DecodedBody&) const = default;
};

// Feeds `bytes` to a decoder in pieces of `pieceBytes` and a first piece of `firstBytes`, as a
// connection would: what a step leaves is given again with what follows.
DecodedBody decodeInPieces(std::string_view bytes, std::size_t firstBytes, std::size_t pieceBytes);

// Decodes `bytes` whole, cut in two at every point, and byte by byte, and holds that all agree.
DecodedBody decodeBody(std::string_view bytes);

}  // namespace tidegate::test
