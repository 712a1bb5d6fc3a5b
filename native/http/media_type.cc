#include "http/media_type.h"

#include <cstddef>

#include "base/ascii.h"
#include "http/field_rules.h"

namespace tidegate {

bool isMediaPattern(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view type = text.substr(0, slash);
  const std::string_view subtype = text.substr(slash + 1);
  if (type == "*") return subtype == "*";
  // A star is a token's character too: it stands alone, or before the suffix.
  if (!isLowerCaseToken(type) || type.find('*') != std::string_view::npos) return false;
  return isLowerCaseToken(subtype) && subtype.find('*', 1) == std::string_view::npos &&
         (!subtype.starts_with('*') || subtype.size() == 1 || subtype[1] == '+');
}

bool matchesMediaType(std::string_view pattern, std::string_view contentType) {
  if (pattern == "*/*") return true;
  const std::string_view media = trimOws(contentType.substr(0, contentType.find(';')));
  const std::size_t slash = pattern.find('/');
  const std::size_t own = media.find('/');
  if (own == std::string_view::npos) return false;
  if (!equalsIgnoreCase(media.substr(0, own), pattern.substr(0, slash))) return false;
  std::string_view wanted = pattern.substr(slash + 1);
  std::string_view subtype = media.substr(own + 1);
  if (!wanted.starts_with('*')) return equalsIgnoreCase(subtype, wanted);
  wanted.remove_prefix(1);
  if (subtype.size() <= wanted.size()) return false;
  return equalsIgnoreCase(subtype.substr(subtype.size() - wanted.size()), wanted);
}

}  // namespace tidegate
