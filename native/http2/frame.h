// Frames of HTTP/2 (RFC 9113 4 and 6): their header, types, flags, settings and error codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "http/preface.h"

namespace tidegate::http2 {

inline constexpr std::string_view kPreface = kHttp2Preface;

inline constexpr std::size_t kFrameHeaderBytes = 9;

// The payload that every peer takes, and the largest that this one does: SETTINGS_MAX_FRAME_SIZE is
// left at its default.
inline constexpr std::uint32_t kMaxFrameBytes = 16 * 1024;

inline constexpr std::uint32_t kMaxStreamId = 0x7fffffff;
inline constexpr std::uint32_t kMaxWindow = 0x7fffffff;
inline constexpr std::uint32_t kDefaultWindow = 65'535;

enum class FrameType : std::uint8_t {
  Data = 0x0,
  Headers = 0x1,
  Priority = 0x2,
  RstStream = 0x3,
  Settings = 0x4,
  PushPromise = 0x5,
  Ping = 0x6,
  GoAway = 0x7,
  WindowUpdate = 0x8,
  Continuation = 0x9,
  PriorityUpdate = 0x10,  // RFC 9218 7.1
};

inline constexpr std::uint8_t kEndStream = 0x1;   // DATA, HEADERS
inline constexpr std::uint8_t kAck = 0x1;         // SETTINGS, PING
inline constexpr std::uint8_t kEndHeaders = 0x4;  // HEADERS, CONTINUATION
inline constexpr std::uint8_t kPadded = 0x8;      // DATA, HEADERS
inline constexpr std::uint8_t kPriority = 0x20;   // HEADERS

// Payloads of a fixed size.
inline constexpr std::size_t kPriorityBytes = 5;
inline constexpr std::size_t kRstStreamBytes = 4;
inline constexpr std::size_t kSettingBytes = 6;
inline constexpr std::size_t kPingBytes = 8;
inline constexpr std::size_t kGoAwayBytes = 8;  // without debug data
inline constexpr std::size_t kWindowUpdateBytes = 4;

// RFC 9113 7.
enum class ErrorCode : std::uint32_t {
  NoError = 0x0,
  ProtocolError = 0x1,
  InternalError = 0x2,
  FlowControlError = 0x3,
  SettingsTimeout = 0x4,
  StreamClosed = 0x5,
  FrameSizeError = 0x6,
  RefusedStream = 0x7,
  Cancel = 0x8,
  CompressionError = 0x9,
  ConnectError = 0xa,
  EnhanceYourCalm = 0xb,
  InadequateSecurity = 0xc,
  Http11Required = 0xd,
};

// As the RFC spells it; empty for codes that it does not know.
std::string_view errorCodeName(ErrorCode code);

enum class Setting : std::uint16_t {
  HeaderTableSize = 0x1,
  EnablePush = 0x2,
  MaxConcurrentStreams = 0x3,
  InitialWindowSize = 0x4,
  MaxFrameSize = 0x5,
  MaxHeaderListSize = 0x6,
  EnableConnectProtocol = 0x8,  // RFC 8441
  NoRfc7540Priorities = 0x9,    // RFC 9218 2.1
};

struct FrameHeader {
  std::uint32_t length = 0;  // of the payload; 24 bits
  FrameType type = FrameType::Data;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;  // 31 bits

  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

std::uint16_t load16(const char* at);
std::uint32_t load32(const char* at);
// Each returns where what it wrote ends.
char* store16(char* at, std::uint16_t value);
char* store32(char* at, std::uint32_t value);

// Of kFrameHeaderBytes; the reserved bit is ignored.
FrameHeader readFrameHeader(const char* at);
char* writeFrameHeader(char* at, const FrameHeader& header);

// Whole frames.
inline constexpr std::size_t kRstStreamFrame = kFrameHeaderBytes + kRstStreamBytes;
inline constexpr std::size_t kPingFrame = kFrameHeaderBytes + kPingBytes;
inline constexpr std::size_t kGoAwayFrame = kFrameHeaderBytes + kGoAwayBytes;
inline constexpr std::size_t kWindowUpdateFrame = kFrameHeaderBytes + kWindowUpdateBytes;
char* writeRstStream(char* at, std::uint32_t stream, ErrorCode code);
// `opaque`: of kPingBytes.
char* writePing(char* at, std::string_view opaque, bool ack);
char* writeGoAway(char* at, std::uint32_t lastStream, ErrorCode code);
// `increment`: 1..kMaxWindow.
char* writeWindowUpdate(char* at, std::uint32_t stream, std::uint32_t increment);
// One setting, of kSettingBytes, in the payload of a SETTINGS frame.
char* writeSetting(char* at, Setting setting, std::uint32_t value);

// Takes padding and, of HEADERS, priority fields off a payload (RFC 9113 6.1 and 6.2). Nothing when
// there is less of it than the flags say, or more padding than payload.
std::optional<std::string_view> withoutPadding(const FrameHeader& header, std::string_view payload);

// What the other side asks of this one (RFC 9113 6.5.2): the defaults until it says otherwise.
struct PeerSettings {
  std::uint32_t headerTableSize = 4096;
  std::uint32_t maxConcurrentStreams = 0xffffffff;
  std::uint32_t initialWindowSize = kDefaultWindow;
  std::uint32_t maxFrameSize = kMaxFrameBytes;
  std::uint32_t maxHeaderListSize = 0xffffffff;
  bool enablePush = true;
  bool enableConnectProtocol = false;

  // The payload of a SETTINGS frame that is no acknowledgement; its size is a multiple of
  // kSettingBytes. Anything but NoError is an error of the connection. What the new values mean for
  // windows and tables is the caller's concern.
  ErrorCode apply(std::string_view payload);
};

}  // namespace tidegate::http2
