// Heads and trailers of requests as HTTP/2 frames (RFC 9113 8.3.1).
#pragma once

#include <cstdint>
#include <string_view>

#include "http/stream.h"
#include "http2/hpack_encoder.h"
#include "io/output.h"

namespace tidegate::http2 {

// `scheme`: of the connection to the endpoint. HEADERS, and CONTINUATION where one frame is not
// enough. With `head.upgrade` an extended CONNECT for a WebSocket (RFC 8441).
void writeRequestHead(Output& out, BufferPool& pool, HpackEncoder& encoder, std::uint32_t stream,
                      const OutgoingRequest& head, std::string_view scheme, bool endStream);

// Ends the stream.
void writeTrailers(Output& out, BufferPool& pool, HpackEncoder& encoder, std::uint32_t stream,
                   const HeadFields& trailers);

}  // namespace tidegate::http2
