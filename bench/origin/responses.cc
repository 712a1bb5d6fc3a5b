#include "responses.h"

#include <ctime>

namespace tidegate::bench {
namespace {

// What a real service would send: proxies read, copy or replace each of these.
std::string head(std::string_view status, std::size_t length, bool close) {
  char date[64];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  std::string text = "HTTP/1.1 ";
  text.append(status).append("\r\nServer: bench-origin\r\nDate: ").append(date);
  text.append("\r\nContent-Type: text/plain\r\nContent-Length: ").append(std::to_string(length));
  if (close) text.append("\r\nConnection: close");
  return text.append("\r\n\r\n");
}

std::string response(std::size_t length, bool close) {
  return head("200 OK", length, close).append(length, 'x');
}

}  // namespace

Responses::Responses() : closing_(response(kDefaultBody, true)) {
  for (const std::size_t size :
       {kDefaultBody, std::size_t{1} << 10, std::size_t{10} << 10, std::size_t{1} << 20}) {
    bySize_.emplace(size, response(size, false));
  }
  common_ = bySize_[kDefaultBody];
}

std::string_view Responses::ofSize(std::size_t size) {
  if (size == kDefaultBody) return common_;
  const auto found = bySize_.find(size);
  if (found != bySize_.end()) return found->second;
  return bySize_.emplace(size, response(size, false)).first->second;
}

std::string uploadAnswer(std::size_t bytes) {
  const std::string body = std::to_string(bytes);
  return head("200 OK", body.size(), false).append(body);
}

std::string refusal(std::string_view status) { return head(status, 0, true); }

}  // namespace tidegate::bench
