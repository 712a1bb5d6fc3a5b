#include "answers.h"

#include <algorithm>

#include "../common/head.h"
#include "../common/http2.h"

namespace tidegate::bench {

void Answers::begin(bool http2) {
  http2_ = http2;
  inBody_ = false;
  pending_.clear();
}

std::string Answers::greeting(bool http2) {
  std::string text;
  if (!http2) return text;
  text = http2::kPreface;
  http2::appendFrame(text, http2::FrameType::Settings, 0, 0);
  // Two gigabytes of small bodies come within it, so that it need not be opened again.
  http2::appendWindowUpdate(text, 0, http2::kLargestWindow - http2::kDefaultWindow);
  return text;
}

Outcome Answers::feed(std::string_view bytes, std::string& reply) {
  if (pending_.empty()) return http2_ ? feedHttp2(bytes, reply) : feedHttp1(bytes);
  pending_.append(bytes);
  const std::string whole = std::move(pending_);
  pending_ = {};
  return http2_ ? feedHttp2(whole, reply) : feedHttp1(whole);
}

Outcome Answers::feedHttp1(std::string_view bytes) {
  if (!inBody_) {
    const std::size_t length = headLength(bytes);
    if (length == 0) {
      pending_ = bytes;
      return Outcome::Incomplete;
    }
    const std::string_view head = bytes.substr(0, length);
    good_ = head.substr(std::min<std::size_t>(head.size(), 9)).starts_with("200");
    bodyLeft_ = leadingNumber(headerValue(head, "content-length:"));
    inBody_ = true;
    bytes.remove_prefix(length);
  }
  bodyLeft_ -= std::min(bodyLeft_, bytes.size());
  if (bodyLeft_ > 0) return Outcome::Incomplete;
  inBody_ = false;
  return outcome();
}

Outcome Answers::feedHttp2(std::string_view bytes, std::string& reply) {
  using http2::FrameType;
  Outcome result = Outcome::Incomplete;
  while (bytes.size() >= http2::kHeaderSize) {
    const http2::FrameHeader header = http2::readHeader(bytes);
    if (bytes.size() < http2::kHeaderSize + header.length) break;
    const std::string_view payload = bytes.substr(http2::kHeaderSize, header.length);
    bytes.remove_prefix(http2::kHeaderSize + header.length);
    switch (header.type) {
      case FrameType::Settings:
      case FrameType::Ping:
        if ((header.flags & http2::kAck) == 0) {
          const bool ping = header.type == FrameType::Ping;
          http2::appendFrame(reply, header.type, http2::kAck, 0, ping ? payload : "");
        }
        break;
      case FrameType::Headers:
        good_ = http2::isOk(payload);
        [[fallthrough]];
      case FrameType::Data:
        if ((header.flags & http2::kEndStream) != 0) result = outcome();
        break;
      case FrameType::RstStream:
      case FrameType::GoAway:
        return Outcome::Broken;
      default:
        break;
    }
  }
  pending_.assign(bytes);
  return result;
}

}  // namespace tidegate::bench
