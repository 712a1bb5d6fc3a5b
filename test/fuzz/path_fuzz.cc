// Fuzzes path and host normalisation. The first byte chooses the rules, the rest is the path: the
// normal form is never longer, is stable, and hides no dot segment or slash from whoever decodes
// it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "routing/path.h"

namespace tidegate {
namespace {

void promise(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}
#define PROMISE(...) promise((__VA_ARGS__), #__VA_ARGS__)

bool isDotSegment(std::string_view segment) { return segment == "." || segment == ".."; }

// As a server might read it that decodes once and takes backslashes for slashes.
void checkDecoded(std::string_view path) {
  std::string decoded;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      PROMISE(i + 2 < path.size() && hexValue(path[i + 1]) >= 0 && hexValue(path[i + 2]) >= 0);
      c = static_cast<char>(hexValue(path[i + 1]) << 4 | hexValue(path[i + 2]));
      i += 2;
    }
    PROMISE(c != '\0');
    decoded += c == '\\' ? '/' : c;
  }
  for (std::size_t start = 1; start <= decoded.size();) {
    const std::size_t end = std::min(decoded.find('/', start), decoded.size());
    const std::string_view segment = std::string_view(decoded).substr(start, end - start);
    PROMISE(!isDotSegment(segment) && !isDotSegment(segment.substr(0, segment.find(';'))));
    start = end + 1;
  }
}

void checkPath(std::string_view path, const PathRules& rules) {
  std::vector<char> out(path.size());  // no byte more than the contract asks for
  const NormalPath first = normalizePath(path, rules, out);
  if (first.error != PathError::None) return;
  const std::string normal(first.path);
  PROMISE(normal.size() <= path.size());
  if (normal == "*") return;
  PROMISE(normal.starts_with('/'));
  if (rules.mergeSlashes) PROMISE(normal.find("//") == std::string::npos);
  if (rules.escapedSlashes != EscapedSlashes::Keep) {
    PROMISE(normal.find("%2F") == std::string::npos && normal.find("%5C") == std::string::npos);
  }
  checkDecoded(normal);

  std::vector<char> again(normal.size());
  const NormalPath second = normalizePath(normal, rules, again);
  PROMISE(second.error == PathError::None && second.path.data() == normal.data() &&
          second.path == normal);
}

void checkHost(std::string_view host) {
  std::vector<char> out(host.size());
  const std::string_view normal = normalizeHost(host, out);
  PROMISE(normal.size() + 1 >= host.size() && normal.size() <= host.size());
  PROMISE(equalsIgnoreCase(normal, host.substr(0, normal.size())));
  for (const char c : normal) PROMISE(c == toLower(c));
}

}  // namespace
}  // namespace tidegate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  tidegate::PathRules rules;
  rules.mergeSlashes = (data[0] & 1) == 0;
  rules.escapedSlashes = static_cast<tidegate::EscapedSlashes>(data[0] / 2 % 3);
  tidegate::checkPath(text, rules);
  tidegate::checkHost(text);
  return 0;
}
