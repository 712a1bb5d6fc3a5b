// Reads the answers on one connection, of HTTP/1 or HTTP/2, one request at a time. The peers under
// test are trusted to send what is valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::bench {

enum class Outcome : std::uint8_t { Incomplete, Good, BadStatus, Broken };

class Answers {
 public:
  // For a new connection.
  void begin(bool http2);
  // What has to be sent in front of the first request; empty for HTTP/1.
  static std::string greeting(bool http2);
  // Takes bytes as they come. `reply` gets what has to be sent for them (ACKs of HTTP/2).
  Outcome feed(std::string_view bytes, std::string& reply);

 private:
  Outcome feedHttp1(std::string_view bytes);
  Outcome feedHttp2(std::string_view bytes, std::string& reply);
  Outcome outcome() const { return good_ ? Outcome::Good : Outcome::BadStatus; }

  bool http2_ = false;
  bool good_ = false;
  bool inBody_ = false;       // of HTTP/1
  std::size_t bodyLeft_ = 0;  // of HTTP/1
  std::string pending_;       // an incomplete head or frame; nearly always empty
};

}  // namespace tidegate::bench
