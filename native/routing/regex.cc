// The two ways to run a program: the table of states, built ahead, and the simulation (Pike's),
// which also captures.
#include "routing/regex.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace tidegate {
namespace {

// What an assertion may look at.
struct Position {
  bool atStart = false;
  bool atEnd = false;
  bool wordBefore = false;
  bool wordAfter = false;
};

bool holds(RegexAssertion assertion, const Position& position) {
  switch (assertion) {
    case RegexAssertion::Start:
      return position.atStart;
    case RegexAssertion::End:
      return position.atEnd;
    case RegexAssertion::WordBoundary:
      return position.wordBefore != position.wordAfter;
    case RegexAssertion::NotWordBoundary:
      return position.wordBefore == position.wordAfter;
  }
  return false;
}

bool holds(const RegexInstruction& instruction, const Position& position) {
  return holds(static_cast<RegexAssertion>(instruction.argument), position);
}

Position positionAt(std::string_view text, std::size_t at) {
  Position position;
  position.atStart = at == 0;
  position.atEnd = at == text.size();
  position.wordBefore = at > 0 && isWordByte(static_cast<unsigned char>(text[at - 1]));
  position.wordAfter = at < text.size() && isWordByte(static_cast<unsigned char>(text[at]));
  return position;
}

// ---- The table of states.

struct ByteClasses {
  std::array<std::uint8_t, 256> of{};
  std::vector<unsigned char> examples;  // one byte of each class
};

// Bytes are in one class when every set of the program holds both or neither. Nothing for more than
// 255 classes.
std::optional<ByteClasses> byteClasses(const RegexProgram& program) {
  ByteClasses classes;
  std::map<std::vector<bool>, std::uint8_t> known;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::vector<bool> signature;
    for (const ByteSet& set : program.sets) signature.push_back(set[byte]);
    if (program.usesWords) signature.push_back(isWordByte(static_cast<unsigned char>(byte)));
    const auto [found, isNew] =
        known.try_emplace(std::move(signature), static_cast<std::uint8_t>(known.size()));
    if (isNew) {
      if (classes.examples.size() == 255) return std::nullopt;
      classes.examples.push_back(static_cast<unsigned char>(byte));
    }
    classes.of[byte] = found->second;
  }
  return classes;
}

// What building a table may cost, in instructions visited: some 10 ms.
constexpr std::size_t kMaxTableVisits = 1'000'000;

// Subset construction. A state is the set of instructions that wait before the next byte; its
// assertions are decided when that byte (or the end) is known.
class TableBuilder {
 public:
  TableBuilder(const RegexProgram& program, const ByteClasses& classes, std::size_t maxEntries)
      : program_(program),
        classes_(classes),
        stride_(classes.examples.size() + 1),
        maxEntries_(maxEntries) {}

  // Where matching begins; nothing when the table would be too large or too dear.
  std::optional<std::uint16_t> run() {
    if (2 * stride_ > maxEntries_) return std::nullopt;
    table_.resize(2 * stride_);  // the rows of failure and of success
    State start;
    start.waiting = {program_.start};
    start.atStart = true;
    const std::optional<std::uint16_t> first = rowOf(std::move(start));
    while (first && !pending_.empty()) {
      const Pending next = pending_.back();
      pending_.pop_back();
      if (!fillRow(*next.state, next.row) || visits_ > kMaxTableVisits) return std::nullopt;
    }
    return first;
  }

  std::uint16_t matchedRow() const { return static_cast<std::uint16_t>(stride_); }
  std::vector<std::uint16_t>& table() { return table_; }

 private:
  struct State {
    std::vector<std::uint16_t> waiting;  // sorted
    bool atStart = false;
    bool wordBefore = false;

    auto operator<=>(const State&) const = default;
  };

  struct Pending {
    const State* state;  // a key of rows_
    std::uint16_t row;
  };

  std::optional<std::uint16_t> rowOf(State state) {
    if (state.waiting.empty()) return std::uint16_t{0};
    const std::size_t row = table_.size();
    const auto found = rows_.find(state);
    if (found != rows_.end()) return found->second;
    if (row + stride_ > maxEntries_) return std::nullopt;
    table_.resize(row + stride_);
    const auto added = rows_.emplace(std::move(state), static_cast<std::uint16_t>(row)).first;
    pending_.push_back({&added->first, added->second});
    return added->second;
  }

  bool fillRow(const State& state, std::uint16_t row) {
    for (std::size_t c = 0; c < classes_.examples.size(); ++c) {
      const unsigned char byte = classes_.examples[c];
      const Position position{state.atStart, false, state.wordBefore, isWordByte(byte)};
      if (!follow(state, position)) {
        table_[row + c] = matchedRow();
        continue;
      }
      State next;
      for (const std::uint16_t at : consuming_) {
        const RegexInstruction& instruction = program_.code[at];
        if (program_.sets[instruction.argument][byte]) next.waiting.push_back(instruction.next);
      }
      if (!program_.anchored) next.waiting.push_back(program_.start);
      std::ranges::sort(next.waiting);
      next.waiting.erase(std::unique(next.waiting.begin(), next.waiting.end()), next.waiting.end());
      next.wordBefore = program_.usesWords && isWordByte(byte);
      const std::optional<std::uint16_t> target = rowOf(std::move(next));
      if (!target) return false;
      table_[row + c] = *target;
    }
    const bool goesOn = follow(state, {state.atStart, true, state.wordBefore, false});
    table_[row + stride_ - 1] = goesOn ? 0 : matchedRow();
    return true;
  }

