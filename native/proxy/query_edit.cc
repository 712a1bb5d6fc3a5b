#include "proxy/query_edit.h"

#include <cstring>

#include "base/ascii.h"
#include "http/query.h"

namespace tidegate {

namespace {

bool isUnreserved(char c) {
  return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

char* writeEncoded(std::string_view text, char* at) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    if (isUnreserved(c)) {
      *at++ = c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    *at++ = '%';
    *at++ = kHex[byte >> 4];
    *at++ = kHex[byte & 15];
  }
  return at;
}

// Writes what is left of `query` without that parameter; returns the end.
char* writeWithout(std::string_view query, std::string_view name, char* const begin) {
  char* at = begin;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (EncodedText(pair.substr(0, pair.find('='))).equals(name)) continue;
    if (at != begin) *at++ = '&';
    std::memcpy(at, pair.data(), pair.size());
    at += pair.size();
  }
  return at;
}

}  // namespace

std::string_view editQuery(std::string_view query, const VerdictEdits& edits, TextArena& arena) {
  edits.each([&](const VerdictEdit& edit) {
    constexpr std::size_t kEncodedByte = 3;
    char* const begin =
        arena.allocate(query.size() + kEncodedByte * (edit.name.size() + edit.value.size()) + 2);
    char* at = begin;
    if (edit.op != EditOp::Add) {
      at = writeWithout(query, edit.name, begin);
    } else if (!query.empty()) {
      std::memcpy(begin, query.data(), query.size());
      at += query.size();
    }
    if (edit.op != EditOp::Remove) {
      if (at != begin) *at++ = '&';
      at = writeEncoded(edit.name, at);
      *at++ = '=';
      at = writeEncoded(edit.value, at);
    }
    query = {begin, static_cast<std::size_t>(at - begin)};
  });
  return query;
}

}  // namespace tidegate
