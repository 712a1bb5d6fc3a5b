// What the texts of a snapshot may hold, so that none of them can bend a message on the wire or a
// line in a log. Every function answers for the whole text, the empty one included.
#pragma once

#include <string_view>

namespace tidegate {

// No control character (C0, DEL).
bool isPlainText(std::string_view text);

// RFC 9110 5.6.2; at least one character.
bool isToken(std::string_view text);
bool isLowerCaseToken(std::string_view text);

// RFC 9110 5.5: visible characters, spaces, tabs, and bytes above 0x7f.
bool isFieldText(std::string_view text);

// A name that header edits may touch: a token, and no field that frames the message, speaks for one
// hop only, or has a rule of its own (Host, Expect).
bool isEditableField(std::string_view name);

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
