// One path of a route's configuration, taken apart and checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routing/route_match.h"

namespace tidegate {

inline constexpr std::size_t kMaxPatternBytes = 8 * 1024;
inline constexpr std::size_t kMaxPatternSegments = 64;

struct PathSegment {
  enum class Kind : std::uint8_t { Literal, Param, Tail };
  Kind kind = Kind::Literal;
  std::string text;  // of a literal, or the name of a parameter
};

struct PathPattern {
  PathKind kind = PathKind::Any;
  // As shown to people, and what Exact and Regex compare; in the form of a normalised request path.
  std::string text;
  std::vector<PathSegment> segments;  // Prefix (ends with Tail) and Template
};

// Takes `match.text` apart. Bytes that no request path may hold are escaped first, so that `/café`
// means what it says. The error is a sentence for people.
Result<PathPattern, std::string> parsePath(const PathMatch& match);

// The segment of `path` that begins at `at` (just behind a slash); moves `at` to the next one, or
// to npos after the last.
inline std::string_view takeSegment(std::string_view path, std::size_t& at) {
  std::size_t end = at;
  while (end < path.size() && path[end] != '/') ++end;
  const std::string_view segment = path.substr(at, end - at);
  at = end < path.size() ? end + 1 : std::string_view::npos;
  return segment;
}

// By the definition of each kind and without any table. Not for Regex.
bool pathMatches(const PathPattern& pattern, std::string_view path);

}  // namespace tidegate