  // Collects in consuming_ what is reachable without consuming; false when that is a match.
  bool follow(const State& state, const Position& position) {
    consuming_.clear();
    seen_.assign(program_.code.size(), false);
    stack_ = state.waiting;
    while (!stack_.empty()) {
      const std::uint16_t at = stack_.back();
      stack_.pop_back();
      if (seen_[at]) continue;
      seen_[at] = true;
      ++visits_;
      const RegexInstruction& instruction = program_.code[at];
      switch (instruction.op) {
        case RegexOp::Match:
          return false;
        case RegexOp::Set:
          consuming_.push_back(at);
          break;
        case RegexOp::Split:
          stack_.push_back(instruction.next);
          stack_.push_back(instruction.other);
          break;
        case RegexOp::Save:
          stack_.push_back(instruction.next);
          break;
        case RegexOp::Assert:
          if (holds(instruction, position)) stack_.push_back(instruction.next);
          break;
      }
    }
    return true;
  }

  const RegexProgram& program_;
  const ByteClasses& classes_;
  std::size_t stride_;
  std::size_t maxEntries_;
  std::size_t visits_ = 0;
  std::vector<std::uint16_t> table_;
  std::map<State, std::uint16_t> rows_;
  std::vector<Pending> pending_;
  std::vector<std::uint16_t> consuming_;
  std::vector<std::uint16_t> stack_;
  std::vector<bool> seen_;
};

// ---- The simulation.

constexpr std::size_t kMaxSlots = 2 * kMaxRegexGroups;
constexpr std::uint32_t kUnset = 0xffffffff;

using Slots = std::array<std::uint32_t, kMaxSlots>;

// The threads that wait before one byte, each an instruction (Set or Match) with its slots, in the
// order of priority.
struct ThreadList {
  std::size_t size = 0;
  std::array<std::uint16_t, kMaxRegexInstructions> instructions;
  std::array<Slots, kMaxRegexInstructions> slots;
};

// A step of following instructions that consume nothing: visit one, or put a slot back to what it
// was.
struct Step {
  static constexpr std::uint16_t kVisit = 0xffff;
  std::uint16_t slot = kVisit;
  std::uint16_t at = 0;
  std::uint32_t value = 0;
};

// About 280 KiB a thread, of which short programs touch little. Sized for the largest program, so
// that nothing is ever allocated again.
struct Scratch {
  ThreadList lists[2];
  // An instruction was visited at this position when its stamp is the current turn.
  std::array<std::uint32_t, kMaxRegexInstructions> stamps{};
  std::uint32_t turn = 0;
  // Each instruction is visited once a turn and leaves at most one step behind.
  std::array<Step, kMaxRegexInstructions> stack;

  void beginTurn() {
    if (++turn != 0) return;
    stamps.fill(0);
    turn = 1;
  }
};

Scratch& scratch() {
  thread_local std::unique_ptr<Scratch> memory = std::make_unique<Scratch>();
  return *memory;
}

// Runs all threads side by side, one byte after the other. Without Capture it finds only whether
// there is a match.
template <bool Capture>
class Simulation {
 public:
  Simulation(const RegexProgram& program, std::string_view text)
      : program_(program), text_(text), slotCount_(2 * program.names.size()), scratch_(scratch()) {}

  bool run() {
    now_ = &scratch_.lists[0];
    next_ = &scratch_.lists[1];
    for (std::size_t at = 0;; ++at) {
      // next_ holds the threads that have reached `at`. A later start comes after all that began
      // earlier.
      if (at == 0) beginPosition(0);
      if (at == 0 || (!program_.anchored && !matched_)) start();
      std::swap(now_, next_);
      if (now_->size == 0 && (program_.anchored || matched_)) return matched_;
      if (at < text_.size()) beginPosition(at + 1);
      if (!step(at)) return true;
      if (at == text_.size()) return matched_;
    }
  }

  const Slots& result() const { return result_; }

 private:
  // Threads that reach `at` are added to next_ from now on.
  void beginPosition(std::size_t at) {
    at_ = at;
    position_ = positionAt(text_, at);
    next_->size = 0;
    scratch_.beginTurn();
  }

  void start() {
    if constexpr (Capture) slots_.fill(kUnset);
    follow(program_.start);
  }

