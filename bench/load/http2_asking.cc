// HTTP/2 (RFC 9113): many requests at a time. The proxies under test are trusted to send valid
// frames.
#include <array>
#include <span>
#include <utility>

#include "../common/head.h"
#include "asking.h"
#include "http2/frame.h"
#include "http2/hpack_decoder.h"
#include "http2/hpack_encoder.h"
#include "http2/huffman.h"

namespace tidegate::bench {
namespace {

using http2::FrameHeader;
using http2::FrameType;

constexpr std::uint32_t kWindow = 1u << 30;     // of each stream and of the connection
constexpr std::uint32_t kGivenBack = 1u << 28;  // received before the window is opened again
constexpr std::size_t kLongestBlock = 16u << 10;
constexpr std::size_t kMessage = 64;

class Http2Asking final : public Asking, http2::HpackSink {
 public:
  Http2Asking(const Question& question, std::uint32_t streams) : question_(question) {
    // A stream that is still open is never overtaken by so many.
    std::size_t slots = 64;
    while (slots < std::size_t{16} * streams) slots *= 2;
    open_.resize(slots);
    output_.append(http2::kPreface);
    std::array<char, http2::kFrameHeaderBytes + 2 * http2::kSettingBytes> settings;
    char* at = http2::writeFrameHeader(
        settings.data(),
        {.length = 2 * http2::kSettingBytes, .type = FrameType::Settings, .flags = 0, .stream = 0});
    at = http2::writeSetting(at, http2::Setting::EnablePush, 0);
    http2::writeSetting(at, http2::Setting::InitialWindowSize, kWindow);
    output_.append(settings.data(), settings.size());
    giveBack(kWindow - http2::kDefaultWindow);
    if (question.grpc) message_ = std::string({0, 0, 0, 0, kMessage}).append(kMessage, 'x');
  }

  void ask(std::uint64_t now) override {
    if (!message_.empty() && window_ < message_.size()) {
      waiting_.push_back(now);
      return;
    }
    const std::uint32_t stream = std::exchange(nextStream_, nextStream_ + 2);
    slotOf(stream) = {stream, now, 0};
    std::array<std::uint8_t, 1024> block;
    std::uint8_t* end = encoder_.begin(block.data());
    end = encoder_.add(end, ":method", question_.grpc ? "POST" : "GET");
    end = encoder_.add(end, ":scheme", question_.encrypted ? "https" : "http");
    end = encoder_.add(end, ":authority", question_.authority);
    end = encoder_.add(end, ":path", question_.path);
    if (question_.grpc) {
      end = encoder_.add(end, "content-type", "application/grpc");
      end = encoder_.add(end, "te", "trailers");
    }
    const auto* data = reinterpret_cast<const char*>(block.data());
    const std::uint8_t whole = question_.grpc ? 0 : http2::kEndStream;
    append(FrameType::Headers, http2::kEndHeaders | whole, stream,
           {data, static_cast<std::size_t>(end - block.data())});
    if (message_.empty()) return;
    window_ -= message_.size();
    append(FrameType::Data, http2::kEndStream, stream, message_);
  }

  bool take(std::string_view bytes) override {
    std::string joined;
    if (!input_.empty()) {
      joined = std::move(input_.append(bytes));
      input_.clear();
      bytes = joined;
    }
    while (bytes.size() >= http2::kFrameHeaderBytes) {
      const FrameHeader frame = http2::readFrameHeader(bytes.data());
      if (frame.length > http2::kMaxFrameBytes) return false;
      if (bytes.size() < http2::kFrameHeaderBytes + frame.length) break;
      if (!takeFrame(frame, bytes.substr(http2::kFrameHeaderBytes, frame.length))) return false;
      bytes.remove_prefix(http2::kFrameHeaderBytes + frame.length);
    }
    input_.assign(bytes);
    return true;
  }

 private:
  struct Open {
    std::uint32_t stream = 0;
    std::uint64_t asked = 0;
    int status = 0;
  };

