// What asking a set of prefixes costs: nanoseconds of CPU a lookup, as the median of many short
// samples, with how long the set takes to make and how much memory it keeps. "hit": addresses that
// a prefix holds; "miss": random ones.
//
//   prefix_set_bench [samples, default 101]
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "routing/prefix_set.h"

namespace {

using namespace tidegate;  // NOLINT(google-build-using-namespace): a program of its own

constexpr std::size_t kProbes = 4096;

double cpuNanos() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

IpAddress randomV4(std::mt19937_64& random) {
  const std::uint64_t bits = random();
  return IpAddress::fromV4(&bits);
}

// In 2000::/3, where addresses are given out.
IpAddress randomV6(std::mt19937_64& random) {
  const std::uint64_t bits[2] = {random(), random()};
  IpAddress address = IpAddress::fromV6(bits);
  address.bytes[0] = static_cast<std::uint8_t>(0x20 | (address.bytes[0] & 0x1f));
  return address;
}

double nanosEach(const PrefixSet& set, const std::vector<IpAddress>& probes, std::size_t samples) {
  std::vector<double> times;
  std::size_t members = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    const double begin = cpuNanos();
    for (const IpAddress& probe : probes) members += set.contains(probe) ? 1 : 0;
    times.push_back((cpuNanos() - begin) / static_cast<double>(probes.size()));
  }
  if (members == ~std::size_t{0}) std::puts("");
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

void measure(const char* family, bool v4, std::size_t count, std::size_t samples) {
  std::mt19937_64 random(count);
  const auto draw = [&] { return v4 ? randomV4(random) : randomV6(random); };
  // Of IPv4 single addresses and networks of 256, of IPv6 networks of 48 and 64 bits.
  std::vector<PrefixRule> rules;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned length = v4 ? (i % 2 == 0 ? 128 : 120) : (i % 2 == 0 ? 64 : 48);
    IpAddress address = draw();
    for (std::size_t byte = length / 8; byte < 16; ++byte) address.bytes[byte] = 0;
    rules.push_back({{address, static_cast<std::uint8_t>(length)}, true});
  }
  std::vector<IpAddress> hits;
  std::vector<IpAddress> misses;
  for (std::size_t i = 0; i < kProbes; ++i) {
    hits.push_back(rules[random() % rules.size()].prefix.address);
    misses.push_back(draw());
  }
  const double begin = cpuNanos();
  const PrefixSet set(std::move(rules), false);
  const double made = (cpuNanos() - begin) / 1e6;
  std::printf("%s  %7zu prefixes  hit %6.1f ns  miss %6.1f ns  made in %6.1f ms  %6.2f MiB\n",
              family, count, nanosEach(set, hits, samples), nanosEach(set, misses, samples), made,
              static_cast<double>(set.memoryBytes()) / (1024 * 1024));
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t samples =
      argc > 1 ? std::max<std::size_t>(1, std::strtoul(argv[1], nullptr, 10)) : 101;
  for (const bool v4 : {true, false}) {
    for (const std::size_t count : {10UL, 1'000UL, 100'000UL}) {
      measure(v4 ? "IPv4" : "IPv6", v4, count, samples);
    }
  }
}