  // Moves the threads over the byte at `at`. False when the answer is known.
  bool step(std::size_t at) {
    const bool atEnd = at == text_.size();
    const unsigned char byte = atEnd ? 0 : static_cast<unsigned char>(text_[at]);
    for (std::size_t i = 0; i < now_->size; ++i) {
      const RegexInstruction& instruction = program_.code[now_->instructions[i]];
      if (instruction.op == RegexOp::Match) {
        matched_ = true;
        if constexpr (!Capture) return false;
        std::copy_n(now_->slots[i].begin(), slotCount_, result_.begin());
        return true;  // the threads after this one have lower priority
      }
      if (atEnd || !program_.sets[instruction.argument][byte]) continue;
      if constexpr (Capture) std::copy_n(now_->slots[i].begin(), slotCount_, slots_.begin());
      follow(instruction.next);
    }
    return true;
  }

  // Adds to next_ what is reachable from `at` without consuming, by priority. Uses and keeps
  // slots_.
  void follow(std::uint16_t at) {
    std::size_t depth = 0;
    while (true) {
      if (visit(at, depth)) continue;
      // A dead end: put back the slots that were set on the way, and take the other branch of the
      // last split.
      while (depth > 0 && scratch_.stack[depth - 1].slot != Step::kVisit) {
        --depth;
        slots_[scratch_.stack[depth].slot] = scratch_.stack[depth].value;
      }
      if (depth == 0) return;
      at = scratch_.stack[--depth].at;
    }
  }

  // Goes on to the next instruction in `at`; false when there is none.
  bool visit(std::uint16_t& at, std::size_t& depth) {
    if (scratch_.stamps[at] == scratch_.turn) return false;
    scratch_.stamps[at] = scratch_.turn;
    const RegexInstruction& instruction = program_.code[at];
    switch (instruction.op) {
      case RegexOp::Match:
      case RegexOp::Set:
        if constexpr (Capture) {
          std::copy_n(slots_.begin(), slotCount_, next_->slots[next_->size].begin());
        }
        next_->instructions[next_->size++] = at;
        return false;
      case RegexOp::Split:
        scratch_.stack[depth++] = {Step::kVisit, instruction.other, 0};
        break;
      case RegexOp::Save:
        if constexpr (Capture) {
          scratch_.stack[depth++] = {instruction.argument, 0, slots_[instruction.argument]};
          slots_[instruction.argument] = static_cast<std::uint32_t>(at_);
        }
        break;
      case RegexOp::Assert:
        if (!holds(instruction, position_)) return false;
        break;
    }
    at = instruction.next;
    return true;
  }

  const RegexProgram& program_;
  std::string_view text_;
  std::size_t slotCount_;
  Scratch& scratch_;
  ThreadList* now_ = nullptr;
  ThreadList* next_ = nullptr;
  std::size_t at_ = 0;  // where the threads of next_ stand
  Position position_;
  bool matched_ = false;
  Slots slots_;
  Slots result_;
};

}  // namespace

Regex::Regex(RegexProgram program) : program_(std::move(program)) {}

Result<Regex, std::string> Regex::compile(std::string_view pattern, std::size_t tableBytes) {
  Result<RegexProgram, std::string> program = compileRegex(pattern);
  if (!program) return Failure{std::move(program.error())};
  Regex regex(std::move(*program));
  if (!regex.buildTable(tableBytes) && tableBytes >= kMaxTableBytes &&
      regex.program_.code.size() > kMaxSimulatedInstructions) {
    return Failure{std::string(
        "it has too many states to match quickly: anchor it with `^`, or lower its counts")};
  }
  return regex;
}

bool Regex::buildTable(std::size_t maxBytes) {
  const std::optional<ByteClasses> classes = byteClasses(program_);
  if (!classes) return false;
  TableBuilder builder(program_, *classes, std::min(maxBytes, kMaxTableBytes) / sizeof table_[0]);
  const std::optional<std::uint16_t> first = builder.run();
  if (!first) return false;
  table_ = std::move(builder.table());
  table_.shrink_to_fit();
  classes_ = classes->of;
  endClass_ = static_cast<std::uint16_t>(classes->examples.size());
  matched_ = builder.matchedRow();
  first_ = *first;
  return true;
}

bool Regex::search(std::string_view text) const {
  if (table_.empty()) return Simulation<false>(program_, text).run();
  std::size_t row = first_;
  for (const char c : text) {
    row = table_[row + classes_[static_cast<unsigned char>(c)]];
    if (row <= matched_) return row == matched_;
  }
  return table_[row + endClass_] == matched_;
}

bool Regex::capture(std::string_view text, std::span<std::string_view> groups) const {
  assert(groups.size() == names().size());
  if (groups.empty()) return search(text);
  Simulation<true> simulation(program_, text);
  if (!simulation.run()) return false;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::uint32_t begin = simulation.result()[2 * i];
    const std::uint32_t end = simulation.result()[2 * i + 1];
    groups[i] =
        begin == kUnset || end == kUnset ? std::string_view() : text.substr(begin, end - begin);
  }
  return true;
}

}  // namespace tidegate
