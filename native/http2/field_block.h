// A field block on its way out: encoded in place, behind the header of its HEADERS frame, and cut
// into CONTINUATION frames where it is longer than a frame (RFC 9113 6.2 and 6.10).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "http/stream.h"
#include "http2/frame_buffer.h"
#include "http2/hpack_encoder.h"

namespace tidegate::http2 {

class FieldBlock {
 public:
  // What add() and addAll() may be given altogether.
  struct Size {
    std::size_t fields = 0;
    std::size_t bytes = 0;

    Size& with(std::string_view name, std::string_view value) {
      ++fields;
      bytes += name.size() + value.size();
      return *this;
    }
    Size& with(const OutgoingFields& all);
  };

  FieldBlock(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder, const Size& size);

  void add(std::span<const OutgoingField> fields);
  void add(std::initializer_list<OutgoingField> fields) {
    add(std::span(fields.begin(), fields.size()));
  }
  // Without those that are dropped or meant for one hop, and without Host and Content-Length, which
  // the codec writes itself. `except`: the name of one more that is left out.
  void addAll(const OutgoingFields& fields, std::string_view except = {});

  // Writes the frame headers. Returns where the HEADERS frame begins (FrameBuffer::position()).
  std::uint64_t end(std::uint32_t stream, bool endStream);

 private:
  FrameBuffer& out_;
  HpackEncoder& encoder_;
  char* const begin_;
  std::uint8_t* at_;
};

// What a response has on the wire. 101 is the 200 that answers an extended CONNECT (RFC 8441 5).
// Returns where its frame begins.
std::uint64_t writeResponseHead(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder,
                                std::uint32_t stream, const OutgoingResponse& head);
// With END_STREAM.
std::uint64_t writeTrailers(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder,
                            std::uint32_t stream, const HeadFields& trailers);

}  // namespace tidegate::http2
