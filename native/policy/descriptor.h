// Descriptors: what a policy worker is told of a request, or of the response to it. A msgpack array
//
//   [index, generation, chain, value 0, value 1, …]
//
// with the values of the chain's inputs in their order: texts, of Headers an array of texts (which
// may be empty), of bodies bytes, of a status a number; nil for one that the message does not have,
// and for a body that is longer than what is collected.
// TypeScript reads it in src/workers/wire.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "http/message.h"
#include "http/tls_facts.h"
#include "policy/input.h"
#include "routing/router.h"

namespace tidegate {

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
  std::optional<std::string_view> body;
  const TlsFacts* tls = nullptr;
  // Of a review.
  const HeadFields* responseFields = nullptr;
  std::uint16_t status = 0;
  std::string_view consumer;                     // empty: nobody is known
  std::optional<std::string_view> responseBody;  // where it was collected
};

// Whether the input is the body of responses that have such a head: by its media type.
bool readsBodyOf(const PolicyInput& input, const HeadFields& response);

// The elements of a descriptor from the chain on, without the call that they are for: requests that
// are equal to the chain have equal ones, so that they are also the key of a kept verdict. Returns
// the size; 0 when they do not fit into `out`. Texts are valid UTF-8: those of header fields are
// taken as Latin-1, as Node.js does, the others where they are not UTF-8 already.
std::size_t writeInputs(std::uint32_t chain, std::span<const PolicyInput> inputs,
                        const InputSource& source, std::span<std::byte> out);

// The whole descriptor; `inputs` are of writeInputs() for so many inputs. Returns the size; 0 when
// it does not fit.
std::size_t writeDescriptor(std::uint32_t index, std::uint32_t generation, std::size_t inputCount,
                            std::span<const std::byte> inputs, std::span<std::byte> out);

inline constexpr std::size_t kMaxCancelBytes = 16;

// [index, generation]: nobody waits for that call any more. Returns the size.
std::size_t writeCancel(std::uint32_t index, std::uint32_t generation, std::span<std::byte> out);

}  // namespace tidegate
