// Scans of a head's bytes, sixteen at a time: where a token, a field value, a target or a host
// ends.
//
// Every scan looks at [p, end), reads no byte outside [begin, end), and returns `end` when nothing
// stopped it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate::http1 {

// Classes of bytes; a byte has any number of them.
inline constexpr std::uint8_t kTokenByte = 1;   // tchar (RFC 9110 5.6.2)
inline constexpr std::uint8_t kValueByte = 2;   // field-vchar, SP or HTAB (RFC 9110 5.5)
inline constexpr std::uint8_t kTargetByte = 4;  // visible US-ASCII but '#'
inline constexpr std::uint8_t kHostByte = 8;    // letter, digit, or one of "-._~" (RFC 3986 2.3)

consteval std::array<std::uint8_t, 256> byteClasses() {
  std::array<std::uint8_t, 256> classes{};
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const bool alphanumeric =
        (i >= '0' && i <= '9') || (i >= 'A' && i <= 'Z') || (i >= 'a' && i <= 'z');
    if (alphanumeric) classes[i] |= kTokenByte | kHostByte;
    if (i == '\t' || (i >= 0x20 && i != 0x7f)) classes[i] |= kValueByte;
    if (i > 0x20 && i < 0x7f && i != '#') classes[i] |= kTargetByte;
  }
  for (const char c :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    classes[static_cast<unsigned char>(c)] |= kTokenByte;
  }
  for (const char c : {'-', '.', '_', '~'}) classes[static_cast<unsigned char>(c)] |= kHostByte;
  return classes;
}

inline constexpr std::array<std::uint8_t, 256> kByteClasses = byteClasses();

inline bool hasClass(char c, std::uint8_t byteClass) {
  return (kByteClasses[static_cast<unsigned char>(c)] & byteClass) != 0;
}

inline const char* skipClass(const char* p, const char* end, std::uint8_t byteClass) {
  while (p != end && hasClass(*p, byteClass)) ++p;
  return p;
}

#if defined(__SSE2__)

namespace detail {

inline __m128i bytes(char c) { return _mm_set1_epi8(c); }

// 0xff where `low` <= byte < `low` + `count`; SSE2 compares signed bytes only, hence the shift to
// the bottom of their range.
inline __m128i inRange(__m128i v, char low, int count) {
  const __m128i shifted = _mm_add_epi8(v, bytes(static_cast<char>(-128 - low)));
  return _mm_cmplt_epi8(shifted, bytes(static_cast<char>(-128 + count)));
}

inline __m128i isAlphanumeric(__m128i v) {
  const __m128i letter = inRange(_mm_or_si128(v, bytes(0x20)), 'a', 26);
  return _mm_or_si128(letter, inRange(v, '0', 10));
}

// Each stopsAt gives one bit per byte, set where the scan has to look closer.

struct NameScan {
  static unsigned stopsAt(__m128i v) {
    const __m128i plain = _mm_or_si128(isAlphanumeric(v), _mm_cmpeq_epi8(v, bytes('-')));
    return static_cast<unsigned>(_mm_movemask_epi8(plain)) ^ 0xffffU;
  }
};

struct HostScan {
  static unsigned stopsAt(__m128i v) {
    const __m128i mark = inRange(v, '-', 2);  // '-' and '.'
    const __m128i plain = _mm_or_si128(isAlphanumeric(v), mark);
    return static_cast<unsigned>(_mm_movemask_epi8(plain)) ^ 0xffffU;
  }
};

struct ValueScan {
  static unsigned stopsAt(__m128i v) {
    // The unsigned minimum is the byte itself where it is at most 0x1f.
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, bytes(0x1f)), v);
    const __m128i plainControl = _mm_andnot_si128(_mm_cmpeq_epi8(v, bytes('\t')), control);
    const __m128i stop = _mm_or_si128(plainControl, _mm_cmpeq_epi8(v, bytes(0x7f)));
    return static_cast<unsigned>(_mm_movemask_epi8(stop));
  }
};

struct TargetScan {
  static unsigned stopsAt(__m128i v) {
    // Signed: bytes from 0x80 are below 0x21 as well.
    const __m128i outside = _mm_cmplt_epi8(v, bytes(0x21));
    const __m128i special =
        _mm_or_si128(_mm_cmpeq_epi8(v, bytes(0x7f)), _mm_cmpeq_epi8(v, bytes('#')));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(outside, special)));
  }
};

struct PathScan {
  static unsigned stopsAt(__m128i v) {
    const __m128i question = _mm_cmpeq_epi8(v, bytes('?'));
    return TargetScan::stopsAt(v) | static_cast<unsigned>(_mm_movemask_epi8(question));
  }
};

inline __m128i load(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

// `slow` takes over where fewer than sixteen bytes can be read at all.
template <typename Scan, typename Slow>
inline const char* scan(const char* begin, const char* p, const char* end, Slow slow) {
  while (end - p >= 16) {
    const unsigned stops = Scan::stopsAt(load(p));
    if (stops != 0) return p + std::countr_zero(stops);
    p += 16;
  }
  if (p == end) return end;
  if (end - begin < 16) return slow(p);
  // The last sixteen bytes, without those before p.
  const unsigned stops = Scan::stopsAt(load(end - 16)) >> (16 - (end - p));
  return stops != 0 ? p + std::countr_zero(stops) : end;
}

}  // namespace detail

// Where the token that begins at `p` ends.
inline const char* scanName(const char* begin, const char* p, const char* end) {
  const auto slow = [end](const char* from) { return skipClass(from, end, kTokenByte); };
  // The vector knows letters, digits and '-'; the rare other token bytes are passed over one by
  // one.
  return slow(detail::scan<detail::NameScan>(begin, p, end, slow));
}

// Where the reg-name that begins at `p` ends.
inline const char* scanHost(const char* begin, const char* p, const char* end) {
  const auto slow = [end](const char* from) { return skipClass(from, end, kHostByte); };
  return slow(detail::scan<detail::HostScan>(begin, p, end, slow));
}

// The first control byte but HTAB.
inline const char* scanValue(const char* begin, const char* p, const char* end) {
  return detail::scan<detail::ValueScan>(
      begin, p, end, [end](const char* from) { return skipClass(from, end, kValueByte); });
}

// The first byte that may not stand in a target.
inline const char* scanTarget(const char* begin, const char* p, const char* end) {
  return detail::scan<detail::TargetScan>(
      begin, p, end, [end](const char* from) { return skipClass(from, end, kTargetByte); });
}

// Like scanTarget, but also stops at '?'.
inline const char* scanPath(const char* begin, const char* p, const char* end) {
  return detail::scan<detail::PathScan>(begin, p, end, [end](const char* from) {
    while (from != end && hasClass(*from, kTargetByte) && *from != '?') ++from;
    return from;
  });
}

#else  // byte by byte

inline const char* scanName(const char*, const char* p, const char* end) {
  return skipClass(p, end, kTokenByte);
}

inline const char* scanHost(const char*, const char* p, const char* end) {
  return skipClass(p, end, kHostByte);
}

inline const char* scanValue(const char*, const char* p, const char* end) {
  return skipClass(p, end, kValueByte);
}

inline const char* scanTarget(const char*, const char* p, const char* end) {
  return skipClass(p, end, kTargetByte);
}

inline const char* scanPath(const char*, const char* p, const char* end) {
  while (p != end && hasClass(*p, kTargetByte) && *p != '?') ++p;
  return p;
}

#endif

}  // namespace tidegate::http1
