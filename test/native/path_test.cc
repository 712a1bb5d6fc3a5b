// Path and host normalisation: exact forms, refusals, and properties that hold for every input.
#include "routing/path.h"

#include <array>
#include <random>
#include <string>
#include <vector>

#include "base/ascii.h"
#include "check.h"

namespace tidegate {
namespace {

constexpr PathRules kDefault{};
constexpr PathRules kKeep{true, EscapedSlashes::Keep};
constexpr PathRules kDecode{true, EscapedSlashes::Decode};
constexpr PathRules kNoMerge{false, EscapedSlashes::Reject};

std::string errorName(PathError error) {
  switch (error) {
    case PathError::None:
      return "none";
    case PathError::BadEscape:
      return "bad escape";
    case PathError::EscapedNul:
      return "escaped NUL";
    case PathError::EscapedSlash:
      return "escaped slash";
    case PathError::AboveRoot:
      return "above root";
    case PathError::HiddenDotSegment:
      return "hidden dot segment";
    case PathError::BadCharacter:
      return "bad character";
  }
  return "?";
}

std::string normal(std::string_view path, const PathRules& rules = kDefault) {
  std::vector<char> out(
      path.size());  // exactly what the contract asks for, so that ASan sees one byte more
  const NormalPath result = normalizePath(path, rules, out);
  return result.error == PathError::None ? std::string(result.path) : errorName(result.error);
}

struct PathCase {
  std::string_view path;
  std::string_view expected;
};

void checkAll(const PathRules& rules, std::initializer_list<PathCase> cases) {
  for (const PathCase& c : cases) CHECK_EQ(normal(c.path, rules), c.expected);
}

TEST("a path with nothing to change is returned as the same bytes") {
  for (const std::string_view path : {"/", "/a/b/c", "/a.b/c", "/orders/42/", "*", "/.well-known/x",
                                      "/a%20b", "/a;v=1/b", "/%E2%82%AC"}) {
    std::vector<char> out(path.size());
    const NormalPath result = normalizePath(path, kDefault, out);
    CHECK_EQ(result.path, path);
    CHECK(result.path.data() == path.data());
  }
}

TEST("escapes of unreserved characters are decoded, others are written in upper case") {
  checkAll(kDefault, {{"/%61%7a%41%30%2d%2E%5f%7E", "/azA0-._~"},
                      {"/a%3ab%3Fc", "/a%3Ab%3Fc"},
                      {"/%e2%82%ac", "/%E2%82%AC"},
                      {"/%2541", "/%2541"},
                      {"/%25%34%31", "/%2541"},
                      {"/caf%C3%a9", "/caf%C3%A9"}});
}

TEST("dot segments are removed, however they are written") {
  checkAll(kDefault, {{"/a/./b", "/a/b"},
                      {"/a/../b", "/b"},
                      {"/a/b/..", "/a/"},
                      {"/a/b/.", "/a/b/"},
                      {"/a/b/../../c", "/c"},
                      {"/./", "/"},
                      {"/.", "/"},
                      {"/a/..", "/"},
                      {"/a/%2e%2E/b", "/b"},
                      {"/a/.%2e/b", "/b"},
                      {"/a/%2e/b", "/a/b"},
                      {"/a/.../b", "/a/.../b"},
                      {"/a/..b/.c", "/a/..b/.c"},
                      {"/mid/content=5/../6", "/mid/6"}});
}

TEST("dot segments that climb over the root are refused") {
  checkAll(kDefault, {{"/..", "above root"},
                      {"/../etc/passwd", "above root"},
                      {"/a/../../b", "above root"},
                      {"/%2e%2e/", "above root"},
                      {"/a//../../b", "above root"}});
}

TEST("repeated slashes are merged by default, before dot segments are removed") {
  checkAll(kDefault,
           {{"//", "/"}, {"//a///b//", "/a/b/"}, {"/a//../b", "/b"}, {"/a/.//b", "/a/b"}});
  checkAll(kNoMerge, {{"//", "//"},
                      {"//a///b", "//a///b"},
                      {"/a//../b", "/a/b"},
                      {"//..", "/"},
                      {"//../..", "above root"},
                      {"/a/.//b", "/a//b"}});
}

TEST("escaped slashes are refused, kept or decoded as the listener says") {
  checkAll(kDefault,
           {{"/a%2Fb", "escaped slash"}, {"/a%2fb", "escaped slash"}, {"/a%5Cb", "escaped slash"}});
  checkAll(kKeep, {{"/a%2fb", "/a%2Fb"}, {"/a%5cb/..", "/"}, {"/a/b%2F%2Fc", "/a/b%2F%2Fc"}});
  checkAll(kDecode, {{"/a%2fb", "/a/b"},
                     {"/a%5cb", "/a/b"},
                     {"/a%2F%2fb", "/a/b"},
                     {"/a/x%2F..%2Fb", "/a/b"},
                     {"/a%2f..%5c..%2fb", "above root"}});
}

TEST("a dot segment that only some servers would see is refused") {
  checkAll(kKeep, {{"/a/..%2Fb", "hidden dot segment"},
                   {"/a/b%2f..", "hidden dot segment"},
                   {"/a/b%5C.%5cc", "hidden dot segment"},
                   {"/a/%2e%2E%2fb", "hidden dot segment"},
                   {"/a/b%2F..;x%2Fc", "hidden dot segment"},
                   {"/a/b%2F.../c", "/a/b%2F.../c"}});
  checkAll(kDefault, {{"/public/..;/admin", "hidden dot segment"},
                      {"/public/..;a=b/admin", "hidden dot segment"},
                      {"/public/%2e.%3bx/admin", "hidden dot segment"},
                      {"/public/.;", "hidden dot segment"},
                      {"/a;..", "/a;.."},
                      {"/a;/..", "/"}});
}

TEST("bad escapes, NUL and characters that no path may hold are refused") {
  checkAll(kDefault, {{"/%", "bad escape"},
                      {"/%2", "bad escape"},
                      {"/%zz", "bad escape"},
                      {"/a%2g", "bad escape"},
                      {"/a%00b", "escaped NUL"},
                      {"/a b", "bad character"},
                      {"/a\tb", "bad character"},
                      {"/a\x7f", "bad character"},
                      {"/a\\b", "bad character"},
                      {"/a?b", "bad character"},
                      {"/a#b", "bad character"},
                      {"/caf\xc3\xa9", "bad character"},
                      {"", "bad character"},
                      {"a/b", "bad character"},
                      {"**", "bad character"}});
}

// Decodes every escape once, and takes a backslash for a slash: the most that a server behind us
// may do.
std::string decodeOnce(std::string_view path) {
  std::string text;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') {
      text += static_cast<char>(hexValue(path[i + 1]) << 4 | hexValue(path[i + 2]));
      i += 2;
    } else {
      text += path[i];
    }
    if (text.back() == '\\') text.back() = '/';
  }
  return text;
}

