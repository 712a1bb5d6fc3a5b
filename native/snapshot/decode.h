// Decodes a snapshot that TypeScript encoded. Control thread only. Believes nothing: every length,
// range and index is checked.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "snapshot/snapshot.h"

namespace tidegate {

struct DecodeError {
  // Names the place, such as `routes[3].retries: expected 0..10 but received 900`.
  std::string message;
};

// The encoding is msgpack:
//   structs        maps; the keys are the names of the members, in any order; a missing key
//                  keeps the member's default, an unknown or a repeated one is an error
//   enumerations   their names in camelCase, such as `leastConnections`
//   kUnlimited     nil
//   IpPrefix       text, such as "10.0.0.0/8"
//   TextTemplate   an array; a part is a text (a literal) or a map of one entry, from a variable's
//                  name to its text: `{ "param": "id" }`, `{ "host": "" }`
//   FieldEdit      `{ name, value }`
// The ranges are in limits.h, what texts may hold in text_rules.h. Names of routes, names of
// upstreams, addresses of an upstream's endpoints, and what listeners bind (but for port 0) are
// distinct; a listener of the configuration with several addresses stands here several times under
// one name.
Result<std::shared_ptr<const Snapshot>, DecodeError> decodeSnapshot(
    std::span<const std::uint8_t> bytes);

}  // namespace tidegate
