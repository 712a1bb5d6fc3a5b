#include "host/json.h"

#include <utility>

namespace tidegate {

void JsonWriter::beginObject() {
  separate();
  out_ += '{';
}

void JsonWriter::endObject() { out_ += '}'; }

void JsonWriter::beginArray(std::string_view name) {
  key(name);
  out_ += '[';
}

void JsonWriter::endArray() { out_ += ']'; }

void JsonWriter::text(std::string_view name, std::string_view value) {
  key(name);
  appendJsonText(out_, value);
}

void JsonWriter::number(std::string_view name, std::uint64_t value) {
  key(name);
  out_ += std::to_string(value);
}

void JsonWriter::boolean(std::string_view name, bool value) {
  key(name);
  out_ += value ? "true" : "false";
}

void JsonWriter::element(std::uint64_t value) {
  separate();
  out_ += std::to_string(value);
}

std::string JsonWriter::take() { return std::exchange(out_, {}); }

void JsonWriter::separate() {
  if (out_.empty()) return;
  const char last = out_.back();
  if (last != '{' && last != '[' && last != ':') out_ += ',';
}

void JsonWriter::key(std::string_view name) {
  separate();
  appendJsonText(out_, name);
  out_ += ':';
}

void appendJsonText(std::string& out, std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace tidegate
