// Sets of prefixes, against a plain scan of all of them.
#include "routing/prefix_set.h"

#include <optional>
#include <random>
#include <string_view>

#include "check.h"

namespace tidegate {
namespace {

IpAddress address(std::string_view text) { return *IpAddress::parse(text); }

PrefixRule in(std::string_view prefix) { return {*IpPrefix::parse(prefix), true}; }
PrefixRule out(std::string_view prefix) { return {*IpPrefix::parse(prefix), false}; }

bool scan(const std::vector<PrefixRule>& rules, bool others, const IpAddress& address) {
  std::optional<PrefixRule> best;
  for (const PrefixRule& rule : rules) {
    if (!rule.prefix.contains(address)) continue;
    if (!best || rule.prefix.length > best->prefix.length) {
      best = rule;
    } else if (rule.prefix.length == best->prefix.length && !rule.member) {
      best = rule;
    }
  }
  return best ? best->member : others;
}

// `bits` of the address are kept, the rest is zero.
IpAddress masked(IpAddress address, unsigned bits) {
  for (unsigned bit = bits; bit < 128; ++bit) {
    address.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  }
  return address;
}

// The address `step` away, around the ends.
IpAddress moved(IpAddress address, int step) {
  for (std::size_t i = address.bytes.size(); i-- > 0;) {
    const int sum = address.bytes[i] + step;
    address.bytes[i] = static_cast<std::uint8_t>(sum & 0xff);
    step = sum < 0 ? -1 : sum >> 8;
    if (step == 0) break;
  }
  return address;
}

IpAddress lastOf(const IpPrefix& prefix) {
  IpAddress last = prefix.address;
  for (unsigned bit = prefix.length; bit < 128; ++bit) {
    last.bytes[bit / 8] |= static_cast<std::uint8_t>(0x80U >> bit % 8);
  }
  return last;
}

// Addresses of few different bytes, so that prefixes nest and touch.
IpAddress randomAddress(std::mt19937& random) {
  constexpr std::uint8_t kBytes[] = {0, 0, 1, 127, 128, 254, 255, 255};
  IpAddress result;
  for (std::uint8_t& byte : result.bytes) byte = kBytes[random() % 8];
  if (random() % 2 == 0) return IpAddress::fromV4(result.bytes.data());
  // Beside the IPv4 addresses too.
  if (random() % 4 == 0) {
    for (std::size_t i = 0; i < 10; ++i) result.bytes[i] = 0;
  }
  return result;
}

TEST("an empty set answers the same for every address") {
  CHECK(!PrefixSet().contains(address("10.0.0.1")));
  CHECK(!PrefixSet({}, false).contains(address("::1")));
  CHECK(PrefixSet({}, true).contains(address("10.0.0.1")));
  CHECK(PrefixSet({}, true).contains(address("::1")));
}

TEST("the most specific prefix decides, whatever the order") {
  const std::vector<PrefixRule> rules = {out("10.1.0.0/16"), in("10.0.0.0/8"), in("10.1.2.3"),
                                         in("2001:db8::/32"), out("2001:db8:1::/48")};
  const PrefixSet set(rules, false);
  CHECK(set.contains(address("10.0.0.0")));
  CHECK(set.contains(address("10.255.255.255")));
  CHECK(!set.contains(address("11.0.0.0")));
  CHECK(!set.contains(address("9.255.255.255")));
  CHECK(!set.contains(address("10.1.2.2")));
  CHECK(set.contains(address("10.1.2.3")));
  CHECK(!set.contains(address("10.1.2.4")));
  CHECK(set.contains(address("2001:db8::1")));
  CHECK(!set.contains(address("2001:db8:1::1")));
  CHECK(set.contains(address("2001:db8:2::")));
  CHECK(!set.contains(address("2001:db9::")));
}

TEST("whole families, first and last addresses") {
  const PrefixSet all({in("::/0")}, false);
  CHECK(all.contains(address("::")));
  CHECK(all.contains(address("10.0.0.1")));
  CHECK(all.contains(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));

  const PrefixSet v4({in("0.0.0.0/0")}, false);
  CHECK(v4.contains(address("0.0.0.0")));
  CHECK(v4.contains(address("255.255.255.255")));
  CHECK(v4.contains(address("::ffff:1.2.3.4")));
  CHECK(!v4.contains(address("::")));
  CHECK(!v4.contains(address("::fffe:ffff:ffff")));
  CHECK(!v4.contains(address("::1:0:0:0")));
  CHECK(!v4.contains(address("2001:db8::")));

  const PrefixSet upper({in("128.0.0.0/1"), in("8000::/1")}, false);
  CHECK(!upper.contains(address("127.255.255.255")));
  CHECK(upper.contains(address("255.255.255.255")));
  CHECK(!upper.contains(address("2001:db8::")));
  CHECK(upper.contains(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
}

TEST("a prefix that is said to belong and not to belong does not") {
  CHECK(!PrefixSet({in("10.0.0.0/8"), out("10.0.0.0/8")}, true).contains(address("10.0.0.1")));
  CHECK(!PrefixSet({out("10.0.0.0/8"), in("10.0.0.0/8")}, true).contains(address("10.0.0.1")));
}

TEST("random sets answer as a scan of their prefixes does") {
  std::mt19937 random(20260);
  for (int round = 0; round < 1500; ++round) {
    std::vector<PrefixRule> rules;
    const std::size_t count = random() % (round % 50 == 0 ? 600 : 24);
    for (std::size_t i = 0; i < count; ++i) {
      const IpAddress base = randomAddress(random);
      constexpr unsigned kLengths[] = {0, 1, 8, 96, 97, 104, 112, 127, 128};
      const unsigned length = random() % 2 == 0 ? kLengths[random() % 9] : random() % 129;
      rules.push_back(
          {{masked(base, length), static_cast<std::uint8_t>(length)}, random() % 2 == 0});
      if (random() % 8 == 0) rules.push_back({rules.back().prefix, random() % 2 == 0});
    }
    const bool others = random() % 2 == 0;
    const PrefixSet set(rules, others);
    const auto check = [&](const IpAddress& probe) {
      if (set.contains(probe) != scan(rules, others, probe)) {
        CHECK_EQ("round " + std::to_string(round) + ": " + probe.toString(), "as the scan says");
      }
    };
    for (const PrefixRule& rule : rules) {
      check(rule.prefix.address);
      check(moved(rule.prefix.address, -1));
      check(lastOf(rule.prefix));
      check(moved(lastOf(rule.prefix), 1));
    }
    for (int i = 0; i < 40; ++i) check(randomAddress(random));
  }
}

TEST("a large set answers as a scan does, and is small") {
  std::mt19937 random(7);
  std::vector<PrefixRule> rules;
  for (int i = 0; i < 100'000; ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(random());
    rules.push_back({{IpAddress::fromV4(&bits), 128}, true});
  }
  const PrefixSet set(rules, false);
  CHECK(set.memoryBytes() <= 1'100'000);
  for (const PrefixRule& rule : rules) CHECK(set.contains(rule.prefix.address));
  for (int i = 0; i < 300; ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(random());
    const IpAddress probe = IpAddress::fromV4(&bits);
    CHECK_EQ(set.contains(probe), scan(rules, false, probe));
  }
}

}  // namespace
}  // namespace tidegate
