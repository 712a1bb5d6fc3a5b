// Reads just enough of a request head to answer it. The peers under test are trusted to send valid
// HTTP/1.1: this is a load target and no server.
#pragma once

#include <cstddef>
#include <string_view>

namespace tidegate::bench {

enum class Want { Incomplete, Body, Close, Upload, Refused };

struct Request {
  Want want = Want::Incomplete;
  std::size_t headLength = 0;    // with the empty line; 0 when incomplete
  std::size_t bodySize = 0;      // Body: the size asked for
  std::size_t uploadLength = 0;  // Upload: Content-Length
  bool close = false;            // the client ends the connection after this response
};

// Reads the head that `input` begins with.
//   /b/N     a body of N bytes, N with an optional suffix k (1024) or m (1024 * 1024)
//   /close   the default body and `Connection: close`
//   /upload, or any POST or PUT: its body is read and its size is the answer
//   anything else: the default body
Request readRequest(std::string_view input);

// The size of the body that a path asks for, or the default one's; may be beyond kMaxBody.
std::size_t bodySizeOf(std::string_view target);

}  // namespace tidegate::bench
