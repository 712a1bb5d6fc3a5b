// Texts compared with and without regard to case, and copied: as it is done byte by byte.
#include "base/ascii.h"

#include <string>

#include "base/short_text.h"
#include "check.h"

namespace tidegate::test {
namespace {

constexpr std::size_t kLengths = 70;

// Around the letters, in either case, and beyond ASCII.
constexpr std::string_view kBytes = "@AZ[`az{ 0-\r\n\x7f\x80\xc1\xda\xe1\xfa\xff";

std::string textOf(std::size_t length) {
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += kBytes[i % kBytes.size()];
  return text;
}

// Of its own memory, so that a sanitizer sees a byte too far.
std::string copyOf(std::string_view text) { return {text.begin(), text.end()}; }

TEST("texts: two bytes are the same but for their case when they are one letter") {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const char x = static_cast<char>(a);
      const char y = static_cast<char>(b);
      const bool same = toLower(x) == toLower(y);
      for (const std::size_t before : {0, 3, 9, 20}) {
        const std::string first = std::string(before, 'n') + x;
        const std::string second = std::string(before, 'N') + y;
        CHECK_EQ(equalsIgnoreCase(first, second), same);
      }
    }
  }
}

TEST("texts: one that differs anywhere is another one, whatever its length") {
  for (std::size_t length = 0; length < kLengths; ++length) {
    const std::string text = textOf(length);
    CHECK(sameText(text, copyOf(text)));
    CHECK(equalsIgnoreCase(text, copyOf(text)));
    CHECK(!sameText(text, text + "a"));
    CHECK(!equalsIgnoreCase(text + "a", text));
    for (std::size_t at = 0; at < length; ++at) {
      for (const char byte : kBytes) {
        std::string changed = text;
        changed[at] = byte;
        CHECK_EQ(sameText(text, changed), text == changed);
        CHECK_EQ(equalsIgnoreCase(text, changed), toLower(text[at]) == toLower(byte));
      }
    }
  }
}

TEST("texts: a copy has every byte and none beside them") {
  for (std::size_t length = 0; length < kLengths; ++length) {
    const std::string text = textOf(length);
    std::string room(length + 2, '?');
    CHECK(copyText(room.data() + 1, text) == room.data() + 1 + length);
    CHECK_EQ(room, "?" + text + "?");
  }
}

}  // namespace
}  // namespace tidegate::test
