#include "http/target_rules.h"

#include <algorithm>

#include "base/ascii.h"
#include "http/message.h"

namespace tidegate {

namespace {

constexpr std::string_view kNeverInPath = "\"<>\\^`{|}?#[]";

}  // namespace

bool isSafePath(std::string_view text) {
  if (!text.starts_with('/') || text.size() > kMaxHeadBytes) return false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '%') {
      if (at + 2 >= text.size() || hexValue(text[at + 1]) < 0 || hexValue(text[at + 2]) < 0)
        return false;
      continue;
    }
    if (c <= 0x20 || c >= 0x7f || kNeverInPath.find(c) != std::string_view::npos) return false;
    if (c != '/') continue;
    const std::string_view segment = text.substr(at + 1, text.find('/', at + 1) - at - 1);
    if (segment == "." || segment == "..") return false;
  }
  return true;
}

bool isQueryText(std::string_view text) {
  return text.size() <= kMaxHeadBytes &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

}  // namespace tidegate
