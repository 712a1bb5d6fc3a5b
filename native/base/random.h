// Random bytes of the system's source.
#pragma once

#include <cstddef>
#include <span>

namespace tidegate {

// Fills `out` with bytes that nobody can foretell (getrandom(2)). Any thread. Ends the process
// where the kernel has none: there is no safe way on without them.
void fillRandom(std::span<std::byte> out);

}  // namespace tidegate
