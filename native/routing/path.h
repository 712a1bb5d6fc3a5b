// Normalises a request's path once, before matching, so that what was matched is what is forwarded
// (RFC 3986 6.2.2 and 5.2.4).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tidegate {

enum class EscapedSlashes : std::uint8_t { Reject, Keep, Decode };

struct PathRules {
  bool mergeSlashes = true;
  // %2F and %5C: refused, left as they are, or made into `/`.
  EscapedSlashes escapedSlashes = EscapedSlashes::Reject;
};

enum class PathError : std::uint8_t {
  None,
  BadEscape,     // `%` without two hexadecimal digits
  EscapedNul,    // %00
  EscapedSlash,  // %2F or %5C where the rules reject them
  AboveRoot,     // dot segments that climb over the root
  // A dot segment that only some servers see: beside a kept escaped slash, or before `;` (`..;/`).
  HiddenDotSegment,
  // A control character, space, `#`, `?`, `\` or non-ASCII byte; or the path does not begin with
  // `/`.
  BadCharacter,
};

struct NormalPath {
  PathError error = PathError::None;
  // Either `path` itself (nothing had to change) or the bytes written to `out`.
  std::string_view path;
};

// Decodes escapes of unreserved characters, writes other escapes in upper case, removes dot
// segments (also written as escapes), merges repeated slashes by the rules. `out.size() >=
// path.size()`; the result is never longer than the input. `*` (OPTIONS *) is returned as it is.
// Idempotent: normalising the result changes nothing. Whoever decodes the result once, and takes
// `\` for `/` or drops `;` parameters, still finds no dot segment.
NormalPath normalizePath(std::string_view path, const PathRules& rules, std::span<char> out);

// Lower-cases and drops one trailing dot: what host matching compares. `out.size() >= host.size()`;
// it is written only when a letter changes.
std::string_view normalizeHost(std::string_view host, std::span<char> out);

}  // namespace tidegate
