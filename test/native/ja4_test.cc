// JA4 of exact ClientHello messages.
#include "tls/ja4.h"

#include <string>
#include <string_view>
#include <vector>

#include "check.h"

namespace tidegate::tls {
namespace {

std::string number(std::size_t value, std::size_t width) {
  std::string text;
  for (std::size_t i = width; i-- > 0;) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

std::string block(const std::string& bytes, std::size_t width) {
  return number(bytes.size(), width) + bytes;
}

std::string numbers(const std::vector<unsigned>& values) {
  std::string text;
  for (const unsigned value : values) text += number(value, 2);
  return text;
}

std::string extension(unsigned type, const std::string& data) {
  return number(type, 2) + block(data, 2);
}

std::string helloOf(const std::vector<unsigned>& ciphers, const std::string& extensions) {
  const std::string body = number(0x0303, 2) + std::string(32, 'r') + block("session", 1) +
                           block(numbers(ciphers), 2) + block(std::string(1, '\0'), 1) +
                           block(extensions, 2);
  return number(1, 1) + block(body, 3);
}

std::string ja4(const std::string& hello) {
  return ja4Of({reinterpret_cast<const unsigned char*>(hello.data()), hello.size()});
}

// The example of the specification: Chrome, with GREASE among everything.
std::string chrome() {
  std::string list = extension(0x2a2a, "");
  for (const unsigned type : {0x001bu, 0x0033u, 0xff01u, 0x0017u, 0x0005u, 0x0023u, 0x000au,
                              0x0012u, 0x4469u, 0x002du, 0x000bu, 0x0015u}) {
    list += extension(type, "");
  }
  list += extension(0x0000, block(number(0, 1) + block("example.com", 2), 2));
  list += extension(0x0010, block(block("h2", 1) + block("http/1.1", 1), 2));
  list += extension(0x002b, block(numbers({0x5a5a, 0x0304, 0x0303}), 1));
  list += extension(
      0x000d, block(numbers({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601}), 2));
  list += extension(0xcaca, "");
  return helloOf({0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                  0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
                 list);
}

TEST("the example of the specification") {
  CHECK_EQ(ja4(chrome()), std::string("t13d1516h2_8daaf6152771_e5627efa2ab1"));
}

TEST("a client without extensions") {
  CHECK_EQ(ja4(helloOf({0x002f}, "")).substr(0, 10), std::string("t12i010000"));
  CHECK_EQ(ja4(helloOf({}, "")), std::string("t12i000000_000000000000_000000000000"));
}

TEST("a message that is cut off anywhere has none, and is read without harm") {
  const std::string whole = chrome();
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_EQ(ja4(whole.substr(0, size)), "");
  CHECK_EQ(ja4("GET / HTTP/1.1\r\n"), "");
}

}  // namespace
}  // namespace tidegate::tls
