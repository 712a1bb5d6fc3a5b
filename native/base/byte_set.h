// A set of bytes, for rules about what texts may hold: a table of 256, made at compile time.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace tidegate {

class ByteSet {
 public:
  constexpr explicit ByteSet(std::string_view bytes) {
    for (const char byte : bytes) add(static_cast<unsigned char>(byte));
  }

  constexpr ByteSet with(unsigned first, unsigned last) const {
    ByteSet result = *this;
    for (unsigned byte = first; byte <= last; ++byte) result.add(byte);
    return result;
  }
  constexpr ByteSet without(std::string_view bytes) const {
    ByteSet result = *this;
    for (const char byte : bytes) result.has_[static_cast<unsigned char>(byte)] = false;
    return result;
  }

  constexpr bool holds(std::string_view text) const {
    const auto has = [&](std::size_t at) -> unsigned {
      return has_[static_cast<unsigned char>(text[at])] ? 1 : 0;
    };
    std::size_t at = 0;
    // Without a question after each.
    for (; at + 4 <= text.size(); at += 4) {
      if ((has(at) & has(at + 1) & has(at + 2) & has(at + 3)) == 0) return false;
    }
    for (; at < text.size(); ++at) {
      if (has(at) == 0) return false;
    }
    return true;
  }

 private:
  constexpr void add(unsigned byte) { has_[byte] = true; }

  std::array<bool, 256> has_{};
};

}  // namespace tidegate
