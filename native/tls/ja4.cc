#include "tls/ja4.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tidegate::tls {

namespace {

using Bytes = std::span<const unsigned char>;

constexpr std::uint16_t kServerName = 0x0000;
constexpr std::uint16_t kSignatureAlgorithms = 0x000d;
constexpr std::uint16_t kAlpn = 0x0010;
constexpr std::uint16_t kSupportedVersions = 0x002b;

// Takes values off the front; once something is missing, everything is.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool empty() const { return bytes_.empty(); }

  std::size_t number(std::size_t width) {
    std::size_t value = 0;
    for (const unsigned char byte : take(width)) value = value << 8 | byte;
    return value;
  }

  Bytes take(std::size_t count) {
    if (count > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const Bytes taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }

  // What stands behind a length of `width` bytes.
  Bytes block(std::size_t width) { return take(number(width)); }

 private:
  Bytes bytes_;
  bool ok_ = true;
};

// Values that clients make up to keep servers tolerant (RFC 8701).
bool isGrease(std::size_t value) {
  return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

std::vector<std::uint16_t> listOf(Bytes bytes) {
  std::vector<std::uint16_t> list;
  for (Cursor cursor(bytes); !cursor.empty();) {
    const std::size_t value = cursor.number(2);
    if (cursor.ok() && !isGrease(value)) list.push_back(static_cast<std::uint16_t>(value));
  }
  return list;
}

void appendHex(std::string& text, unsigned char byte) {
  constexpr std::string_view kHex = "0123456789abcdef";
  text += kHex[byte >> 4];
  text += kHex[byte & 15];
}

std::string joined(const std::vector<std::uint16_t>& list) {
  std::string text;
  for (const std::uint16_t value : list) {
    if (!text.empty()) text += ',';
    appendHex(text, static_cast<unsigned char>(value >> 8));
    appendHex(text, static_cast<unsigned char>(value & 0xff));
  }
  return text;
}

// The first twelve digits of the SHA-256.
std::string digestOf(std::string_view text) {
  if (text.empty()) return "000000000000";
  // Looking it up by its name takes as long as using it. Kept until the end of the process.
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, kSha256, nullptr);
  std::string digits;
  for (std::size_t i = 0; i < 6; ++i) appendHex(digits, digest[i]);
  return digits;
}

std::string_view versionText(std::uint16_t version) {
  switch (version) {
    case 0x0304:
      return "13";
    case 0x0303:
      return "12";
    case 0x0302:
      return "11";
    case 0x0301:
      return "10";
    case 0x0300:
      return "s3";
    default:
      return "00";
  }
}

std::string twoDigits(std::size_t count) {
  const std::size_t shown = std::min<std::size_t>(count, 99);
  return {static_cast<char>('0' + shown / 10), static_cast<char>('0' + shown % 10)};
}

// The first and the last character of the first protocol.
std::string protocolText(Bytes extension) {
  Cursor cursor(extension);
  const Bytes first = Cursor(cursor.block(2)).block(1);
  if (first.empty()) return "00";
  const auto isWord = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (isWord(first.front()) && isWord(first.back()))
    return {static_cast<char>(first.front()), static_cast<char>(first.back())};
  std::string digits;
  appendHex(digits, first.front());
  appendHex(digits, first.back());
  return {digits.front(), digits.back()};
}

}  // namespace

std::string ja4Of(std::span<const unsigned char> hello) {
  constexpr std::size_t kClientHello = 1;
  constexpr std::size_t kRandomBytes = 32;
  Cursor message(hello);
  if (message.number(1) != kClientHello) return {};
  Cursor body(message.block(3));
  auto version = static_cast<std::uint16_t>(body.number(2));
  body.take(kRandomBytes);
  body.block(1);  // session id
  std::vector<std::uint16_t> ciphers = listOf(body.block(2));
  body.block(1);  // compression methods
  if (!message.ok() || !body.ok()) return {};

  std::size_t extensionCount = 0;
  bool named = false;
  std::string protocol = "00";
  std::vector<std::uint16_t> extensions;
  std::vector<std::uint16_t> signatures;
  Cursor list(body.empty() ? Bytes{} : body.block(2));
  while (!list.empty()) {
    const auto type = static_cast<std::uint16_t>(list.number(2));
    const Bytes data = list.block(2);
    if (!list.ok()) return {};
    if (isGrease(type)) continue;
    ++extensionCount;
    if (type == kServerName) {
      named = true;
      continue;
    }
    if (type == kAlpn) {
      protocol = protocolText(data);
      continue;
    }
    extensions.push_back(type);
    Cursor cursor(data);
    if (type == kSignatureAlgorithms) {
      signatures = listOf(cursor.block(2));
    } else if (type == kSupportedVersions) {
      const std::vector<std::uint16_t> offered = listOf(cursor.block(1));
      if (!offered.empty()) version = *std::ranges::max_element(offered);
    }
  }
  std::ranges::sort(ciphers);
  std::ranges::sort(extensions);

  std::string text = "t";
  text += versionText(version);
  text += named ? 'd' : 'i';
  text += twoDigits(ciphers.size());
  text += twoDigits(extensionCount);
  text += protocol;
  std::string rest = joined(extensions);
  if (!signatures.empty()) rest += '_' + joined(signatures);
  return text + '_' + digestOf(joined(ciphers)) + '_' + digestOf(rest);
}

}  // namespace tidegate::tls
