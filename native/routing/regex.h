// Regular expressions that match in time linear in the text, whatever the pattern: a table of
// states where the pattern has few enough, else a simulation of all threads at once.
//
// Text is bytes. Syntax: literals, `.`, classes, `\d \w \s \D \W \S`, `\b \B`, `^ $` (of the text),
// groups, named groups
// `(?<name>...)`, `|`, `* + ? {m,n}` greedy and lazy, and `(?i)` at the start (ASCII letters).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routing/regex_program.h"

namespace tidegate {

class Regex {
 public:
  static constexpr std::size_t kMaxTableBytes = 64 * 1024;
  // What is simulated takes some 3 ns for each byte and instruction that is alive: 6 ms for 8 KiB
  // at the very worst.
  static constexpr std::size_t kMaxSimulatedInstructions = 256;

  // The error is a sentence for people, without the pattern. `tableBytes`: what the table of states
  // may take, at most kMaxTableBytes; a pattern that needs more is simulated. One that does not fit
  // kMaxTableBytes is refused above kMaxSimulatedInstructions.
  static Result<Regex, std::string> compile(std::string_view pattern,
                                            std::size_t tableBytes = kMaxTableBytes);

  // True when the pattern matches anywhere in `text`. Any thread; allocates at most once a thread.
  bool search(std::string_view text) const;

  // As search(), and sets groups[i] to what the i-th named group took in the leftmost match (empty
  // where it took no part). `groups.size() == names().size()`.
  bool capture(std::string_view text, std::span<std::string_view> groups) const;

  const std::vector<std::string>& names() const { return program_.names; }

  std::size_t tableBytes() const { return table_.size() * sizeof table_[0]; }

 private:
  explicit Regex(RegexProgram program);
  bool buildTable(std::size_t maxBytes);

  RegexProgram program_;

  // Rows of `stride` entries, one for each class of bytes that the program cannot tell apart, and
  // one for the end of the text. An entry is where the next state's row begins. Empty when the
  // pattern is simulated.
  std::vector<std::uint16_t> table_;
  std::array<std::uint8_t, 256> classes_{};
  std::uint16_t endClass_ = 0;
  std::uint16_t matched_ = 0;  // the row that stands for success; row 0 stands for failure
  std::uint16_t first_ = 0;
};

}  // namespace tidegate
