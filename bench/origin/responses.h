// Complete responses, built once and then only pointed at.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace tidegate::bench {

constexpr std::size_t kDefaultBody = 64;
constexpr std::size_t kMaxBody = 64u << 20;

// One thread's responses by body size. Views stay valid for the life of the set.
class Responses {
 public:
  Responses();

  // Head and body for a body of `size` bytes (at most kMaxBody). Built at the first call.
  std::string_view ofSize(std::size_t size);

  // The default body with `Connection: close`.
  std::string_view closing() const { return closing_; }

 private:
  std::map<std::size_t, std::string> bySize_;
  std::string_view common_;  // the response of kDefaultBody, which nearly every request asks for
  std::string closing_;
};

// The answer to an upload: its size in decimal as the body.
std::string uploadAnswer(std::size_t bytes);

// An empty response with `Connection: close`, for what this origin does not serve.
std::string refusal(std::string_view status);

}  // namespace tidegate::bench
