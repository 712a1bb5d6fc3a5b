// Copies short texts: names and values of fields, most of them of less than 32 bytes. A call of
// memcpy costs more than the few moves that such a text takes.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace tidegate {

namespace detail {

// `text` has from `Word` to twice as many bytes: two moves that may overlap.
template <std::size_t Word>
void copyEnds(char* to, std::string_view text) {
  std::memcpy(to, text.data(), Word);
  std::memcpy(to + text.size() - Word, text.data() + text.size() - Word, Word);
}

}  // namespace detail

// Copies `text` to `to`, which has room for it and is not part of it; returns what follows there.
inline char* copyText(char* to, std::string_view text) {
  const std::size_t size = text.size();
  if (size > 32) {
    std::memcpy(to, text.data(), size);
  } else if (size >= 16) {
    detail::copyEnds<16>(to, text);
  } else if (size >= 8) {
    detail::copyEnds<8>(to, text);
  } else if (size >= 4) {
    detail::copyEnds<4>(to, text);
  } else if (size >= 2) {
    detail::copyEnds<2>(to, text);
  } else if (size == 1) {
    *to = text.front();
  }
  return to + size;
}

}  // namespace tidegate
