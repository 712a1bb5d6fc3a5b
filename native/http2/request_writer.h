// Heads of requests as HTTP/2 frames (RFC 9113 8.3.1).
#pragma once

#include <cstdint>
#include <string_view>

#include "http/stream.h"
#include "http2/field_block.h"

namespace tidegate::http2 {

// `scheme`: of the connection to the endpoint. With `head.upgrade` an extended CONNECT for a
// WebSocket (RFC 8441).
void writeRequestHead(FrameBuffer& out, BufferPool& pool, HpackEncoder& encoder,
                      std::uint32_t stream, const OutgoingRequest& head, std::string_view scheme,
                      bool endStream);

}  // namespace tidegate::http2
