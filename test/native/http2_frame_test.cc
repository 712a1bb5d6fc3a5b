// Frames of HTTP/2 (RFC 9113): headers, padding, settings; and flow control.
#include <array>
#include <string>

#include "check.h"
#include "http2/flow_window.h"
#include "http2/frame.h"

namespace tidegate::http2 {

using namespace std::string_literals;

namespace {

std::string setting(std::uint16_t id, std::uint32_t value) {
  std::string bytes(kSettingBytes, '\0');
  writeSetting(bytes.data(), static_cast<Setting>(id), value);
  return bytes;
}

FrameHeader headerOf(FrameType type, std::uint8_t flags) {
  FrameHeader header;
  header.type = type;
  header.flags = flags;
  header.stream = 1;
  return header;
}

}  // namespace

TEST("frame headers are read as they are written") {
  std::array<char, kFrameHeaderBytes> bytes{};
  CHECK(writeFrameHeader(bytes.data(), {0x123456, FrameType::GoAway, 0x25, kMaxStreamId}) ==
        bytes.data() + bytes.size());
  const FrameHeader header = readFrameHeader(bytes.data());
  CHECK_EQ(header.length, 0x123456U);
  CHECK(header.type == FrameType::GoAway);
  CHECK(header.has(kEndHeaders));
  CHECK(!header.has(kPadded));
  CHECK_EQ(header.stream, kMaxStreamId);
}

TEST("the reserved bit of a stream's id is ignored") {
  const std::string bytes = "\x00\x00\x00\x06\x01\x80\x00\x00\x07"s;
  CHECK_EQ(readFrameHeader(bytes.data()).stream, 7U);
}

TEST("whole frames have the sizes that they say") {
  std::array<char, 32> bytes{};
  CHECK(writeRstStream(bytes.data(), 5, ErrorCode::Cancel) == bytes.data() + kRstStreamFrame);
  CHECK_EQ(load32(bytes.data() + kFrameHeaderBytes), 8U);
  CHECK(writePing(bytes.data(), "abcdefgh", true) == bytes.data() + kPingFrame);
  CHECK(writeGoAway(bytes.data(), 9, ErrorCode::NoError) == bytes.data() + kGoAwayFrame);
  CHECK(writeWindowUpdate(bytes.data(), 0, 1) == bytes.data() + kWindowUpdateFrame);
  CHECK_EQ(readFrameHeader(bytes.data()).length, kWindowUpdateBytes);
}

TEST("padding and priorities are taken off") {
  CHECK(withoutPadding(headerOf(FrameType::Data, 0), "abc") == "abc");
  CHECK(withoutPadding(headerOf(FrameType::Data, kPadded), "\x02"s + "abc" + "\0\0"s) == "abc");
  CHECK(withoutPadding(headerOf(FrameType::Data, kPadded), "\x00"s) == "");
  CHECK(withoutPadding(headerOf(FrameType::Headers, kPadded | kPriority),
                       "\x01"s + "12345" + "abc" + "\0"s) == "abc");
  CHECK(!withoutPadding(headerOf(FrameType::Data, kPadded), ""));
  CHECK(!withoutPadding(headerOf(FrameType::Data, kPadded), "\x03"s + "ab"));
  CHECK(!withoutPadding(headerOf(FrameType::Headers, kPriority), "1234"));
  // A flag that DATA does not have.
  CHECK(withoutPadding(headerOf(FrameType::Data, kPriority), "abc") == "abc");
}

TEST("settings are applied, unknown ones are passed over") {
  PeerSettings settings;
  CHECK(settings.apply(setting(1, 0) + setting(3, 7) + setting(4, 100) + setting(5, 20'000) +
                       setting(6, 4'000) + setting(8, 1) + setting(9, 1) + setting(0xf00f, 5)) ==
        ErrorCode::NoError);
  CHECK_EQ(settings.headerTableSize, 0U);
  CHECK_EQ(settings.maxConcurrentStreams, 7U);
  CHECK_EQ(settings.initialWindowSize, 100U);
  CHECK_EQ(settings.maxFrameSize, 20'000U);
  CHECK_EQ(settings.maxHeaderListSize, 4'000U);
  CHECK(settings.enableConnectProtocol);
}

TEST("settings out of their range are errors") {
  const auto outcome = [](std::uint16_t id, std::uint32_t value) {
    PeerSettings settings;
    return settings.apply(setting(id, value));
  };
  CHECK(outcome(2, 2) == ErrorCode::ProtocolError);
  CHECK(outcome(4, 0x80000000U) == ErrorCode::FlowControlError);
  CHECK(outcome(5, 16'383) == ErrorCode::ProtocolError);
  CHECK(outcome(5, 1U << 24) == ErrorCode::ProtocolError);
  CHECK(outcome(8, 2) == ErrorCode::ProtocolError);
  CHECK(outcome(9, 2) == ErrorCode::ProtocolError);
}

TEST("error codes have the RFC's names") {
  CHECK_EQ(errorCodeName(ErrorCode::EnhanceYourCalm), "ENHANCE_YOUR_CALM");
  CHECK_EQ(errorCodeName(static_cast<ErrorCode>(99)), "");
}

TEST("a send window may go below zero, and not over its end") {
  SendWindow window(100);
  window.take(100);
  CHECK_EQ(window.available(), 0U);
  CHECK(window.change(-50));
  CHECK_EQ(window.available(), 0U);
  CHECK(window.grow(60));
  CHECK_EQ(window.available(), 10U);
  CHECK(window.grow(kMaxWindow - 10));
  CHECK(!window.grow(1));
}

TEST("a receive window says what is due when it is worth a frame") {
  ReceiveWindow window(100);
  CHECK(window.take(60));
  CHECK_EQ(window.giveBack(40), 0U);
  CHECK_EQ(window.giveBack(10), 50U);
  CHECK_EQ(window.left(), 90U);
  CHECK(!window.take(91));
  CHECK(window.take(90));
  CHECK_EQ(window.giveBack(10), 0U);
  CHECK_EQ(window.giveBackAll(), 10U);
}

}  // namespace tidegate::http2
