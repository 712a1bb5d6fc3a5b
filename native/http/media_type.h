// Media types (RFC 9110 8.3.1): which of them a pattern means.
#pragma once

#include <string_view>

namespace tidegate {

// `application/json`, `text/*`, `application/*+json` (what ends in it) or `*/*`; lower-case.
bool isMediaPattern(std::string_view text);

// Whether the value of a Content-Type is of that kind, its parameters aside. Without a value only
// `*/*` is. `pattern`: isMediaPattern().
bool matchesMediaType(std::string_view pattern, std::string_view contentType);

}  // namespace tidegate
