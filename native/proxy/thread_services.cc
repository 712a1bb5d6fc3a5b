// Request ids and the Date field.
#include "proxy/thread_services.h"

#include <sys/random.h>
#include <time.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstring>

namespace tidegate {

RequestIds::RequestIds() {
  std::size_t have = 0;
  while (have < sizeof state_) {
    const ssize_t n =
        getrandom(reinterpret_cast<char*>(state_.data()) + have, sizeof state_ - have, 0);
    if (n > 0) have += static_cast<std::size_t>(n);
  }
}

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

constexpr std::array<std::array<char, 2>, 256> kHexPairs = [] {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> all{};
  for (std::size_t byte = 0; byte < all.size(); ++byte)
    all[byte] = {kDigits[byte >> 4], kDigits[byte & 15]};
  return all;
}();

}  // namespace

void RequestIds::write(char* out) {
  for (int word = 0; word < 2; ++word) {
    for (std::uint64_t value = next(), i = 0; i < sizeof value; ++i, value >>= 8, out += 2)
      std::memcpy(out, kHexPairs[value & 255].data(), 2);
  }
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
