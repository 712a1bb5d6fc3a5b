#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace tidegate {

void fillRandom(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    // A signal may interrupt it; nothing else fails on a kernel that has the call.
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace tidegate
