// The parameters of a query, read where they stand.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

#include "base/ascii.h"
#include "http/message.h"

namespace tidegate {

// A part of a query as it was sent; `+` and escapes stand for other bytes (URL Standard,
// form-urlencoded parsing). An escape that is none stands for itself.
class EncodedText {
 public:
  explicit EncodedText(std::string_view raw) : raw_(raw) {}

  bool startsWith(std::string_view text) const {
    std::size_t at = 0;
    return consume(text, at);
  }

  bool equals(std::string_view text) const {
    std::size_t at = 0;
    return consume(text, at) && at == raw_.size();
  }

  // Decoded; `raw` itself where nothing is encoded, else per-thread memory that the next call
  // overwrites. Texts longer than any head are cut there.
  std::string_view decoded() const {
    if (raw_.find_first_of("%+") == std::string_view::npos) return raw_;
    thread_local std::unique_ptr<std::array<char, kMaxHeadBytes>> memory =
        std::make_unique<std::array<char, kMaxHeadBytes>>();
    std::size_t size = 0;
    for (std::size_t at = 0; at < raw_.size() && size < memory->size();)
      (*memory)[size++] = next(at);
    return {memory->data(), size};
  }

 private:
  bool consume(std::string_view text, std::size_t& at) const {
    for (const char expected : text) {
      if (at == raw_.size() || next(at) != expected) return false;
    }
    return true;
  }

  char next(std::size_t& at) const {
    const char c = raw_[at++];
    if (c == '+') return ' ';
    if (c != '%' || at + 2 > raw_.size()) return c;
    const int high = hexValue(raw_[at]);
    const int low = hexValue(raw_[at + 1]);
    if (high < 0 || low < 0) return c;
    at += 2;
    return static_cast<char>(high << 4 | low);
  }

  std::string_view raw_;
};

// Calls `visit(name, value)` for each parameter, both as sent, until it returns true; returns
// whether it did.
template <typename Visit>
bool anyParameter(std::string_view query, Visit visit) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    if (visit(EncodedText(pair.substr(0, equals)), EncodedText(value))) return true;
  }
  return false;
}

}  // namespace tidegate
