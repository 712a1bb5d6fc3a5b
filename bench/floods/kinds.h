// The floods of an HTTP/2 client, as the bytes that they send: what costs the one who sends it
// little and is no request that anybody wants answered.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::bench {

enum class Kind : std::uint8_t {
  RapidReset,      // requests that are taken back at once (CVE-2023-44487)
  ProvokedReset,   // requests that the peer is made to reset (CVE-2025-8671)
  Continuation,    // field blocks without end (CVE-2024-27316)
  Settings,        // each asks for an ACK
  Ping,            // each asks for an answer
  WindowUpdate,    // of one byte
  Priority,        // of streams that do not exist
  EmptyData,       // of a request that does not end
  HpackBomb,       // fields that unpack to thousands of times their size
  ZeroWindow,      // responses that must not be sent
  HalfOpenStream,  // requests whose bodies do not come
};

// Nothing for a name that is none.
bool readKind(std::string_view name, Kind& kind);

// How many streams a flood keeps open on a connection, which it does not add to then; 0 for one
// that sends as long as it may.
std::uint32_t heldStreams(Kind kind);
// Streams that such a flood opens in a second, over all of its connections.
inline constexpr std::uint64_t kHeldPerSecond = 1000;

// What one connection sends.
class Script {
 public:
  Script(Kind kind, std::string_view authority);

  // In front of everything, on a new connection.
  std::string open();
  // What comes next: some frames, at most 16 KiB. Of a flood that holds streams, one more of them.
  std::string next();

 private:
  void request(std::string& out, std::uint8_t flags, std::string_view block);

  Kind kind_;
  std::string get_;     // field blocks
  std::string large_;   // the response is
  std::string upload_;  // whose body is to come
  std::string bomb_;
  std::uint32_t stream_ = 1;  // of the next request
};

}  // namespace tidegate::bench
