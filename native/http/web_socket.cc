// SHA-1 (RFC 3174) is here for the handshake alone, where it proves nothing.
#include "http/web_socket.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/ascii.h"

namespace tidegate {

namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::size_t kSha1Block = 64;
constexpr std::size_t kSha1Bytes = 20;

class Sha1 {
 public:
  void add(std::string_view text) {
    for (const char c : text) put(static_cast<std::uint8_t>(c));
    bits_ += std::uint64_t{text.size()} * 8;
  }

  // The last call.
  std::array<std::uint8_t, kSha1Bytes> digest() {
    put(0x80);
    while (filled_ != kSha1Block - sizeof bits_) put(0);
    for (unsigned shift = 64; shift > 0; shift -= 8)
      put(static_cast<std::uint8_t>(bits_ >> (shift - 8)));
    std::array<std::uint8_t, kSha1Bytes> result{};
    for (std::size_t i = 0; i < result.size(); ++i)
      result[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
    return result;
  }

 private:
  void put(std::uint8_t byte) {
    block_[filled_++] = byte;
    if (filled_ < kSha1Block) return;
    filled_ = 0;
    mixBlock();
  }

  void mixBlock() {
    std::array<std::uint32_t, 80> w{};
    for (std::size_t i = 0; i < kSha1Block; ++i) w[i / 4] = w[i / 4] << 8 | block_[i];
    for (std::size_t i = 16; i < w.size(); ++i)
      w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    auto [a, b, c, d, e] = state_;
    for (std::size_t i = 0; i < w.size(); ++i) {
      std::uint32_t f = b ^ c ^ d;
      std::uint32_t k = i < 40 ? 0x6ed9eba1 : 0xca62c1d6;
      if (i < 20) {
        f = (b & c) | (~b & d);
        k = 0x5a827999;
      } else if (i >= 40 && i < 60) {
        f = (b & c) | (b & d) | (c & d);
        k = 0x8f1bbcdc;
      }
      const std::uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    const std::array<std::uint32_t, 5> mixed = {a, b, c, d, e};
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += mixed[i];
  }

  std::array<std::uint32_t, 5> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
                                         0xc3d2e1f0};
  std::array<std::uint8_t, kSha1Block> block_{};
  std::size_t filled_ = 0;
  std::uint64_t bits_ = 0;
};

// Of the field that stands there once; empty where it does not.
std::string_view onlyValue(const HeadFields& fields, std::string_view name) {
  const Field* only = nullptr;
  for (const Field& field : fields.fields()) {
    if (!equalsIgnoreCase(fields.name(field), name)) continue;
    if (only != nullptr) return {};
    only = &field;
  }
  return only == nullptr ? std::string_view{} : fields.value(*only);
}

}  // namespace

std::array<char, kWebSocketAcceptBytes> webSocketAccept(std::string_view key) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Sha1 sha;
  sha.add(key);
  sha.add(kGuid);
  // 20 bytes are 26 digits and two bits, which make the 27th; one place is left over.
  const std::array<std::uint8_t, kSha1Bytes> bytes = sha.digest();
  std::array<char, kWebSocketAcceptBytes> text{};
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const std::size_t bit = i * 6;
    const std::uint32_t high = bytes[bit / 8];
    const std::uint32_t low = bit / 8 + 1 < bytes.size() ? bytes[bit / 8 + 1] : 0;
    text[i] = kDigits[((high << 8 | low) >> (10 - bit % 8)) & 63];
  }
  text.back() = '=';
  return text;
}

bool acceptsWebSocket(const HeadFields& request, const HeadFields& response) {
  const std::string_view key = onlyValue(request, "sec-websocket-key");
  const std::string_view accept = onlyValue(response, "sec-websocket-accept");
  if (key.empty()) return false;
  const std::array<char, kWebSocketAcceptBytes> expected = webSocketAccept(key);
  return accept == std::string_view(expected.data(), expected.size());
}

}  // namespace tidegate
