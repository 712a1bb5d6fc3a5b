#include "http2_answers.h"

#include <algorithm>
#include <ctime>
#include <span>
#include <utility>

#include "../origin/request.h"
#include "../origin/responses.h"
#include "http2/huffman.h"

namespace tidegate::bench {
namespace {

using http2::FrameHeader;
using http2::FrameType;

// A body goes out in one frame, for which every peer's stream window has room at first.
constexpr std::size_t kMostBytes = http2::kMaxFrameBytes;
constexpr std::uint32_t kStreams = 512;          // at a time, which is said in SETTINGS
constexpr std::uint32_t kWindow = 1u << 20;      // of each stream and of the connection
constexpr std::size_t kAcknowledged = 1u << 18;  // received before the window is opened again

constexpr std::size_t kLongestBlock = 16u << 10;
constexpr std::string_view kStatus200 = "\x88";          // by its index (RFC 7541 6.1)
constexpr std::string_view kContentLength = "\x0f\x0d";  // a literal that is not indexed (6.2.2)
constexpr std::string_view kEmptyTable = "\x20";         // an update of the table's size (6.3)

constexpr std::size_t kServer = 0;
constexpr std::size_t kDate = 1;
constexpr std::size_t kTextPlain = 2;
constexpr std::size_t kGrpcType = 3;
constexpr std::size_t kGrpcStatus = 4;

// A literal with its name as text or by the static table (RFC 7541 6.2.1), but for the first byte's
// upper bits.
std::string literal(std::uint8_t index, std::string_view name, std::string_view value) {
  std::string text(1, static_cast<char>(index));
  if (index == 0) text.append(1, static_cast<char>(name.size())).append(name);
  return text.append(1, static_cast<char>(value.size())).append(value);
}

std::string dateNow() {
  char date[64];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return date;
}

// What a real service would send beside the length, as Responses does over HTTP/1.
const std::array<std::string, 5>& fields() {
  static const std::array<std::string, 5> kAll = {
      literal(54, {}, "bench-origin"), literal(33, {}, dateNow()), literal(31, {}, "text/plain"),
      literal(31, {}, "application/grpc"), literal(0, "grpc-status", "0")};
  return kAll;
}

}  // namespace

bool Http2Answers::beginsWith(std::string_view bytes) {
  const std::size_t known = std::min(bytes.size(), http2::kPreface.size());
  return bytes.substr(0, known) == http2::kPreface.substr(0, known);
}

Http2Answers::Http2Answers() {
  inserted_.fill(kNotIndexed);
  std::array<char, http2::kFrameHeaderBytes + 2 * http2::kSettingBytes> settings;
  char* at = http2::writeFrameHeader(
      settings.data(), {.length = 2 * http2::kSettingBytes, .type = FrameType::Settings});
  at = http2::writeSetting(at, http2::Setting::MaxConcurrentStreams, kStreams);
  http2::writeSetting(at, http2::Setting::InitialWindowSize, kWindow);
  output_.append(settings.data(), settings.size());
  appendWindowUpdate(0, kWindow - http2::kDefaultWindow);
}

bool Http2Answers::take(std::string_view bytes) {
  std::string joined;
  if (!input_.empty()) {
    joined = std::move(input_.append(bytes));
    input_.clear();
    bytes = joined;
  }
  if (!preface_) {
    if (bytes.size() < http2::kPreface.size()) {
      input_.assign(bytes);
      return true;
    }
    bytes.remove_prefix(http2::kPreface.size());
    preface_ = true;
  }
  while (bytes.size() >= http2::kFrameHeaderBytes) {
    const FrameHeader frame = http2::readFrameHeader(bytes.data());
    if (frame.length > http2::kMaxFrameBytes) return false;
    if (bytes.size() < http2::kFrameHeaderBytes + frame.length) break;
    if (!takeFrame(frame, bytes.substr(http2::kFrameHeaderBytes, frame.length))) return false;
    bytes.remove_prefix(http2::kFrameHeaderBytes + frame.length);
  }
  input_.assign(bytes);
  if (unacknowledged_ > kAcknowledged) appendWindowUpdate(0, std::exchange(unacknowledged_, 0));
  return true;
}

std::string_view Http2Answers::nextBatch() {
  batch_.swap(output_);
  output_.clear();
  return batch_;
}

bool Http2Answers::takeFrame(const FrameHeader& frame, std::string_view payload) {
  switch (frame.type) {
    case FrameType::Headers:
      return takeHeaders(frame, payload);
    case FrameType::Data:
      return takeData(frame, payload);
    case FrameType::Settings:
      if (!frame.has(http2::kAck)) takeSettings(payload);
      return true;
    case FrameType::Ping:
      if (!frame.has(http2::kAck)) {
        std::array<char, http2::kPingFrame> pong;
        http2::writePing(pong.data(), payload, true);
        output_.append(pong.data(), pong.size());
      }
      return true;
    case FrameType::WindowUpdate:
      if (frame.stream != 0) return true;
      window_ += http2::load32(payload.data());
      while (!waiting_.empty() && window_ >= static_cast<std::int64_t>(waiting_.front().size)) {
        send(waiting_.front());
        waiting_.pop_front();
      }
      return true;
    case FrameType::RstStream:
      std::erase_if(open_, [&frame](const Request& each) { return each.stream == frame.stream; });
      std::erase_if(waiting_,
                    [&frame](const Request& each) { return each.stream == frame.stream; });
      return true;
    case FrameType::GoAway:
    case FrameType::Continuation:  // no head under test is that long
      return false;
    default:
      return true;
  }
}

bool Http2Answers::takeHeaders(const FrameHeader& frame, std::string_view payload) {
  const std::optional<std::string_view> block = http2::withoutPadding(frame, payload);
  if (!block || block->size() > kLongestBlock || !frame.has(http2::kEndHeaders)) return false;
  static std::array<char, http2::huffmanRoom(kLongestBlock)> room;
  head_ = {};
  head_.stream = frame.stream;
  head_.size = kDefaultBody;
  const auto* data = reinterpret_cast<const std::uint8_t*>(block->data());
  if (decoder_.decode(std::span(data, block->size()), room, *this) != http2::HpackError::None) {
    return false;
  }
  const auto begun = std::find_if(open_.begin(), open_.end(), [&frame](const Request& each) {
    return each.stream == frame.stream;
  });
  if (begun != open_.end()) {  // trailers
    Request request = std::move(*begun);
    open_.erase(begun);
    answer(request);
  } else if (frame.has(http2::kEndStream)) {
    answer(head_);
  } else {
    open_.push_back(std::move(head_));
  }
  return true;
}

void Http2Answers::onField(std::string_view name, std::string_view value, bool) {
  if (name == ":path") {
    head_.size = bodySizeOf(value);
  } else if (name == ":method") {
    head_.post = value.starts_with('P');
  } else if (name == "content-type") {
    head_.grpc = value.starts_with("application/grpc");
  }
}

bool Http2Answers::takeData(const FrameHeader& frame, std::string_view payload) {
  const std::optional<std::string_view> body = http2::withoutPadding(frame, payload);
  if (!body) return false;
  unacknowledged_ += payload.size();
  const auto found = std::find_if(open_.begin(), open_.end(), [&frame](const Request& each) {
    return each.stream == frame.stream;
  });
  if (found == open_.end()) return true;
  found->received += body->size();
  if (found->grpc) found->message.append(*body);
  if (frame.has(http2::kEndStream)) {
    Request request = std::move(*found);
    open_.erase(found);
    answer(request);
  } else if (!payload.empty()) {
    appendWindowUpdate(frame.stream, payload.size());
  }
  return true;
}

void Http2Answers::takeSettings(std::string_view payload) {
  peer_.apply(payload);
  if (indexing_ && peer_.headerTableSize < http2::kDefaultTableBytes) {
    indexing_ = false;
    tableEmptied_ = true;
  }
  std::array<char, http2::kFrameHeaderBytes> acknowledged;
  http2::writeFrameHeader(acknowledged.data(), {.type = FrameType::Settings, .flags = http2::kAck});
  output_.append(acknowledged.data(), acknowledged.size());
}

// As soon as the connection's window has room for it.
void Http2Answers::answer(Request& request) {
  if (request.grpc) {
    request.size = request.message.size();
  } else if (request.post) {
    request.size = std::to_string(request.received).size();
  }
  if (request.size > kMostBytes) {
    std::array<char, http2::kRstStreamFrame> reset;
    http2::writeRstStream(reset.data(), request.stream, http2::ErrorCode::RefusedStream);
    output_.append(reset.data(), reset.size());
  } else if (waiting_.empty() && window_ >= static_cast<std::int64_t>(request.size)) {
    send(request);
  } else {
    waiting_.push_back(std::move(request));
  }
}

void Http2Answers::send(const Request& request) {
  static const std::string kFilling(kMostBytes, 'x');
  window_ -= static_cast<std::int64_t>(request.size);
  block_.clear();
  if (std::exchange(tableEmptied_, false)) block_.append(kEmptyTable);
  block_.append(kStatus200);
  addIndexed(block_, kServer);
  addIndexed(block_, kDate);
  addIndexed(block_, request.grpc ? kGrpcType : kTextPlain);
  if (request.grpc) {
    appendHeaders(request.stream, false, block_);
    appendData(request.stream, false, request.message);
    block_.clear();
    addIndexed(block_, kGrpcStatus);
    appendHeaders(request.stream, true, block_);
    return;
  }
  const std::string length = std::to_string(request.size);
  block_.append(kContentLength).append(1, static_cast<char>(length.size())).append(length);
  appendHeaders(request.stream, request.size == 0, block_);
  if (request.size == 0) return;
  appendData(request.stream, true,
             request.post ? std::string_view(std::to_string(request.received))
                          : std::string_view(kFilling).substr(0, request.size));
}

void Http2Answers::addIndexed(std::string& block, std::size_t field) {
  const std::string& text = fields()[field];
  if (!indexing_) {
    // With its name's index in four bits and the rest in another byte (RFC 7541 5.1 and 6.2.2).
    const auto index = static_cast<std::uint8_t>(text[0]);
    if (index < 15) {
      block.append(1, static_cast<char>(index));
    } else {
      block.append(1, '\x0f').append(1, static_cast<char>(index - 15));
    }
    block.append(text, 1);
    return;
  }
  std::uint8_t& inserted = inserted_[field];
  if (inserted == kNotIndexed) {
    inserted = insertions_++;
    block.append(1, static_cast<char>(0x40 | static_cast<std::uint8_t>(text[0])));
    block.append(text, 1);
    return;
  }
  block.append(1, static_cast<char>(0x80 | (http2::kStaticFields + insertions_ - inserted)));
}

void Http2Answers::appendHeaders(std::uint32_t stream, bool end, std::string_view block) {
  std::array<char, http2::kFrameHeaderBytes> header;
  const auto flags = static_cast<std::uint8_t>(http2::kEndHeaders | (end ? http2::kEndStream : 0));
  http2::writeFrameHeader(header.data(), {.length = static_cast<std::uint32_t>(block.size()),
                                          .type = FrameType::Headers,
                                          .flags = flags,
                                          .stream = stream});
  output_.append(header.data(), header.size()).append(block);
}

void Http2Answers::appendData(std::uint32_t stream, bool end, std::string_view bytes) {
  std::array<char, http2::kFrameHeaderBytes> header;
  http2::writeFrameHeader(header.data(), {.length = static_cast<std::uint32_t>(bytes.size()),
                                          .type = FrameType::Data,
                                          .flags = end ? http2::kEndStream : std::uint8_t{0},
                                          .stream = stream});
  output_.append(header.data(), header.size()).append(bytes);
}

void Http2Answers::appendWindowUpdate(std::uint32_t stream, std::size_t bytes) {
  std::array<char, http2::kWindowUpdateFrame> update;
  http2::writeWindowUpdate(update.data(), stream, static_cast<std::uint32_t>(bytes));
  output_.append(update.data(), update.size());
}

}  // namespace tidegate::bench
