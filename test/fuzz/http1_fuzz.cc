// Fuzzes the HTTP/1 parser: every input is taken for a request, for responses, and for a chunked
// body.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../native/http1_invariants.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The mutation test cuts at every point; here more inputs are worth more than more cuts.
  constexpr std::size_t kCuts = 16;
  const std::string broken =
      tidegate::test::brokenInvariant({reinterpret_cast<const char*>(data), size}, kCuts);
  if (!broken.empty()) {
    std::fprintf(stderr, "broken: %s\n", broken.c_str());
    std::abort();
  }
  return 0;
}
