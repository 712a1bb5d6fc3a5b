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
  std::string
      message;  // names the place, such as `routes[3].retries: expected 0..10 but received 900`
};

// The encoding is msgpack: maps with string keys that are exactly the names of the struct members,
// in any order; a missing key keeps the member's default, an unknown or repeated key is an error.
// Enumerations are their names in camelCase
// (`leastConnections`); kUnlimited is nil; prefixes are text; RouteMatch is nested under `match`; a
// TextTemplate is an array whose elements are either a string (a literal) or a one-entry map from
// variable name to text (`{ "param": "id" }`, `{ "host": "" }`). A FieldEdit is `{ name, value }`.
Result<std::shared_ptr<const Snapshot>, DecodeError> decodeSnapshot(
    std::span<const std::uint8_t> bytes);

}  // namespace tidegate
