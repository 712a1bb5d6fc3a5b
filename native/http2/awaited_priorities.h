// Priorities of requests that have not come yet: a client may send PRIORITY_UPDATE ahead of them
// (RFC 9218 7.1). The last few are kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "http2/priority.h"

namespace tidegate::http2 {

class AwaitedPriorities {
 public:
  static constexpr std::size_t kCount = 8;

  // In place of what was said of the stream before, or else of the oldest one.
  void keep(std::uint32_t stream, const Priority& priority) {
    for (Entry& entry : entries_) {
      if (entry.stream != stream) continue;
      entry.priority = priority;
      return;
    }
    entries_[next_++ % kCount] = {stream, priority};
  }

  // What was said of the stream, which begins now.
  std::optional<Priority> take(std::uint32_t stream) {
    for (Entry& entry : entries_) {
      if (entry.stream != stream) continue;
      entry.stream = 0;
      return entry.priority;
    }
    return std::nullopt;
  }

 private:
  struct Entry {
    std::uint32_t stream = 0;  // 0: none
    Priority priority;
  };

  std::array<Entry, kCount> entries_;
  std::uint8_t next_ = 0;
};

}  // namespace tidegate::http2