  Open& slotOf(std::uint32_t stream) { return open_[(stream / 2) & (open_.size() - 1)]; }

  bool takeFrame(const FrameHeader& frame, std::string_view payload) {
    switch (frame.type) {
      case FrameType::Headers:
        if (!takeHeaders(frame, payload)) return false;
        break;
      case FrameType::Data:
        received_ += frame.length;
        if (received_ > kGivenBack) giveBack(std::exchange(received_, 0));
        break;
      case FrameType::RstStream: {
        Open& open = slotOf(frame.stream);
        if (open.stream == frame.stream) answers_.push_back({open.asked, 0});
        open.stream = 0;
        return true;
      }
      case FrameType::Settings:
        if (!frame.has(http2::kAck)) {
          peer_.apply(payload);
          encoder_.setPeerLimit(peer_.headerTableSize);
          append(FrameType::Settings, http2::kAck, 0, {});
        }
        return true;
      case FrameType::Ping:
        if (!frame.has(http2::kAck)) append(FrameType::Ping, http2::kAck, 0, payload);
        return true;
      case FrameType::WindowUpdate:
        if (frame.stream == 0) grow(http2::load32(payload.data()));
        return true;
      case FrameType::GoAway:
      case FrameType::Continuation:  // no head of the bench's is that long
        return false;
      default:
        return true;
    }
    if (!frame.has(http2::kEndStream)) return true;
    Open& open = slotOf(frame.stream);
    if (open.stream != frame.stream) return true;
    answers_.push_back({open.asked, open.status});
    open.stream = 0;
    return true;
  }

  bool takeHeaders(const FrameHeader& frame, std::string_view payload) {
    const std::optional<std::string_view> block = http2::withoutPadding(frame, payload);
    if (!block || block->size() > kLongestBlock || !frame.has(http2::kEndHeaders)) return false;
    static std::array<char, http2::huffmanRoom(kLongestBlock)> room;
    head_ = &slotOf(frame.stream);
    const auto* data = reinterpret_cast<const std::uint8_t*>(block->data());
    return decoder_.decode(std::span(data, block->size()), room, *this) == http2::HpackError::None;
  }

  void onField(std::string_view name, std::string_view value, bool) override {
    if (name == ":status") head_->status = static_cast<int>(leadingNumber(value));
    // What failed says so behind a status of 200.
    if (name == "grpc-status" && value != "0") head_->status = 500;
  }

  void grow(std::uint32_t bytes) {
    window_ += bytes;
    std::vector<std::uint64_t> waiting;
    waiting.swap(waiting_);
    for (const std::uint64_t since : waiting) ask(since);
  }

  void giveBack(std::uint32_t bytes) {
    std::array<char, http2::kWindowUpdateFrame> update;
    http2::writeWindowUpdate(update.data(), 0, bytes);
    output_.append(update.data(), update.size());
  }

  void append(FrameType type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
    std::array<char, http2::kFrameHeaderBytes> header;
    http2::writeFrameHeader(header.data(), {.length = static_cast<std::uint32_t>(payload.size()),
                                            .type = type,
                                            .flags = flags,
                                            .stream = stream});
    output_.append(header.data(), header.size()).append(payload);
  }

  const Question& question_;
  http2::HpackEncoder encoder_;
  http2::HpackDecoder decoder_;
  http2::PeerSettings peer_;
  std::uint32_t nextStream_ = 1;
  std::size_t window_ = http2::kDefaultWindow;
  std::uint32_t received_ = 0;
  std::string message_;
  std::vector<std::uint64_t> waiting_;  // for the window, since when
  std::vector<Open> open_;
  Open* head_ = nullptr;  // whose fields are being read
  std::string input_;     // a frame that is incomplete
};

}  // namespace

std::unique_ptr<Asking> askOverHttp2(const Question& question, std::uint32_t streams) {
  return std::make_unique<Http2Asking>(question, streams);
}

}  // namespace tidegate::bench
