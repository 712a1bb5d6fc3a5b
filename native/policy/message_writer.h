// Writes the msgpack that a policy worker is told.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/msgpack.h"

namespace tidegate {

inline bool isAscii(std::string_view text) {
  std::uint64_t seen = 0;
  for (; text.size() >= sizeof seen; text.remove_prefix(sizeof seen)) {
    std::uint64_t bytes;
    std::memcpy(&bytes, text.data(), sizeof bytes);
    seen |= bytes;
  }
  for (const char c : text) seen |= static_cast<unsigned char>(c);
  return (seen & 0x8080'8080'8080'8080) == 0;
}

// Bytes of a Latin-1 text in UTF-8: those above 0x7f become two.
inline std::size_t latin1Size(std::string_view text) {
  return text.size() + static_cast<std::size_t>(std::ranges::count_if(
                           text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }));
}

// Writes msgpack as long as there is room; then nothing more, and size() is 0.
class MessageWriter {
 public:
  explicit MessageWriter(std::span<std::byte> out) : out_(out) {}

  std::size_t size() const { return full_ ? 0 : used_; }

  void nil() { byte(0xc0); }

  void number(std::uint32_t value) {
    if (value < 0x80) return byte(value);
    byte(0xce);
    bigEndian(value, 4);
  }

  void array(std::size_t count) {
    if (count < 16) return byte(0x90 | count);
    byte(0xdc);
    bigEndian(count, 2);
  }

  void textHeader(std::size_t size) {
    if (size < 32) return byte(0xa0 | size);
    byte(0xdb);
    bigEndian(size, 4);
  }

  void bytes(std::string_view value) {
    byte(0xc6);
    bigEndian(value.size(), 4);
    raw(value);
  }

  void raw(std::string_view bytes) {
    if (full_ || bytes.size() > out_.size() - used_) {
      full_ = true;
      return;
    }
    if (!bytes.empty()) std::memcpy(out_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }

  void latin1(std::string_view text) {
    if (isAscii(text)) return raw(text);
    for (const char c : text) {
      const auto code = static_cast<unsigned char>(c);
      if (code < 0x80) {
        byte(code);
      } else {
        byte(0xc0 | code >> 6);
        byte(0x80 | (code & 0x3f));
      }
    }
  }

  void latin1Text(std::string_view text) {
    if (isAscii(text)) return utf8Text(text);
    textHeader(latin1Size(text));
    latin1(text);
  }

  // What is known to be UTF-8.
  void utf8Text(std::string_view text) {
    textHeader(text.size());
    raw(text);
  }

  void anyText(std::string_view text) {
    if (!isAscii(text) && !isUtf8(text)) return latin1Text(text);
    utf8Text(text);
  }

 private:
  void byte(std::size_t value) {
    if (full_ || used_ == out_.size()) {
      full_ = true;
      return;
    }
    out_[used_++] = static_cast<std::byte>(value);
  }

  void bigEndian(std::size_t value, unsigned width) {
    for (unsigned shift = width * 8; shift > 0; shift -= 8) byte(value >> (shift - 8) & 0xff);
  }

  std::span<std::byte> out_;
  std::size_t used_ = 0;
  bool full_ = false;
};

}  // namespace tidegate
