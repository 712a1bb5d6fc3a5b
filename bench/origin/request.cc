#include "request.h"

#include "../common/head.h"
#include "responses.h"

namespace tidegate::bench {
namespace {

// Digits and one optional suffix.
std::size_t readSize(std::string_view text) {
  const std::size_t size = leadingNumber(text);
  const std::size_t digits = text.find_first_not_of("0123456789");
  const char suffix = digits < text.size() ? static_cast<char>(text[digits] | 0x20) : '\0';
  if (size > kMaxBody) return size;
  return suffix == 'k' ? size << 10 : suffix == 'm' ? size << 20 : size;
}

}  // namespace

std::size_t bodySizeOf(std::string_view target) {
  return target.starts_with("/b/") ? readSize(target.substr(3)) : kDefaultBody;
}

Request readRequest(std::string_view input) {
  Request request;
  request.headLength = headLength(input);
  if (request.headLength == 0) return request;
  const std::string_view head = input.substr(0, request.headLength);
  const std::string_view line = head.substr(0, head.find('\r'));
  const std::size_t space = line.find(' ');
  const std::string_view target =
      space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  request.close = line.ends_with("HTTP/1.0") || saysClose(headerValue(head, "connection:"));

  if (line.starts_with("POST") || line.starts_with("PUT") || target.starts_with("/upload")) {
    request.want = headerValue(head, "transfer-encoding:").empty() ? Want::Upload : Want::Refused;
    request.uploadLength = leadingNumber(headerValue(head, "content-length:"));
    return request;
  }
  if (target.starts_with("/close")) {
    request.want = Want::Close;
    return request;
  }
  request.bodySize = bodySizeOf(target);
  request.want = request.bodySize > kMaxBody ? Want::Refused : Want::Body;
  return request;
}

}  // namespace tidegate::bench
