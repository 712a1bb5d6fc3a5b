// Typed reads, and the messages of those that fail.
#include "snapshot/value_reader.h"

namespace tidegate {
namespace {

// The value at the cursor, for people.
std::string describeNext(MsgpackReader reader) {
  const MsgpackType type = reader.peek();
  std::uint64_t whole = 0;
  std::int64_t signedWhole = 0;
  bool flag = false;
  std::string_view text;
  std::uint32_t count = 0;
  if (reader.unsignedInteger(whole)) return std::to_string(whole);
  if (reader.signedInteger(signedWhole)) return std::to_string(signedWhole);
  if (reader.boolean(flag)) return flag ? "true" : "false";
  if (reader.text(text)) return quotedForMessage(text);
  if (type == MsgpackType::Number) return "a number that is not whole or is cut off";
  if (type == MsgpackType::Text) return "text that is not UTF-8 or is cut off";
  std::string name(msgpackTypeName(type));
  if (type == MsgpackType::Array && !reader.array(count)) name += " that is cut off";
  if (type == MsgpackType::Map && !reader.map(count)) name += " that is cut off";
  return name;
}

}  // namespace

std::string quotedForMessage(std::string_view text) {
  constexpr std::size_t kShown = 60;
  constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char character : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7f) {
      result += "\\x";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    } else {
      if (character == '"' || character == '\\') result += '\\';
      result += character;
    }
  }
  // Not in the middle of a character.
  if (text.size() > kShown) {
    while ((static_cast<unsigned char>(result.back()) & 0xc0) == 0x80) result.pop_back();
    if ((static_cast<unsigned char>(result.back()) & 0x80) != 0) result.pop_back();
    result += "...";
  }
  return result + "\"";
}

bool ValueReader::numberIn(std::int64_t& value, Range range, std::string_view alternative) {
  const MsgpackReader start = reader_;
  if (reader_.signedInteger(value) && value >= range.min && value <= range.max) return true;
  reader_ = start;
  if (range.max == INT64_MAX) {
    return expected("a whole number of at least " + std::to_string(range.min) +
                    std::string(alternative));
  }
  return expected(std::to_string(range.min) + ".." + std::to_string(range.max) +
                  std::string(alternative));
}

bool ValueReader::numberOrUnlimited(std::uint64_t& target, Range range) {
  if (reader_.nil()) {
    target = kUnlimited;
    return true;
  }
  std::int64_t value = 0;
  if (!numberIn(value, range, " or nil")) return false;
  target = static_cast<std::uint64_t>(value);
  return true;
}

bool ValueReader::boolean(bool& target) { return reader_.boolean(target) || expected("a boolean"); }

bool ValueReader::text(std::string& target, const TextRule& rule, Shown shown) {
  const MsgpackReader start = reader_;
  std::string_view value;
  if (reader_.text(value) && value.size() >= rule.minBytes && value.size() <= rule.maxBytes &&
      rule.valid(value)) {
    target.assign(value);
    return true;
  }
  reader_ = start;
  if (value.size() > rule.maxBytes) {
    return wrong("expected at most " + std::to_string(rule.maxBytes) + " bytes but received " +
                 std::to_string(value.size()));
  }
  if (shown == Shown::Never) return wrong("expected " + std::string(rule.expected));
  return expected(rule.expected);
}

bool ValueReader::textOrNone(std::string& target, const TextRule& rule) {
  const MsgpackReader start = reader_;
  std::string_view value;
  if (reader_.text(value) && value.empty()) {
    target.clear();
    return true;
  }
  reader_ = start;
  return text(target, rule);
}

bool ValueReader::binary(std::string_view& target, std::string_view what) {
  return reader_.binary(target) || expected(what);
}

bool ValueReader::choice(std::size_t& index, std::span<const std::string_view> names) {
  const MsgpackReader start = reader_;
  std::string_view value;
  if (reader_.text(value)) {
    for (index = 0; index < names.size(); ++index) {
      if (names[index] == value) return true;
    }
  }
  reader_ = start;
  std::string list;
  for (const std::string_view name : names) {
    if (!list.empty()) list += " | ";
    list += name;
  }
  return expected(list);
}

std::string ValueReader::place() const {
  std::string text;
  for (const Step& step : path_) {
    if (step.key.empty()) {
      text += "[" + std::to_string(step.index) + "]";
    } else {
      if (!text.empty()) text += ".";
      text += step.key;
    }
  }
  return text;
}

bool ValueReader::expected(std::string_view what) {
  return wrong("expected " + std::string(what) + " but received " + describeNext(reader_));
}

bool ValueReader::wrong(std::string_view message) {
  const std::string where = place();
  error_ = (where.empty() ? "snapshot" : where) + ": " + std::string(message);
  return false;
}

bool ValueReader::wrongAt(std::string_view key, std::string_view message) {
  path_.push_back({.key = key});
  return wrong(message);
}

}  // namespace tidegate
