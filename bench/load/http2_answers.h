// The origin's half of an HTTP/2 connection without TLS (RFC 9113), as bytes in and bytes out: the
// answers of bench/origin by path, and those of a gRPC service that echoes. The proxies under test
// are trusted to send valid frames: this is a load target and no server.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "http2/frame.h"
#include "http2/hpack_decoder.h"

namespace tidegate::bench {

class Http2Answers final : http2::HpackSink {
 public:
  // Whether a connection that begins so speaks HTTP/2; `bytes` may be less than the preface.
  static bool beginsWith(std::string_view bytes);

  Http2Answers();

  // What the connection received, its preface first. False: it cannot go on.
  bool take(std::string_view bytes);

  // All that is to be sent by now; borrowed until the next call, before which it has to be sent.
  std::string_view nextBatch();

 private:
  // Fields of answers that go into the peer's table, in the order of kIndexed.
  static constexpr std::size_t kIndexedFields = 5;
  static constexpr std::uint8_t kNotIndexed = 0xff;

  struct Request {
    std::uint32_t stream = 0;
    std::size_t size = 0;  // of the body that it asks for
    std::size_t received = 0;
    bool post = false;
    bool grpc = false;
    std::string message;  // of gRPC: what is echoed
  };

  void onField(std::string_view name, std::string_view value, bool neverIndexed) override;
  bool takeFrame(const http2::FrameHeader& frame, std::string_view payload);
  bool takeHeaders(const http2::FrameHeader& frame, std::string_view payload);
  bool takeData(const http2::FrameHeader& frame, std::string_view payload);
  void takeSettings(std::string_view payload);
  void answer(Request& request);
  void send(const Request& request);
  void appendHeaders(std::uint32_t stream, bool end, std::string_view block);
  void appendData(std::uint32_t stream, bool end, std::string_view bytes);
  void appendWindowUpdate(std::uint32_t stream, std::size_t bytes);
  void addIndexed(std::string& block, std::size_t field);

  http2::HpackDecoder decoder_;
  http2::PeerSettings peer_;
  Request head_;                 // whose fields are being read
  std::vector<Request> open_;    // whose bodies are not complete
  std::deque<Request> waiting_;  // for the connection's window
  std::int64_t window_ = http2::kDefaultWindow;
  std::size_t unacknowledged_ = 0;  // bytes of bodies
  std::array<std::uint8_t, kIndexedFields> inserted_;
  std::uint8_t insertions_ = 0;
  bool indexing_ = true;
  bool tableEmptied_ = false;  // to be said at the next block's begin
  bool preface_ = false;
  std::string input_;  // a frame that is incomplete
  std::string block_;
  std::string output_;
  std::string batch_;
};

}  // namespace tidegate::bench
