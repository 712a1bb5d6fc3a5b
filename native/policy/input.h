// What a chain of policies reads of a request: plain data, as the snapshot carries it.
#pragma once

#include <cstdint>
#include <string>

#include "http/field_id.h"

namespace tidegate {

enum class InputKind : std::uint8_t {
  Body,     // the whole of it
  Header,   // all lines of that name, joined by ", "
  Headers,  // each line
  Cookie,
  Query,  // the first parameter of that name, decoded
  Param,  // of the route's path
  Path,   // normalised
  Method,
  ClientAddress,
  Host,
  Scheme,
  RouteName,
};

struct PolicyInput {
  InputKind kind = InputKind::Path;
  std::string name;             // lower-case for headers; empty for the kinds that have none
  FieldId id = FieldId::Other;  // of Header and Headers
};

}  // namespace tidegate
