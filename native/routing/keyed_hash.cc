// The random key.
#include "routing/keyed_hash.h"

#include <span>

#include "base/random.h"

namespace tidegate {

HashKey HashKey::random() {
  HashKey key;
  fillRandom(std::as_writable_bytes(std::span(&key, 1)));
  return key;
}

}  // namespace tidegate
