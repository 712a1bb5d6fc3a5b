// The Huffman code of HPACK (RFC 7541 5.2, Appendix B).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tidegate::http2 {

// A symbol takes five bits at least, so that decoding never makes more than 8/5 of the bytes.
constexpr std::size_t huffmanRoom(std::size_t encoded) { return encoded * 8 / 5; }

// Writes what `encoded` stands for, into at least huffmanRoom() bytes, and returns how many there
// are. Nothing when it is no whole code: EOS in it, or padding that is not the beginning of EOS or
// longer than seven bits.
std::optional<std::size_t> huffmanDecode(std::span<const std::uint8_t> encoded, char* out);

std::size_t huffmanSize(std::string_view text);
// Writes huffmanSize() bytes.
void huffmanEncode(std::string_view text, std::uint8_t* out);
// The same where it is shorter than the text; returns its size, or 0 where it is not. Writes up to
// three bytes more than the text has, whatever it returns.
std::size_t huffmanEncodeShorter(std::string_view text, std::uint8_t* out);

}  // namespace tidegate::http2
