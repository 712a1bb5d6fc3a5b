// Checks and the plain definition of path patterns.
#include "routing/path_pattern.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/ascii.h"
#include "routing/path.h"
#include "routing/router.h"

namespace tidegate {
namespace {

std::string escapeForeignBytes(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte < 0x7f) {
      result += c;
    } else {
      result += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return result;
}

std::string_view errorText(PathError error) {
  switch (error) {
    case PathError::BadEscape:
      return "`%` stands without two hexadecimal digits";
    case PathError::EscapedNul:
      return "it holds %00";
    case PathError::BadCharacter:
      return "it holds `?`, `#` or `\\`, which no path may hold";
    case PathError::AboveRoot:
    case PathError::HiddenDotSegment:
      return "it holds `.` or `..` segments";
    case PathError::None:
    case PathError::EscapedSlash:  // kept
      break;
  }
  return "";
}

// Escapes in the form that normalizePath gives them. Slashes stay as written: which ones are merged
// is the listener's choice.
Result<std::string, std::string> canonical(std::string_view written) {
  const std::string text = escapeForeignBytes(written);
  std::string result;
  for (std::size_t at = 1; at != std::string_view::npos;) {
    const std::string segment = "/" + std::string(takeSegment(text, at));
    std::string out(segment.size(), '\0');
    const NormalPath normal = normalizePath(segment, {false, EscapedSlashes::Keep}, out);
    if (normal.error != PathError::None) return Failure{std::string(errorText(normal.error))};
    // A dot segment vanishes.
    if (normal.path == "/" && segment != "/")
      return Failure{std::string(errorText(PathError::AboveRoot))};
    result += normal.path;
  }
  return result;
}

bool isParamName(std::string_view name) {
  if (name.empty() || isDigit(name[0])) return false;
  return std::ranges::all_of(name, [](char c) {
    return isDigit(c) || c == '_' || (toLower(c) >= 'a' && toLower(c) <= 'z');
  });
}

// What is wrong with the segments as a Prefix or Template; empty when nothing is.
std::string segmentsError(const PathPattern& pattern) {
  if (pattern.segments.size() > kMaxPatternSegments) {
    return "it has more than " + std::to_string(kMaxPatternSegments) + " segments";
  }
  std::vector<std::string_view> names;
  for (const PathSegment& segment : pattern.segments) {
    if (segment.kind == PathSegment::Kind::Tail && &segment != &pattern.segments.back()) {
      return "`*` stands only for the rest of the path, as its last segment";
    }
    if (segment.kind != PathSegment::Kind::Param) continue;
    if (!isParamName(segment.text)) {
      return "the parameter name `" + segment.text +
             "` is not letters, digits and `_`, beginning with no digit";
    }
    if (std::ranges::find(names, segment.text) != names.end()) {
      return "two parameters are named `" + segment.text + "`";
    }
    names.push_back(segment.text);
  }
  if (names.size() > kMaxRouteParams) {
    return "it has more than " + std::to_string(kMaxRouteParams) + " parameters";
  }
  if (pattern.kind == PathKind::Prefix && pattern.segments.back().kind != PathSegment::Kind::Tail) {
    return "a prefix ends with `/*`";
  }
  return {};
}

PathSegment parseSegment(std::string_view text, PathKind kind) {
  if (text == "*") return {PathSegment::Kind::Tail, {}};
  if (kind == PathKind::Template && text.starts_with(':')) {
    return {PathSegment::Kind::Param, std::string(text.substr(1))};
  }
  return {PathSegment::Kind::Literal, std::string(text)};
}

}  // namespace

Result<PathPattern, std::string> parsePath(const PathMatch& match) {
  PathPattern pattern;
  pattern.kind = match.kind;
  pattern.text = match.text;
  if (match.kind == PathKind::Any) return pattern;
  if (match.text.empty()) return Failure{std::string("it is empty")};
  if (match.kind == PathKind::Regex) return pattern;
  if (match.kind == PathKind::Exact && match.text == "*") return pattern;  // OPTIONS *
  if (match.text[0] != '/') return Failure{std::string("it does not begin with `/`")};

  Result<std::string, std::string> text = canonical(match.text);
  if (!text) return Failure{std::move(text.error())};
  if (text->size() > kMaxPatternBytes) {
    return Failure{"it is longer than " + std::to_string(kMaxPatternBytes) + " bytes"};
  }
  pattern.text = std::move(*text);
  std::vector<PathSegment> segments;
  for (std::size_t at = 1; at != std::string::npos;) {
    const std::string_view segment = takeSegment(pattern.text, at);
    if (segment.size() > 1 && segment.find('*') != std::string_view::npos) {
      return Failure{
          std::string("`*` is a segment of its own; a literal one takes a regular expression")};
    }
    segments.push_back(parseSegment(segment, match.kind));
  }
  if (match.kind == PathKind::Exact) {
    const bool literal = std::ranges::none_of(segments, [](const PathSegment& segment) {
      return segment.kind == PathSegment::Kind::Tail;
    });
    if (!literal) return Failure{std::string("an exact path holds no `*`")};
    return pattern;
  }
  pattern.segments = std::move(segments);
  std::string error = segmentsError(pattern);
  if (!error.empty()) return Failure{std::move(error)};
  return pattern;
}

bool pathMatches(const PathPattern& pattern, std::string_view path) {
  assert(pattern.kind != PathKind::Regex);
  if (pattern.kind == PathKind::Any) return true;
  if (pattern.kind == PathKind::Exact) return path == pattern.text;
  if (!path.starts_with('/')) return false;
  std::size_t at = 1;
  for (const PathSegment& expected : pattern.segments) {
    if (expected.kind == PathSegment::Kind::Tail) return true;
    if (at == std::string_view::npos) return false;
    const std::string_view segment = takeSegment(path, at);
    if (expected.kind == PathSegment::Kind::Param ? segment.empty() : segment != expected.text)
      return false;
  }
  return at == std::string_view::npos;
}

}  // namespace tidegate
