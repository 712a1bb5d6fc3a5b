// What a completion belongs to: the kind of operation and the number of a connection.
#pragma once

#include <cstdint>

namespace tidegate::bench {

enum class Operation : std::uint8_t {
  Command,
  OriginAccept,
  OriginReceive,
  OriginSend,
  ClientConnect,
  ClientSend,
  ClientReceive,
  WireConnect,
  WireSend,
  WireReceive,
};

inline std::uint64_t tagOf(Operation operation, std::uint32_t connection) {
  return (static_cast<std::uint64_t>(operation) << 32) | connection;
}
inline Operation operationOf(std::uint64_t tag) { return static_cast<Operation>(tag >> 32); }
inline std::uint32_t connectionOf(std::uint64_t tag) { return static_cast<std::uint32_t>(tag); }

}  // namespace tidegate::bench
