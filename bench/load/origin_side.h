// The origin's half of the loop: the same answers as bench_origin, over the same ring as the load,
// also to those who begin a connection as HTTP/2 does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../origin/responses.h"
#include "http2_answers.h"
#include "ring.h"

namespace tidegate::bench {

class OriginSide {
 public:
  OriginSide(Ring& ring, int listener);

  void onAccept(std::int32_t result, std::uint32_t flags);
  void onReceive(std::uint32_t fd, std::int32_t result, std::uint32_t flags);
  void onSend(std::uint32_t fd, std::int32_t result);

 private:
  struct Connection {
    bool open = false;
    bool receiving = false;  // a receive is with the kernel
    bool sending = false;    // and so is `output`'s first
    bool closing = false;    // ends once `output` is sent
    bool uploading = false;
    std::size_t uploadLeft = 0;
    std::size_t uploadSize = 0;
    std::string input;                     // a head that is incomplete; nearly always empty
    std::string answer;                    // backs the one response that is not prebuilt
    std::vector<std::string_view> output;  // responses in order
    std::unique_ptr<Http2Answers> http2;   // once it has said so
  };

  void consume(std::uint32_t fd, std::string_view bytes);
  void consumeHttp2(Connection& connection, std::string_view bytes);
  void endUpload(Connection& connection);
  void pump(std::uint32_t fd);

  Ring& ring_;
  int listener_;
  Responses responses_;
  std::vector<Connection> connections_;  // by descriptor
};

}  // namespace tidegate::bench
