// Short texts, such as names of fields and most of their values, read as words: compared and copied
// without a call into the library, which costs more than the few bytes do.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate {

// The bytes at `at` as a number whose lowest byte is the first.
template <typename Word>
constexpr Word loadWord(const char* at) {
  Word word{};
  if (!std::is_constant_evaluated() && std::endian::native == std::endian::little) {
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  for (std::size_t i = 0; i < sizeof word; ++i)
    word |= static_cast<Word>(Word{static_cast<unsigned char>(at[i])} << (8 * i));
  return word;
}

// All bytes of a text of 1..8 bytes; another number for another text of that length.
constexpr std::uint64_t gatherWord(const char* at, std::size_t size) {
  if (size >= 4) {
    return loadWord<std::uint32_t>(at) | std::uint64_t{loadWord<std::uint32_t>(at + size - 4)}
                                             << 32;
  }
  return loadWord<std::uint8_t>(at) | std::uint64_t{loadWord<std::uint8_t>(at + size / 2)} << 8 |
         std::uint64_t{loadWord<std::uint8_t>(at + size - 1)} << 16;
}

namespace detail {

inline constexpr std::uint64_t kEachByte = 0x0101010101010101;

// With capital letters made small. Sums stay within their bytes, whose highest bits they set.
inline std::uint64_t lowerWord(std::uint64_t word) {
  const std::uint64_t low = word & 0x7f * kEachByte;
  const std::uint64_t capital =
      (low + (0x80 - 'A') * kEachByte) & ~(low + (0x7f - 'Z') * kEachByte) & ~word;
  return word | (capital & 0x80 * kEachByte) >> 2;
}

// Of 1..7 bytes.
inline bool sameBytes(const char* a, const char* b, std::size_t size) {
  if (size >= 4) {
    const std::size_t last = size - 4;
    return loadWord<std::uint32_t>(a) == loadWord<std::uint32_t>(b) &&
           loadWord<std::uint32_t>(a + last) == loadWord<std::uint32_t>(b + last);
  }
  return a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1];
}

#if defined(__SSE2__)

inline __m128i loadChunk(const char* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// Two words of eight bytes.
inline __m128i loadWords(const char* first, const char* second) {
  return _mm_set_epi64x(static_cast<std::int64_t>(loadWord<std::uint64_t>(second)),
                        static_cast<std::int64_t>(loadWord<std::uint64_t>(first)));
}

inline bool isSame(__m128i a, __m128i b) {
  return _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) == 0xffff;
}

// SSE2 compares signed bytes only, hence the shift of 'A' to the bottom of their range.
inline __m128i lowerChunk(__m128i v) {
  const __m128i shifted = _mm_add_epi8(v, _mm_set1_epi8(static_cast<char>(-128 - 'A')));
  const __m128i capital = _mm_cmplt_epi8(shifted, _mm_set1_epi8(-128 + 26));
  return _mm_or_si128(v, _mm_and_si128(capital, _mm_set1_epi8(0x20)));
}

struct Exactly {
  static bool same(std::uint64_t a, std::uint64_t b) { return a == b; }
  static bool sameShort(const char* a, const char* b, std::size_t size) {
    return sameBytes(a, b, size);
  }
  static bool sameChunk(const char* a, const char* b) { return isSame(loadChunk(a), loadChunk(b)); }
  static bool sameEnds(const char* a, const char* b, std::size_t last) {
    return same(loadWord<std::uint64_t>(a), loadWord<std::uint64_t>(b)) &&
           same(loadWord<std::uint64_t>(a + last), loadWord<std::uint64_t>(b + last));
  }
};

struct InAnyCase {
  static bool sameShort(const char* a, const char* b, std::size_t size) {
    return lowerWord(gatherWord(a, size)) == lowerWord(gatherWord(b, size));
  }
  static bool sameChunk(const char* a, const char* b) {
    return isSame(lowerChunk(loadChunk(a)), lowerChunk(loadChunk(b)));
  }
  static bool sameEnds(const char* a, const char* b, std::size_t last) {
    return isSame(lowerChunk(loadWords(a, a + last)), lowerChunk(loadWords(b, b + last)));
  }
};

#else  // words alone

template <bool kAnyCase>
struct ByWords {
  static bool same(std::uint64_t a, std::uint64_t b) {
    return kAnyCase ? lowerWord(a) == lowerWord(b) : a == b;
  }
  static bool sameShort(const char* a, const char* b, std::size_t size) {
    return kAnyCase ? same(gatherWord(a, size), gatherWord(b, size)) : sameBytes(a, b, size);
  }
  static bool sameEnds(const char* a, const char* b, std::size_t last) {
    return same(loadWord<std::uint64_t>(a), loadWord<std::uint64_t>(b)) &&
           same(loadWord<std::uint64_t>(a + last), loadWord<std::uint64_t>(b + last));
  }
  static bool sameChunk(const char* a, const char* b) { return sameEnds(a, b, 8); }
};

using Exactly = ByWords<false>;
using InAnyCase = ByWords<true>;

#endif

// Of texts of one length. The last chunk or word overlaps the one before.
template <typename How>
[[gnu::always_inline]] inline bool compareTexts(const char* a, const char* b, std::size_t size) {
  constexpr std::size_t kWord = 8;
  constexpr std::size_t kChunk = 16;
  if (size < kWord) return size == 0 || How::sameShort(a, b, size);
  if (size < kChunk) return How::sameEnds(a, b, size - kWord);
  const std::size_t last = size - kChunk;
  for (std::size_t at = 0; at < last; at += kChunk) {
    if (!How::sameChunk(a + at, b + at)) return false;
  }
  return How::sameChunk(a + last, b + last);
}

// `text` has from `Word` to twice as many bytes: two moves that may overlap.
template <std::size_t Word>
void copyEnds(char* to, std::string_view text) {
  std::memcpy(to, text.data(), Word);
  std::memcpy(to + text.size() - Word, text.data() + text.size() - Word, Word);
}

}  // namespace detail

inline bool sameText(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         detail::compareTexts<detail::Exactly>(a.data(), b.data(), a.size());
}

// The same for texts that differ in nothing but the case of letters.
inline bool sameTextInAnyCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         detail::compareTexts<detail::InAnyCase>(a.data(), b.data(), a.size());
}

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
