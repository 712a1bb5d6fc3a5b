// A block is written straight into the output, behind room for the headers of its frames; when it
// is longer than a frame, its parts are moved apart.
#include "http2/request_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/ascii.h"
#include "http2/frame.h"

namespace tidegate::http2 {

namespace {

// What the pseudo-fields and the codec's own take beside the texts of the head.
constexpr std::size_t kHeadOverhead = 256;

bool isPassedOn(const Field& f) {
  return !f.hopByHop && !f.dropped && f.id != FieldId::ContentLength && f.id != FieldId::Host;
}

std::size_t roomOf(const OutgoingFields& fields) {
  std::size_t size = 0;
  if (fields.source != nullptr) {
    for (const Field& f : fields.source->fields())
      size += f.name.length + f.value.length + HpackEncoder::kFieldOverhead;
  }
  for (const OutgoingField& f : fields.extra)
    size += f.name.size() + f.value.size() + HpackEncoder::kFieldOverhead;
  return size;
}

// One field block in frames.
class BlockWriter {
 public:
  // `room`: what begin() and add() of the encoder may write.
  BlockWriter(Output& out, BufferPool& pool, HpackEncoder& encoder, std::size_t room)
      : out_(out), encoder_(encoder) {
    const std::size_t frames = room / kMaxFrameBytes + 1;
    frame_ = out.reserve(pool, room + frames * kFrameHeaderBytes);
    begin_ = reinterpret_cast<std::uint8_t*>(frame_ + kFrameHeaderBytes);
    at_ = encoder.begin(begin_);
  }

  void add(std::string_view name, std::string_view value, bool secret = false) {
    at_ = encoder_.add(at_, name, value, secret);
  }

  // `except`: the name of one more that is left out.
  void addAll(const OutgoingFields& fields, std::string_view except = {}) {
    if (fields.source != nullptr) {
      for (const Field& f : fields.source->fields()) {
        if (isPassedOn(f) && !equalsIgnoreCase(fields.source->name(f), except))
          add(fields.source->name(f), fields.source->value(f), f.neverIndexed);
      }
    }
    for (const OutgoingField& f : fields.extra) add(f.name, f.value);
  }

  void end(std::uint32_t stream, bool endStream) {
    const auto size = static_cast<std::size_t>(at_ - begin_);
    const std::size_t frames = size == 0 ? 1 : (size + kMaxFrameBytes - 1) / kMaxFrameBytes;
    // From the last to the first, so that nothing is overwritten before it has been moved.
    for (std::size_t i = frames; i-- > 0;) {
      const std::size_t from = i * kMaxFrameBytes;
      const std::size_t length = std::min<std::size_t>(size - from, kMaxFrameBytes);
      char* const header = frame_ + from + i * kFrameHeaderBytes;
      if (i > 0) std::memmove(header + kFrameHeaderBytes, begin_ + from, length);
      FrameHeader frame;
      frame.length = static_cast<std::uint32_t>(length);
      frame.type = i == 0 ? FrameType::Headers : FrameType::Continuation;
      frame.stream = stream;
      if (i == 0 && endStream) frame.flags |= kEndStream;
      if (i == frames - 1) frame.flags |= kEndHeaders;
      writeFrameHeader(header, frame);
    }
    out_.commit(size + frames * kFrameHeaderBytes);
  }

 private:
  Output& out_;
  HpackEncoder& encoder_;
  char* frame_;
  std::uint8_t* begin_;
  std::uint8_t* at_;
};

}  // namespace

void writeRequestHead(Output& out, BufferPool& pool, HpackEncoder& encoder, std::uint32_t stream,
                      const OutgoingRequest& head, std::string_view scheme, bool endStream) {
  const std::size_t target = head.path.size() + head.query.size() + 1;
  BlockWriter block(out, pool, encoder,
                    HpackEncoder::kBeginBytes + kHeadOverhead + head.method.size() + target +
                        head.host.size() + roomOf(head.fields));
  const bool webSocket = !head.upgrade.empty();
  block.add(":method", webSocket ? "CONNECT" : head.method);
  if (webSocket) block.add(":protocol", "websocket");
  block.add(":scheme", scheme);
  block.add(":authority", head.host);
  if (head.hasQuery) {
    const Block joined = pool.acquire(target);
    char* at = joined.data();
    std::memcpy(at, head.path.data(), head.path.size());
    at[head.path.size()] = '?';
    std::copy(head.query.begin(), head.query.end(), at + head.path.size() + 1);
    block.add(":path", {at, target});
  } else {
    block.add(":path", head.path);
  }
  block.addAll(head.fields, webSocket ? "sec-websocket-key" : "");
  if (head.body == BodyKind::Length) {
    std::array<char, 20> text;
    const char* const end = std::to_chars(text.begin(), text.end(), head.contentLength).ptr;
    block.add("content-length", {text.data(), static_cast<std::size_t>(end - text.data())});
  }
  if (head.teTrailers) block.add("te", "trailers");
  block.end(stream, endStream);
}

void writeTrailers(Output& out, BufferPool& pool, HpackEncoder& encoder, std::uint32_t stream,
                   const HeadFields& trailers) {
  const OutgoingFields fields{&trailers, {}};
  BlockWriter block(out, pool, encoder, HpackEncoder::kBeginBytes + roomOf(fields));
  block.addAll(fields);
  block.end(stream, true);
}

}  // namespace tidegate::http2
