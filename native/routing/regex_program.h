// Regular expression text to a program for the simulations of regex.h: the syntax, and what is
// refused.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidegate {

inline constexpr std::size_t kMaxRegexPattern = 1024;       // bytes
inline constexpr std::size_t kMaxRegexInstructions = 1024;  // after counted repeats are unrolled
inline constexpr std::size_t kMaxRegexGroups = 16;          // named groups

using ByteSet = std::bitset<256>;

enum class RegexOp : std::uint8_t {
  Set,     // consumes a byte of sets[argument], goes on at next
  Split,   // tries next, then other
  Save,    // stores the position in slot `argument`, goes on at next
  Assert,  // goes on at next where RegexAssertion `argument` holds
  Match,
};

enum class RegexAssertion : std::uint8_t { Start, End, WordBoundary, NotWordBoundary };

struct RegexInstruction {
  RegexOp op = RegexOp::Match;
  std::uint16_t argument = 0;
  std::uint16_t next = 0;
  std::uint16_t other = 0;
};

struct RegexProgram {
  std::vector<RegexInstruction> code;  // never empty
  std::vector<ByteSet> sets;
  std::vector<std::string>
      names;  // named groups in the order of their parentheses; slots 2i and 2i + 1
  std::uint16_t start = 0;
  bool anchored = false;   // matches begin at the start of the text only
  bool usesWords = false;  // holds a word boundary
};

// Bytes that `\w` and word boundaries know.
bool isWordByte(unsigned char byte);

// Parses and compiles. The error is a sentence for people, without the pattern.
Result<RegexProgram, std::string> compileRegex(std::string_view pattern);

}  // namespace tidegate
