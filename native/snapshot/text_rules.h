// What the texts of a snapshot may hold beside names and values of fields (http/field_rules.h), so
// that none of them can bend a message on the wire or a line in a log. Every function answers for
// the whole text, the empty one included.
#pragma once

#include <string_view>

#include "http/field_rules.h"

namespace tidegate {

// Part of a request target: visible ASCII without `#`, `"`, `<`, `>`, `\`, `^`, `` ` ``, `{`, `|`,
// `}`.
bool isTargetText(std::string_view text);
// The same without `?`.
bool isPathText(std::string_view text);

// Part of a host with or without port: RFC 3986 3.2.2, in ASCII.
bool isHostText(std::string_view text);

// A lower-case host, `*.` and such a host, or `*`.
bool isHostPattern(std::string_view text);

// Part of a Location: a URI reference (RFC 3986), that is target text and `#`.
bool isLocationText(std::string_view text);

// The received-by of Via (RFC 9110 7.6.3): a host with or without port, or a pseudonym.
bool isViaName(std::string_view text);

// "1.2.3.4:80", "[::1]:80" or "unix:/path".
bool isSocketAddress(std::string_view text);
// The same with a port that is not 0.
bool isConnectAddress(std::string_view text);

}  // namespace tidegate
