#include "http2/priority.h"

#include "base/ascii.h"

namespace tidegate::http2 {

namespace {

// A member of the dictionary, without its parameters.
void readMember(std::string_view member, Priority& priority) {
  member = trimOws(member.substr(0, member.find(';')));
  if (member.size() == 3 && member.starts_with("u=") && member[2] >= '0' && member[2] <= '7') {
    priority.urgency = static_cast<std::uint8_t>(member[2] - '0');
  } else if (member == "i" || member == "i=?1") {
    priority.incremental = true;
  } else if (member == "i=?0") {
    priority.incremental = false;
  }
}

}  // namespace

Priority parsePriority(std::string_view text) {
  Priority priority;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    readMember(text.substr(0, comma), priority);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return priority;
}

}  // namespace tidegate::http2
