// What the HTTP/2 connections of one I/O thread share beside what all codecs do: scratch memory for
// field blocks.
#pragma once

#include <array>

#include "http/codec_context.h"
#include "http2/head_rules.h"
#include "http2/huffman.h"

namespace tidegate::http2 {

// A field block may take twice what its head may, and this much more: what is too large for the
// limits of heads is answered, what is larger than that ends the connection.
inline constexpr std::size_t kBlockSlack = 16 * 1024;
inline constexpr std::size_t kMaxBlockBytes = 2 * kMaxHeadBytes + kBlockSlack;

struct Context {
  explicit Context(CodecContext& codec) : codec(codec) {}

  CodecContext& codec;
  // Used within one event: the bytes of the head that was read last, and of one field of it.
  std::array<char, kHeadRoom> headRoom;
  std::array<char, huffmanRoom(kMaxBlockBytes)> textRoom;
};

}  // namespace tidegate::http2