bool hasDotSegment(const std::string& decoded) {
  std::size_t start = 1;
  while (start <= decoded.size()) {
    const std::size_t slash = std::min(decoded.find('/', start), decoded.size());
    std::string segment = decoded.substr(start, slash - start);
    if (segment == "." || segment == "..") return true;
    segment = segment.substr(0, segment.find(';'));
    if (segment == "." || segment == "..") return true;
    start = slash + 1;
  }
  return false;
}

TEST("the normal form is never longer, is stable, and hides nothing, for random paths") {
  static constexpr std::string_view kPieces[] = {
      "/", "/",   "//",  ".",   "..",  "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "a",   "b",
      ";", "%3b", "%25", "%41", "%c3", "/..", "/.",  "x=1", "%",   "%00", "~",   "%20", "..;"};
  std::mt19937 random(20240501);
  std::size_t accepted = 0;
  for (int round = 0; round < 300000; ++round) {
    const PathRules rules{random() % 2 == 0, static_cast<EscapedSlashes>(random() % 3)};
    std::string path = "/";
    for (std::size_t n = random() % 8; n > 0; --n) path += kPieces[random() % std::size(kPieces)];

    std::vector<char> out(path.size());
    const NormalPath result = normalizePath(path, rules, out);
    if (result.error != PathError::None) continue;
    ++accepted;
    const std::string once(result.path);
    REQUIRE(once.size() <= path.size());
    REQUIRE_EQ(normal(once, rules), once);
    REQUIRE(once[0] == '/');
    if (rules.mergeSlashes) REQUIRE(once.find("//") == std::string::npos);
    if (rules.escapedSlashes != EscapedSlashes::Keep) {
      REQUIRE(once.find("%2F") == std::string::npos && once.find("%5C") == std::string::npos);
    }
    REQUIRE(!hasDotSegment(decodeOnce(once)));
  }
  CHECK(accepted > 50000);
}

TEST("a host is compared in lower case and without its trailing dot") {
  char out[64];
  CHECK_EQ(normalizeHost("API.Example.COM", out), "api.example.com");
  CHECK_EQ(normalizeHost("example.com.", out), "example.com");
  CHECK_EQ(normalizeHost("Example.com..", out), "example.com.");
  CHECK_EQ(normalizeHost("", out), "");
  CHECK_EQ(normalizeHost(".", out), "");
  CHECK_EQ(normalizeHost("[2001:DB8::1]", out), "[2001:db8::1]");
  const std::string_view plain = "api.example.com";
  CHECK(normalizeHost(plain, out).data() == plain.data());
}

TEST("where in a path something has to change makes no difference to how it does") {
  const std::array<std::string_view, 12> specials = {"/",   "//", "/.",   ".",    ";", "%41",
                                                     "%2f", "\\", "\x80", "\x7f", " ", "%"};
  std::array<char, 128> room{};
  std::array<char, 128> longerRoom{};
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 1; at <= size; ++at) {
      for (const std::string_view special : specials) {
        std::string path = "/" + std::string(size, 'a');
        path.replace(at, special.size(), special);
        const NormalPath normal = normalizePath(path, {}, room);
        // The same behind a segment that is always rewritten.
        const std::string longer = "/%62" + path;
        const NormalPath other = normalizePath(longer, {}, longerRoom);
        REQUIRE(normal.error == other.error);
        if (normal.error != PathError::None) continue;
        REQUIRE("/b" + std::string(normal.path) == std::string(other.path));
      }
    }
  }
}

TEST("a letter of upper case is seen wherever it stands in a host") {
  std::array<char, 64> room{};
  for (std::size_t size = 1; size <= 40; ++size) {
    const std::string lower(size, 'q');
    REQUIRE(normalizeHost(lower, room).data() == lower.data());
    for (std::size_t at = 0; at < size; ++at) {
      for (const char letter : {'A', 'M', 'Z'}) {
        std::string host = lower;
        host[at] = letter;
        std::string expected = lower;
        expected[at] = static_cast<char>(letter | 0x20);
        REQUIRE(normalizeHost(host, room) == expected);
      }
      for (const char other : {'@', '[', '`', '{', '\xc1', '0', '-'}) {
        std::string host = lower;
        host[at] = other;
        REQUIRE(normalizeHost(host, room).data() == host.data());
      }
    }
  }
}

}  // namespace
}  // namespace tidegate
