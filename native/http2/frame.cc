#include "http2/frame.h"

#include <cstring>

namespace tidegate::http2 {

std::string_view errorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::NoError:
      return "NO_ERROR";
    case ErrorCode::ProtocolError:
      return "PROTOCOL_ERROR";
    case ErrorCode::InternalError:
      return "INTERNAL_ERROR";
    case ErrorCode::FlowControlError:
      return "FLOW_CONTROL_ERROR";
    case ErrorCode::SettingsTimeout:
      return "SETTINGS_TIMEOUT";
    case ErrorCode::StreamClosed:
      return "STREAM_CLOSED";
    case ErrorCode::FrameSizeError:
      return "FRAME_SIZE_ERROR";
    case ErrorCode::RefusedStream:
      return "REFUSED_STREAM";
    case ErrorCode::Cancel:
      return "CANCEL";
    case ErrorCode::CompressionError:
      return "COMPRESSION_ERROR";
    case ErrorCode::ConnectError:
      return "CONNECT_ERROR";
    case ErrorCode::EnhanceYourCalm:
      return "ENHANCE_YOUR_CALM";
    case ErrorCode::InadequateSecurity:
      return "INADEQUATE_SECURITY";
    case ErrorCode::Http11Required:
      return "HTTP_1_1_REQUIRED";
  }
  return {};
}

namespace {

std::uint8_t byteAt(const char* at) { return static_cast<std::uint8_t>(*at); }

}  // namespace

std::uint16_t load16(const char* at) {
  return static_cast<std::uint16_t>(byteAt(at) << 8 | byteAt(at + 1));
}

std::uint32_t load32(const char* at) {
  return std::uint32_t{load16(at)} << 16 | std::uint32_t{load16(at + 2)};
}

char* store16(char* at, std::uint16_t value) {
  at[0] = static_cast<char>(value >> 8);
  at[1] = static_cast<char>(value & 0xff);
  return at + 2;
}

char* store32(char* at, std::uint32_t value) {
  store16(at, static_cast<std::uint16_t>(value >> 16));
  return store16(at + 2, static_cast<std::uint16_t>(value & 0xffff));
}

FrameHeader readFrameHeader(const char* at) {
  FrameHeader header;
  header.length = load32(at) >> 8;
  header.type = static_cast<FrameType>(byteAt(at + 3));
  header.flags = byteAt(at + 4);
  header.stream = load32(at + 5) & kMaxStreamId;
  return header;
}

char* writeFrameHeader(char* at, const FrameHeader& header) {
  store32(at, header.length << 8 | static_cast<std::uint32_t>(header.type));
  at[4] = static_cast<char>(header.flags);
  return store32(at + 5, header.stream);
}

char* writeRstStream(char* at, std::uint32_t stream, ErrorCode code) {
  at = writeFrameHeader(at, {kRstStreamBytes, FrameType::RstStream, 0, stream});
  return store32(at, static_cast<std::uint32_t>(code));
}

char* writePing(char* at, std::string_view opaque, bool ack) {
  const std::uint8_t flags = ack ? kAck : 0;
  at = writeFrameHeader(at, {kPingBytes, FrameType::Ping, flags, 0});
  std::memcpy(at, opaque.data(), kPingBytes);
  return at + kPingBytes;
}

char* writeGoAway(char* at, std::uint32_t lastStream, ErrorCode code) {
  at = writeFrameHeader(at, {kGoAwayBytes, FrameType::GoAway, 0, 0});
  at = store32(at, lastStream);
  return store32(at, static_cast<std::uint32_t>(code));
}

char* writeWindowUpdate(char* at, std::uint32_t stream, std::uint32_t increment) {
  at = writeFrameHeader(at, {kWindowUpdateBytes, FrameType::WindowUpdate, 0, stream});
  return store32(at, increment);
}

char* writeSetting(char* at, Setting setting, std::uint32_t value) {
  return store32(store16(at, static_cast<std::uint16_t>(setting)), value);
}

std::optional<std::string_view> withoutPadding(const FrameHeader& header,
                                               std::string_view payload) {
  std::size_t padding = 0;
  if (header.has(kPadded)) {
    if (payload.empty()) return std::nullopt;
    padding = byteAt(payload.data());
    payload.remove_prefix(1);
  }
  if (header.type == FrameType::Headers && header.has(kPriority)) {
    if (payload.size() < kPriorityBytes) return std::nullopt;
    payload.remove_prefix(kPriorityBytes);
  }
  if (padding > payload.size()) return std::nullopt;
  payload.remove_suffix(padding);
  return payload;
}

ErrorCode PeerSettings::apply(std::string_view payload) {
  for (; !payload.empty(); payload.remove_prefix(kSettingBytes)) {
    const std::uint32_t value = load32(payload.data() + 2);
    switch (static_cast<Setting>(load16(payload.data()))) {
      case Setting::HeaderTableSize:
        headerTableSize = value;
        break;
      case Setting::EnablePush:
        if (value > 1) return ErrorCode::ProtocolError;
        enablePush = value == 1;
        break;
      case Setting::MaxConcurrentStreams:
        maxConcurrentStreams = value;
        break;
      case Setting::InitialWindowSize:
        if (value > kMaxWindow) return ErrorCode::FlowControlError;
        initialWindowSize = value;
        break;
      case Setting::MaxFrameSize:
        if (value < kMaxFrameBytes || value > 0xffffff) return ErrorCode::ProtocolError;
        maxFrameSize = value;
        break;
      case Setting::MaxHeaderListSize:
        maxHeaderListSize = value;
        break;
      case Setting::EnableConnectProtocol:
        // RFC 8441 3: once it is on it stays on.
        if (value > 1 || (enableConnectProtocol && value == 0)) return ErrorCode::ProtocolError;
        enableConnectProtocol = value == 1;
        break;
      case Setting::NoRfc7540Priorities:
        if (value > 1) return ErrorCode::ProtocolError;
        break;
    }
    // Others are for those who know them (RFC 9113 6.5.2).
  }
  return ErrorCode::NoError;
}

}  // namespace tidegate::http2
