// The random key.
#include "routing/keyed_hash.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace tidegate {

HashKey HashKey::random() {
  HashKey key;
  std::size_t filled = 0;
  while (filled < sizeof key) {
    const ssize_t got = getrandom(reinterpret_cast<char*>(&key) + filled, sizeof key - filled, 0);
    // A signal may interrupt it. Nothing else fails on a kernel that has the call, and there is no
    // safe way on without it.
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  return key;
}

}  // namespace tidegate
