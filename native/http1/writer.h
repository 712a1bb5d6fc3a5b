// Writes HTTP/1.1 heads, chunks and trailers (RFC 9112). The bytes go straight into a connection's
// output.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/stream.h"
#include "io/buffer_pool.h"
#include "io/output.h"

namespace tidegate::http1 {

// How the body is to be delimited and what the connection does afterwards, as the writer shall
// announce it.
struct ResponseFraming {
  bool contentLength = false;
  std::uint64_t length = 0;
  bool chunked = false;
  bool close = false;
  bool keepAlive = false;  // said to HTTP/1.0 clients, for whom it is not the default
};

void writeRequestHead(Output& out, BufferPool& pool, const OutgoingRequest& head);
void writeResponseHead(Output& out, BufferPool& pool, const OutgoingResponse& head,
                       const ResponseFraming& framing);

// One chunk; `data` is borrowed until the next flush. Nothing for empty data, which would end the
// body.
void writeChunk(Output& out, BufferPool& pool, std::string_view data);
// The last chunk, with trailer fields when there are any.
void writeLastChunk(Output& out, BufferPool& pool, const HeadFields* trailers);

// The standard phrase; "Unknown" for statuses without one.
std::string_view statusPhrase(std::uint16_t status);

}  // namespace tidegate::http1
