// What paths and queries may hold when they come from elsewhere than a message: from a policy.
#pragma once

#include <string_view>

namespace tidegate {

// RFC 3986 3.3: begins with "/", percent-encoded, without dot segments, which would lead out of
// where the path points; at most kMaxHeadBytes.
bool isSafePath(std::string_view text);

// RFC 3986 3.4, loosely, as clients send it: visible ASCII but "#"; at most kMaxHeadBytes. May be
// empty.
bool isQueryText(std::string_view text);

}  // namespace tidegate
