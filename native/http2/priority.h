// Priorities of responses (RFC 9218).
#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate::http2 {

struct Priority {
  std::uint8_t urgency = 3;  // 0 (first) to 7
  bool incremental = false;  // of use before it is complete

  bool operator==(const Priority&) const = default;
};

// The value of a Priority field or of a PRIORITY_UPDATE frame. What cannot be read, and what is not
// known, is passed over, so that there is always an answer.
Priority parsePriority(std::string_view text);

}  // namespace tidegate::http2
