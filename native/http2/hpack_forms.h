// How a field or a change of the table begins in a block (RFC 7541 6): the first bits of its first
// byte, and how many bits of it an index, a size or a length has.
#pragma once

#include <cstdint>

namespace tidegate::http2 {

struct HpackForm {
  std::uint8_t bits;
  unsigned prefix;
};

inline constexpr HpackForm kIndexed{0x80, 7};
inline constexpr HpackForm kWithIndexing{0x40, 6};
inline constexpr HpackForm kTableSize{0x20, 5};
inline constexpr HpackForm kNeverIndexed{0x10, 4};
inline constexpr HpackForm kWithoutIndexing{0x00, 4};

inline constexpr HpackForm kPlainText{0x00, 7};
inline constexpr HpackForm kHuffmanText{0x80, 7};

}  // namespace tidegate::http2
