// Fuzzes a whole HTTP/2 connection: every input is a client's frames, in any order and size, and
// what the exchanges do meanwhile.
#include <cstdint>
#include <string>
#include <string_view>

#include "../native/http2_harness.h"

namespace tidegate::http2 {
namespace {

using test::FakeExchange;
using test::frameOf;
using test::Http2Harness;
using test::number32;
using test::requestFrame;
using test::require;

class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  std::uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  std::string bytes(std::size_t count) {
    count = std::min(count, size_);
    std::string text(reinterpret_cast<const char*>(data_), count);
    data_ += count;
    size_ -= count;
    return text;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

// Streams near each other, so that frames meet.
std::uint32_t streamOf(std::uint8_t byte) {
  return byte < 64 ? std::uint32_t{byte} : 2 * std::uint32_t{byte} - 63;
}

void actAs(FakeExchange& exchange, std::uint8_t what) {
  if (!exchange.live()) return;
  switch (what % 9) {
    case 0:
      exchange.resume();
      break;
    case 1:
      exchange.pause();
      break;
    case 2:
      if (!exchange.headSent) exchange.respond(200);
      break;
    case 3:
      if (!exchange.headSent) exchange.respond(204, BodyKind::None);
      break;
    case 4:
    case 5:
      if (exchange.headSent && !exchange.finished)
        exchange.send(std::string(std::size_t{1} << (what / 9 % 16), 'x'));
      break;
    case 6:
      if (exchange.headSent && !exchange.finished) exchange.finish();
      break;
    case 7:
      if (exchange.headSent && !exchange.finished) {
        FieldTable trailers;
        const std::string text = "x-sumabc";
        trailers.rebase(text.data());
        Field field;
        field.name = {0, 5};
        field.value = {5, 3};
        trailers.add(field);
        exchange.finish(&trailers);
      }
      break;
    default:
      exchange.abort();
      break;
  }
}

void step(Http2Harness& harness, FuzzInput& input) {
  const std::uint8_t what = input.byte();
  const std::uint8_t which = input.byte();
  const std::size_t count = harness.exchanges.size();
  if (what < 0x60) {
    // A frame that is one, with any payload.
    const auto type = static_cast<FrameType>(what % 0x12);
    const std::uint8_t flags = input.byte();
    harness.give(frameOf(type, flags, streamOf(which), input.bytes(input.byte())));
  } else if (what < 0x90) {
    harness.give(requestFrame(streamOf(which) | 1, "/a", (what & 1) != 0, input.bytes(what & 7)));
  } else if (what < 0xa0) {
    const std::string body(std::size_t{which} * 64, 'b');
    harness.give(frameOf(FrameType::Data, input.byte() & (kEndStream | kPadded),
                         streamOf(input.byte()) | 1, body));
  } else if (what < 0xb0) {
    harness.give(
        frameOf(FrameType::WindowUpdate, 0, streamOf(which), number32(1U << (input.byte() % 31))));
  } else if (what < 0xe0) {
    if (count > 0) actAs(*harness.exchanges[which % count], input.byte());
  } else if (what < 0xe8) {
    harness.bytes.room = std::size_t{which} * 100;
    harness.turn();
  } else if (what < 0xf0) {
    harness.drainOutput();
  } else if (what < 0xf4) {
    harness.give(input.bytes(which));
  } else if (what < 0xf8) {
    if (!harness.closed()) harness.connection().drain();
    harness.turn();
  } else if (what < 0xfc) {
    // The client ends its half.
    harness.bytes.ended = true;
    harness.give("");
  } else {
    harness.turn();
  }
}

int run(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  Http2Harness harness(8);
  harness.begin(frameOf(FrameType::Settings, 0, 0));
  while (!input.empty() && !harness.closed()) step(harness, input);
  if (!harness.closed()) harness.drainOutput();
  harness.takeFrames();
  harness.close();
  require(harness.closed(), "the end of the connection");
  return 0;
}

}  // namespace
}  // namespace tidegate::http2

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return tidegate::http2::run(data, size);
}
