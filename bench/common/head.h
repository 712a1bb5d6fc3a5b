// The few things that the bench's programs read in a message head. The peers under test are trusted
// to send valid HTTP/1.1.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace tidegate::bench {

// The length of the head that `input` begins with, its empty line included; 0 while incomplete.
inline std::size_t headLength(std::string_view input) {
  const void* end = ::memmem(input.data(), input.size(), "\r\n\r\n", 4);
  if (end == nullptr) return 0;
  return static_cast<std::size_t>(static_cast<const char*>(end) - input.data()) + 4;
}

// The value of a header in a complete head, or an empty view. `name` is lower case, with its colon.
inline std::string_view headerValue(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at)) {
    const std::string_view line = head.substr(++at);
    // '-' and ':' keep their value under | 0x20, so the whole name is compared alike.
    if (line.size() <= name.size() || (line[0] | 0x20) != name[0]) continue;
    std::size_t same = 1;
    while (same < name.size() && (line[same] | 0x20) == name[same]) ++same;
    if (same < name.size()) continue;
    std::string_view value = line.substr(same, line.find('\r') - same);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

// The number that `text` begins with; 0 when it begins with none.
inline std::size_t leadingNumber(std::string_view text) {
  std::size_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9' || value > (std::size_t{1} << 50)) break;
    value = value * 10 + static_cast<std::size_t>(digit - '0');
  }
  return value;
}

// Whether a `Connection` value begins with "close".
inline bool saysClose(std::string_view connection) {
  return connection.size() >= 5 && (connection[0] | 0x20) == 'c' && (connection[1] | 0x20) == 'l';
}

}  // namespace tidegate::bench
