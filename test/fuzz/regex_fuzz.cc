// Fuzzes the regular expressions. The first line is the pattern, the rest is the text: a pattern is
// refused with a reason or runs, and the state table, the simulation and the captures agree.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "routing/regex.h"

namespace tidegate {
namespace {

void promise(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}
#define PROMISE(...) promise((__VA_ARGS__), #__VA_ARGS__)

void check(std::string_view pattern, std::string_view text) {
  const auto table = Regex::compile(pattern);
  const auto simulated = Regex::compile(pattern, 0);
  if (!table) {
    PROMISE(!table.error().empty());
    // What is right, but too much to simulate for every request.
    PROMISE(!simulated.ok() || table.error().find("too many states") != std::string::npos);
    return;
  }
  PROMISE(simulated.ok());
  PROMISE(table->tableBytes() <= Regex::kMaxTableBytes && simulated->tableBytes() == 0);
  const bool matches = table->search(text);
  PROMISE(simulated->search(text) == matches);

  std::vector<std::string_view> groups(table->names().size());
  PROMISE(table->capture(text, groups) == matches);
  for (const std::string_view group : groups) {
    PROMISE(
        !matches || group.empty() ||
        (group.data() >= text.data() && group.data() + group.size() <= text.data() + text.size()));
  }
}

}  // namespace
}  // namespace tidegate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view text =
      line == std::string_view::npos ? std::string_view() : input.substr(line + 1);
  tidegate::check(input.substr(0, line), text);
  return 0;
}
