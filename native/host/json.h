// Just enough JSON to write the control protocol's replies: one flat pass into a string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate {

// Appends to one string and places the commas. Begin and end calls must pair up; keys are written
// as they are.
class JsonWriter {
 public:
  void beginObject();
  void endObject();
  void beginArray(std::string_view name);
  void endArray();

  void text(std::string_view name, std::string_view value);
  void number(std::string_view name, std::uint64_t value);
  void boolean(std::string_view name, bool value);
  // An element of an array.
  void element(std::uint64_t value);

  // The text so far; the writer is empty then.
  std::string take();

 private:
  void separate();
  void key(std::string_view name);

  std::string out_;
};

// `value` between quotes, escaped as RFC 8259 asks.
void appendJsonText(std::string& out, std::string_view value);

}  // namespace tidegate
