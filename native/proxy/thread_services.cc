// Request ids and the Date field.
#include "proxy/thread_services.h"

#include <time.h>

#include <array>
#include <bit>
#include <cstdio>
#include <span>

#include "base/random.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate {

RequestIds::RequestIds() { fillRandom(std::as_writable_bytes(std::span(state_))); }

// xoshiro256++ (Blackman and Vigna, 2018).
std::uint64_t RequestIds::next() {
  auto& s = state_;
  const std::uint64_t result = std::rotl(s[0] + s[3], 23) + s[0];
  const std::uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

namespace {

// Writes 16 bytes as 32 digits.
#if defined(__SSE2__)

// Of bytes below 16.
__m128i hexDigits(__m128i values) {
  const __m128i letters = _mm_cmpgt_epi8(values, _mm_set1_epi8(9));
  const __m128i offset = _mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10));
  return _mm_add_epi8(_mm_add_epi8(values, _mm_set1_epi8('0')), offset);
}

void writeHex(const std::array<std::uint64_t, 2>& words, char* out) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words.data()));
  const __m128i half = _mm_set1_epi8(15);
  const __m128i high = hexDigits(_mm_and_si128(_mm_srli_epi16(bytes, 4), half));
  const __m128i low = hexDigits(_mm_and_si128(bytes, half));
  auto* const to = reinterpret_cast<__m128i*>(out);
  _mm_storeu_si128(to, _mm_unpacklo_epi8(high, low));
  _mm_storeu_si128(to + 1, _mm_unpackhi_epi8(high, low));
}

#else

void writeHex(const std::array<std::uint64_t, 2>& words, char* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::uint64_t word : words) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      *out++ = kDigits[(word >> shift >> 4) & 15];
      *out++ = kDigits[(word >> shift) & 15];
    }
  }
}

#endif

}  // namespace

void RequestIds::write(char* out) {
  const std::uint64_t first = next();
  writeHex({first, next()}, out);
}

std::string_view DateCache::at(std::uint64_t wallMillis) {
  constexpr std::size_t kLength = 29;
  const std::uint64_t second = wallMillis / 1000;
  if (second != second_) {
    second_ = second;
    const auto time = static_cast<time_t>(second);
    tm parts{};
    gmtime_r(&time, &parts);
    // Not strftime with names of the locale: the words are fixed by the RFC.
    static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                         "Thu", "Fri", "Sat"};
    static constexpr std::array<const char*, 12> kMonths = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::snprintf(text_.data(), text_.size(), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                  kDays[static_cast<std::size_t>(parts.tm_wday) % 7],
                  static_cast<unsigned>(parts.tm_mday) % 100u,
                  kMonths[static_cast<std::size_t>(parts.tm_mon) % 12],
                  static_cast<unsigned>(parts.tm_year + 1900) % 10000u,
                  static_cast<unsigned>(parts.tm_hour) % 100u,
                  static_cast<unsigned>(parts.tm_min) % 100u,
                  static_cast<unsigned>(parts.tm_sec) % 100u);
  }
  return {text_.data(), kLength};
}

}  // namespace tidegate
