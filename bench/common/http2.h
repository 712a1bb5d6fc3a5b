// HTTP/2 as the bench's clients speak it: frames by hand (RFC 9113), fields as literals that no
// table keeps (RFC 7541).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::bench::http2 {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr std::size_t kHeaderSize = 9;

enum class FrameType : std::uint8_t {
  Data = 0,
  Headers = 1,
  Priority = 2,
  RstStream = 3,
  Settings = 4,
  Ping = 6,
  GoAway = 7,
  WindowUpdate = 8,
  Continuation = 9,
};

inline constexpr std::uint8_t kEndStream = 0x1;
inline constexpr std::uint8_t kAck = 0x1;
inline constexpr std::uint8_t kEndHeaders = 0x4;
inline constexpr std::uint8_t kPadded = 0x8;

// By their numbers on the wire (RFC 9113 6.5.2).
inline constexpr std::uint16_t kInitialWindowSize = 4;
inline constexpr std::uint32_t kLargestWindow = 0x7fffffff;
inline constexpr std::uint32_t kDefaultWindow = 65'535;

struct FrameHeader {
  std::size_t length = 0;
  FrameType type = FrameType::Data;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;
};

inline void appendUint32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

inline void appendFrame(std::string& out, FrameType type, std::uint8_t flags, std::uint32_t stream,
                        std::string_view payload = {}) {
  const std::size_t length = payload.size();
  for (int shift = 16; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  appendUint32(out, stream);
  out.append(payload);
}

inline void appendWindowUpdate(std::string& out, std::uint32_t stream, std::uint32_t increment) {
  std::string payload;
  appendUint32(payload, increment);
  appendFrame(out, FrameType::WindowUpdate, 0, stream, payload);
}

// SETTINGS with one setting.
inline void appendSetting(std::string& out, std::uint16_t id, std::uint32_t value) {
  std::string payload;
  payload.push_back(static_cast<char>(id >> 8));
  payload.push_back(static_cast<char>(id));
  appendUint32(payload, value);
  appendFrame(out, FrameType::Settings, 0, 0, payload);
}

// `bytes` begins with at least kHeaderSize of them.
inline FrameHeader readHeader(std::string_view bytes) {
  const auto at = [bytes](std::size_t i) {
    return std::uint32_t{static_cast<std::uint8_t>(bytes[i])};
  };
  return {.length = at(0) << 16 | at(1) << 8 | at(2),
          .type = static_cast<FrameType>(at(3)),
          .flags = static_cast<std::uint8_t>(at(4)),
          .stream = (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fffffff};
}

// A number with a prefix of `bits` (RFC 7541 5.1), whose other bits are those of `first`.
inline void appendNumber(std::string& out, std::uint8_t first, unsigned bits, std::size_t value) {
  const std::size_t mask = (std::size_t{1} << bits) - 1;
  if (value < mask) {
    out.push_back(static_cast<char>(first | value));
    return;
  }
  out.push_back(static_cast<char>(first | mask));
  for (value -= mask; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

inline void appendText(std::string& out, std::string_view text) {
  appendNumber(out, 0, 7, text.size());
  out.append(text);
}

// A literal that is not indexed, its name of the static table (RFC 7541 6.2.2).
inline void appendField(std::string& block, std::uint8_t name, std::string_view value) {
  appendNumber(block, 0x00, 4, name);
  appendText(block, value);
}

inline void appendField(std::string& block, std::string_view name, std::string_view value) {
  block.push_back(0x00);
  appendText(block, name);
  appendText(block, value);
}

// The field block of a request; its method is "GET" or "POST".
inline std::string requestBlock(bool encrypted, std::string_view path, std::string_view authority,
                                bool post = false) {
  constexpr char kGet = '\x82';
  constexpr char kPost = '\x83';
  constexpr char kHttp = '\x86';
  constexpr char kHttps = '\x87';
  std::string block{post ? kPost : kGet, encrypted ? kHttps : kHttp};
  appendField(block, std::uint8_t{4}, path);
  appendField(block, std::uint8_t{1}, authority);
  return block;
}

// Whether the block of a response begins with the indexed field ":status: 200", behind changes of
// the table's size.
inline bool isOk(std::string_view block) {
  constexpr char kStatus200 = '\x88';
  while (!block.empty() && (block.front() & 0xe0) == 0x20) block.remove_prefix(1);
  return block.starts_with(kStatus200);
}

}  // namespace tidegate::bench::http2
