// Descriptors: what a policy worker is told of a request. A msgpack array
//
//   [index, generation, chain, value 0, value 1, …]
//
// with the values of the chain's inputs in their order; nil for one that the request does not have.
// TypeScript reads it in src/workers/wire.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/message.h"
#include "policy/input.h"
#include "routing/router.h"

namespace tidegate {

struct DescriptorHead {
  std::uint32_t index;
  std::uint32_t generation;
  std::uint32_t chain;
};

// Where the values come from; borrowed for the call.
struct InputSource {
  const HeadFields* fields = nullptr;
  const RouteResult* match = nullptr;
  std::string_view path;
  std::string_view query;
  std::string_view method;
  std::string_view clientAddress;
  std::string_view host;
  std::string_view scheme;
  std::string_view routeName;
};

// Returns the size; 0 when it does not fit into `out`. Texts are valid UTF-8: those of header
// fields are taken as Latin-1, as Node.js does, the others where they are not UTF-8 already.
std::size_t writeDescriptor(const DescriptorHead& head, std::span<const PolicyInput> inputs,
                            const InputSource& source, std::span<std::byte> out);

}  // namespace tidegate
