// Addresses and prefixes: what is read, how it is written, what a prefix contains.
#include "base/ip_address.h"

#include <arpa/inet.h>

#include <random>

#include "check.h"

namespace tidegate {
namespace {

std::string roundTrip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  return address ? address->toString() : "refused";
}

TEST("an IPv4 address reads and writes as a dotted quad") {
  CHECK_EQ(roundTrip("192.0.2.1"), "192.0.2.1");
  CHECK_EQ(roundTrip("0.0.0.0"), "0.0.0.0");
  CHECK_EQ(roundTrip("255.255.255.255"), "255.255.255.255");
  CHECK_EQ(roundTrip("10.20.30.105"), "10.20.30.105");
  REQUIRE(IpAddress::parse("192.0.2.1").has_value());
  CHECK(IpAddress::parse("192.0.2.1")->isV4());
}

TEST("an IPv6 address is written by RFC 5952") {
  CHECK_EQ(roundTrip("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  CHECK_EQ(roundTrip("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");  // one zero group stays
  CHECK_EQ(roundTrip("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");           // the longest run
  CHECK_EQ(roundTrip("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");     // the first of equals
  CHECK_EQ(roundTrip("::"), "::");
  CHECK_EQ(roundTrip("::1"), "::1");
  CHECK_EQ(roundTrip("1::"), "1::");
  CHECK_EQ(roundTrip("0:0:1:2:3:4:5:6"), "::1:2:3:4:5:6");
  CHECK_EQ(roundTrip("1:2:3:4:5:6:0:0"), "1:2:3:4:5:6::");
  CHECK_EQ(roundTrip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  CHECK_EQ(roundTrip("fe80::00a0:0b00"), "fe80::a0:b00");
}

TEST("an IPv4-mapped address is the IPv4 address") {
  CHECK_EQ(roundTrip("::ffff:192.0.2.1"), "192.0.2.1");
  CHECK_EQ(roundTrip("::ffff:c000:201"), "192.0.2.1");
  CHECK(IpAddress::parse("::ffff:192.0.2.1") == IpAddress::parse("192.0.2.1"));
}

TEST("what is not an address is refused") {
  for (const std::string_view text :
       {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.x",
        "[::1]", "::1%eth0", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "localhost", "10.0.0.0/8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111"}) {
    CHECK_EQ(roundTrip(text), "refused");
  }
  CHECK_EQ(roundTrip(std::string_view("1.2.3.4\0x", 9)), "refused");
}

TEST("random IPv6 addresses read back as they were, in the system's text too") {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    IpAddress address;
    for (std::size_t i = 0; i < 16; i += 2) {
      if (random() % 2 == 0) continue;  // many zero groups
      address.bytes[i] = random() % 3 == 0 ? 0 : static_cast<std::uint8_t>(random());
      address.bytes[i + 1] = static_cast<std::uint8_t>(random());
    }
    const std::string text = address.toString();
    CHECK(IpAddress::parse(text) == address);
    // The system writes ::/96 as dotted quads, which RFC 5952 leaves to what is known of the
    // prefix.
    const bool compatible = text.starts_with("::") && text.rfind(':') <= 6;
    if (address.isV4() || compatible) continue;
    char expected[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, address.bytes.data(), expected, sizeof expected);
    CHECK_EQ(text, std::string_view(expected));
  }
}

TEST("a prefix contains its network and nothing beside it") {
  struct Case {
    std::string_view prefix;
    std::string_view address;
    bool inside;
  };
  const Case cases[] = {
      {"10.0.0.0/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"10.0.0.0/8", "::a00:1", false},
      {"192.168.16.0/20", "192.168.31.255", true},
      {"192.168.16.0/20", "192.168.32.0", false},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.6", false},
      {"0.0.0.0/0", "203.0.113.9", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "203.0.113.9", true},
      {"2001:db8::/32", "2001:db8:ffff::1", true},
      {"2001:db8::/32", "2001:db9::1", false},
      {"2001:db8::/33", "2001:db8:8000::1", false},
      {"::1/128", "::1", true},
  };
  for (const Case& c : cases) {
    const auto prefix = IpPrefix::parse(c.prefix);
    const auto address = IpAddress::parse(c.address);
    REQUIRE(prefix.has_value() && address.has_value());
    CHECK_EQ(prefix->contains(*address), c.inside);
  }
}

TEST("a prefix has a length in range and no host bits") {
  CHECK_EQ(IpPrefix::parse("10.0.0.0/8")->length, 104);
  CHECK_EQ(IpPrefix::parse("2001:db8::/32")->length, 32);
  CHECK_EQ(IpPrefix::parse("192.0.2.7")->length, 128);
  for (const std::string_view text :
       {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8",
        "10.0.0.0/ 8", "/8", "2001:db8::1/32", "::/129", "::/1000", "2001:db8::/x",
        "10.0.0.0/4294967304"}) {
    CHECK(!IpPrefix::parse(text).has_value());
  }
}

}  // namespace
}  // namespace tidegate
