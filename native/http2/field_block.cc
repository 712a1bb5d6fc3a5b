#include "http2/field_block.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/ascii.h"

namespace tidegate::http2 {

namespace {

bool isSent(const Field& f) {
  return !f.hopByHop && !f.dropped && f.id != FieldId::ContentLength && f.id != FieldId::Host;
}

std::size_t roomFor(const FieldBlock::Size& size) {
  const std::size_t block =
      HpackEncoder::kBeginBytes + size.bytes + size.fields * HpackEncoder::kFieldOverhead;
  return block + (block / kMaxFrameBytes + 1) * kFrameHeaderBytes;
}

struct Digits {
  explicit Digits(std::uint64_t number)
      : length(static_cast<std::size_t>(
            std::to_chars(text.data(), text.data() + text.size(), number).ptr - text.data())) {}
  std::string_view view() const { return {text.data(), length}; }

  std::array<char, 20> text;
  std::size_t length;
};

}  // namespace

FieldBlock::Size& FieldBlock::Size::with(const OutgoingFields& all) {
  if (all.source != nullptr) {
    for (const Field& f : all.source->fields()) {
      if (isSent(f)) with(all.source->name(f), all.source->value(f));
    }
  }
  for (const OutgoingField& f : all.extra) with(f.name, f.value);
  return *this;
}

FieldBlock::FieldBlock(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder, const Size& size)
    : out_(out),
      encoder_(encoder),
      begin_(out.reserve(pool, roomFor(size))),
      at_(encoder.begin(reinterpret_cast<std::uint8_t*>(begin_ + kFrameHeaderBytes))) {}

void FieldBlock::add(std::span<const OutgoingField> fields) { at_ = encoder_.add(at_, fields); }

void FieldBlock::addAll(const OutgoingFields& fields, std::string_view except) {
  if (fields.source != nullptr) {
    std::uint8_t* at = at_;
    for (const Field& f : fields.source->fields()) {
      if (!isSent(f)) continue;
      const std::string_view name = fields.source->name(f);
      if (!except.empty() && equalsIgnoreCase(name, except)) continue;
      at = encoder_.add(at, name, fields.source->value(f), f.neverIndexed);
    }
    at_ = at;
  }
  add(fields.extra);
}

std::uint64_t FieldBlock::end(std::uint32_t stream, bool endStream) {
  const std::uint64_t position = out_.position();
  char* const block = begin_ + kFrameHeaderBytes;
  const auto size = static_cast<std::size_t>(reinterpret_cast<char*>(at_) - block);
  const std::size_t frames = std::max<std::size_t>(1, (size + kMaxFrameBytes - 1) / kMaxFrameBytes);
  // From the last one on, so that each makes room for its header.
  for (std::size_t i = frames; i-- > 0;) {
    const std::size_t from = i * kMaxFrameBytes;
    FrameHeader header;
    header.length = static_cast<std::uint32_t>(std::min<std::size_t>(size - from, kMaxFrameBytes));
    header.type = i == 0 ? FrameType::Headers : FrameType::Continuation;
    header.flags = static_cast<std::uint8_t>((i == 0 && endStream ? kEndStream : 0) |
                                             (i + 1 == frames ? kEndHeaders : 0));
    header.stream = stream;
    char* const frame = begin_ + from + i * kFrameHeaderBytes;
    if (i > 0) std::memmove(frame + kFrameHeaderBytes, block + from, header.length);
    writeFrameHeader(frame, header);
  }
  out_.commit(block + size + (frames - 1) * kFrameHeaderBytes);
  return position;
}

std::uint64_t writeResponseHead(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder,
                                std::uint32_t stream, const OutgoingResponse& head) {
  const bool switched = head.status == 101;
  const Digits status(switched ? 200 : head.status);
  const Digits length(head.contentLength);
  const bool hasLength =
      head.body == BodyKind::Length || (head.body == BodyKind::None && head.announceLength);
  FieldBlock::Size size;
  size.with(":status", status.view()).with("content-length", length.view()).with(head.fields);
  FieldBlock block(out, pool, encoder, size);
  block.add({{":status", status.view()}});
  block.addAll(head.fields, switched ? "sec-websocket-accept" : std::string_view{});
  if (hasLength && !switched) block.add({{"content-length", length.view()}});
  return block.end(stream, false);
}

std::uint64_t writeTrailers(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder,
                            std::uint32_t stream, const HeadFields& trailers) {
  const OutgoingFields fields{&trailers, {}};
  FieldBlock block(out, pool, encoder, FieldBlock::Size().with(fields));
  block.addAll(fields);
  return block.end(stream, true);
}

}  // namespace tidegate::http2
