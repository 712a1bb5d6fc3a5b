// Two passes: a recursive-descent parser builds a tree, and the tree is emitted as Thompson's
// construction with counted repeats unrolled. The syntax is JavaScript's, less what a linear-time
// engine cannot do, and stricter where JavaScript guesses what was meant.
#include "routing/regex_program.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "base/ascii.h"

namespace tidegate {
namespace {

constexpr std::size_t kMaxDepth = 64;        // of nested parentheses
constexpr unsigned kMaxRepeat = 1000;        // in {m,n}
constexpr unsigned kUnbounded = 0xffffffff;  // no upper count
// Unrolling visits tree nodes that emit nothing too, such as `(){1000}`.
constexpr std::size_t kMaxVisits = 64 * kMaxRegexInstructions;

struct Node {
  enum class Kind : std::uint8_t { Set, Assert, Concat, Alternate, Repeat, Group };

  explicit Node(Kind k) : kind(k) {}

  Kind kind;
  ByteSet set;
  RegexAssertion assertion = RegexAssertion::Start;
  unsigned min = 0;
  unsigned max = 0;
  bool greedy = true;
  std::uint16_t group = 0;
  std::vector<std::unique_ptr<Node>> children;
};

using NodePtr = std::unique_ptr<Node>;

NodePtr makeNode(Node::Kind kind) { return std::make_unique<Node>(kind); }

bool isAsciiLetter(char c) { return toLower(c) >= 'a' && toLower(c) <= 'z'; }

bool isNameByte(char c, bool first) {
  return isAsciiLetter(c) || c == '_' || (!first && isDigit(c));
}

ByteSet rangeSet(unsigned char first, unsigned char last) {
  ByteSet set;
  for (unsigned byte = first; byte <= last; ++byte) set.set(byte);
  return set;
}

// `\d \w \s` and their negations; nothing for other letters.
bool classEscape(char letter, ByteSet& set) {
  switch (toLower(letter)) {
    case 'd':
      set = rangeSet('0', '9');
      break;
    case 'w':
      for (unsigned byte = 0; byte < 256; ++byte)
        set.set(byte, isWordByte(static_cast<unsigned char>(byte)));
      break;
    case 's':
      set = rangeSet('\t', '\r');
      set.set(' ');
      break;
    default:
      return false;
  }
  if (toLower(letter) != letter) set.flip();
  return true;
}

std::string encodeUtf8(unsigned code) {
  std::string text;
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    text += static_cast<char>(0xe0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  }
  return text;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(pattern) {}

  // Null when error() says why.
  NodePtr parse() {
    if (text_.size() > kMaxRegexPattern) {
      return fail("it is longer than " + std::to_string(kMaxRegexPattern) + " bytes");
    }
    if (text_.starts_with("(?i)")) {
      ignoreCase_ = true;
      at_ = 4;
    }
    NodePtr root = alternation(0);
    if (root != nullptr && !atEnd()) return fail("`)` without `(`");
    return root;
  }

  const std::string& error() const { return error_; }
  std::vector<std::string>& names() { return names_; }

 private:
  bool atEnd() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }
  bool take(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  NodePtr fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return nullptr;
  }

  NodePtr alternation(std::size_t depth) {
    NodePtr first = sequence(depth);
    if (first == nullptr || atEnd() || peek() != '|') return first;
    NodePtr node = makeNode(Node::Kind::Alternate);
    node->children.push_back(std::move(first));
    while (take("|")) {
      NodePtr next = sequence(depth);
      if (next == nullptr) return nullptr;
      node->children.push_back(std::move(next));
    }
    return node;
  }

  NodePtr sequence(std::size_t depth) {
    NodePtr node = makeNode(Node::Kind::Concat);
    while (!atEnd() && peek() != '|' && peek() != ')') {
      NodePtr item = quantified(depth);
      if (item == nullptr) return nullptr;
      node->children.push_back(std::move(item));
    }
    return node;
  }

  NodePtr quantified(std::size_t depth) {
    NodePtr item = atom(depth);
    if (item == nullptr || atEnd()) return item;

    unsigned min = 0;
    unsigned max = kUnbounded;
    if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (peek() == '{') {
      if (!counts(min, max)) return nullptr;
    } else if (!take("*")) {
      return item;
    }
    if (item->kind == Node::Kind::Assert) return fail("an anchor or boundary cannot be repeated");

    NodePtr node = makeNode(Node::Kind::Repeat);
    node->min = min;
    node->max = max;
    node->greedy = !take("?");
    node->children.push_back(std::move(item));
    if (!atEnd()) {
      if (peek() == '+') return fail("possessive quantifiers are not supported");
      if (peek() == '*' || peek() == '?' || peek() == '{')
        return fail("a quantifier follows a quantifier");
    }
    return node;
  }

  // `{m}`, `{m,}` or `{m,n}`.
  bool counts(unsigned& min, unsigned& max) {
    ++at_;
    if (!number(min)) return false;
    max = min;
    if (take(",")) {
      max = kUnbounded;
      if (!atEnd() && peek() != '}' && !number(max)) return false;
    }
    if (!take("}")) return badCounts();
    if (max < min) {
      fail("the counts of a `{m,n}` are out of order");
      return false;
    }
    return true;
  }

  bool badCounts() {
    fail("`{` begins a count such as {2} or {2,5}; a literal one is written `\\{`");
    return false;
  }

  bool number(unsigned& value) {
    if (atEnd() || !isDigit(peek())) return badCounts();
    value = 0;
    while (!atEnd() && isDigit(peek())) {
      value = value * 10 + static_cast<unsigned>(peek() - '0');
      if (value > kMaxRepeat) {
        fail("a count is over " + std::to_string(kMaxRepeat));
        return false;
      }
      ++at_;
    }
    return true;
  }

  NodePtr atom(std::size_t depth) {
    const char c = peek();
    switch (c) {
      case '(':
        ++at_;
        return group(depth + 1);
      case '[':
        ++at_;
        return bracketClass();
      case '\\':
        ++at_;
        return escape();
      case '.': {
        ++at_;
        NodePtr node = makeNode(Node::Kind::Set);
        node->set.set().reset('\n').reset('\r');
        return node;
      }
      case '^':
        ++at_;
        return assertion(RegexAssertion::Start);
      case '$':
        ++at_;
        return assertion(RegexAssertion::End);
      case '*':
      case '+':
      case '?':
        return fail(std::string("nothing stands before `") + c + "` to repeat");
      case '{':
        badCounts();
        return nullptr;
      default:
        return character();
    }
  }

  NodePtr assertion(RegexAssertion kind) {
    NodePtr node = makeNode(Node::Kind::Assert);
    node->assertion = kind;
    return node;
  }

  // After `(`.
  NodePtr group(std::size_t depth) {
    if (depth > kMaxDepth)
      return fail("parentheses are nested deeper than " + std::to_string(kMaxDepth));
    NodePtr node = makeNode(Node::Kind::Concat);
    if (take("?")) {
      if (take("=") || take("!") || take("<=") || take("<!")) {
        return fail("look-around is not supported: matching is linear in the text");
      }
      if (text_.substr(at_).starts_with("P<"))
        return fail("a named group is written `(?<name>...)`");
      if (take("<")) {
        node->kind = Node::Kind::Group;
        if (!groupName(*node)) return nullptr;
      } else if (!take(":")) {
        return fail("`(?` begins only `(?:...)`, `(?<name>...)`, and `(?i)` at the start");
      }
    }
    NodePtr body = alternation(depth);
    if (body == nullptr) return nullptr;
    if (!take(")")) return fail("`(` without `)`");
    node->children.push_back(std::move(body));
    return node;
  }

  bool groupName(Node& node) {
    std::string name;
    while (!atEnd() && isNameByte(peek(), name.empty())) name += text_[at_++];
    if (name.empty() || !take(">")) {
      fail("a group's name is letters, digits and `_`, and ends with `>`");
    } else if (std::ranges::find(names_, name) != names_.end()) {
      fail("two groups are named `" + name + "`");
    } else if (names_.size() == kMaxRegexGroups) {
      fail("there are more than " + std::to_string(kMaxRegexGroups) + " named groups");
    } else {
      node.group = static_cast<std::uint16_t>(names_.size());
      names_.push_back(std::move(name));
      return true;
    }
    return false;
  }

  NodePtr setNode(ByteSet set) {
    NodePtr node = makeNode(Node::Kind::Set);
    node->set = ignoreCase_ ? foldCase(set) : set;
    return node;
  }

  static ByteSet foldCase(ByteSet set) {
    for (unsigned upper = 'A'; upper <= 'Z'; ++upper) {
      const unsigned lower = upper | 0x20;
      const bool either = set[upper] || set[lower];
      set.set(upper, either);
      set.set(lower, either);
    }
    return set;
  }

  NodePtr literal(std::string_view bytes) {
    NodePtr node = makeNode(Node::Kind::Concat);
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      node->children.push_back(setNode(rangeSet(byte, byte)));
    }
    return node->children.size() == 1 ? std::move(node->children.front()) : std::move(node);
  }

  // One character: a quantifier after it repeats all of its UTF-8 bytes.
  NodePtr character() {
    const auto lead = static_cast<unsigned char>(peek());
    std::size_t size = 1;
    if (lead >= 0x80) {
      size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
      const std::string_view bytes = text_.substr(at_, size);
      const bool whole =
          lead >= 0xc2 && lead <= 0xf4 && bytes.size() == size &&
          std::ranges::all_of(bytes.substr(1), [](char c) { return (c & 0xc0) == 0x80; });
      if (!whole) return fail("it is not valid UTF-8");
    }
    NodePtr node = literal(text_.substr(at_, size));
    at_ += size;
    return node;
  }

  // After a backslash, outside a class.
  NodePtr escape() {
    if (atEnd()) return fail("it ends with a backslash");
    if (take("b")) return assertion(RegexAssertion::WordBoundary);
    if (take("B")) return assertion(RegexAssertion::NotWordBoundary);
    ByteSet set;
    if (classEscape(peek(), set)) {
      ++at_;
      return setNode(set);
    }
    unsigned code = 0;
    if (!characterEscape(code)) return nullptr;
    return literal(encodeUtf8(code));
  }

  // After a backslash: one character, `code` < 0x10000.
  bool characterEscape(unsigned& code) {
    const char c = text_[at_++];
    switch (c) {
      case 't':
        code = '\t';
        return true;
      case 'n':
        code = '\n';
        return true;
      case 'v':
        code = '\v';
        return true;
      case 'f':
        code = '\f';
        return true;
      case 'r':
        code = '\r';
        return true;
      case 'x':
        return hexCode(2, code);
      case 'u':
        return hexCode(4, code);
      case '0':
        if (!atEnd() && isDigit(peek())) break;
        code = 0;
        return true;
      case 'k':
        fail("back-references are not supported: matching is linear in the text");
        return false;
      case 'p':
      case 'P':
        fail("Unicode properties are not supported");
        return false;
      default:
        break;
    }
    if (isDigit(c)) {
      fail(c == '0' ? "octal escapes are not supported"
                    : "back-references are not supported: matching is linear in the text");
      return false;
    }
    // Not quoted: `c` is the first byte of it only.
    if (static_cast<unsigned char>(c) >= 0x80) {
      fail("a backslash stands before a character that is not ASCII");
      return false;
    }
    if (isAsciiLetter(c)) {
      fail(std::string("the escape `\\") + c + "` is not known");
      return false;
    }
    code = static_cast<unsigned char>(c);
    return true;
  }

  bool hexCode(std::size_t digits, unsigned& code) {
    code = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const int value = atEnd() ? -1 : hexValue(peek());
      if (value < 0) {
        fail(digits == 2 ? "`\\x` takes two hexadecimal digits"
                         : "`\\u` takes four hexadecimal digits");
        return false;
      }
      code = code << 4 | static_cast<unsigned>(value);
      ++at_;
    }
    if (code >= 0xd800 && code < 0xe000) {
      fail("surrogates are not supported");
      return false;
    }
    return true;
  }

  // After `[`.
  NodePtr bracketClass() {
    const bool negated = take("^");
    ByteSet set;
    if (take("]")) return fail("a class is empty; a literal `]` is written `\\]`");
    while (!take("]")) {
      if (atEnd()) return fail("`[` without `]`");
      if (text_.substr(at_).starts_with("[:")) return fail("POSIX classes are not supported");
      unsigned first = 0;
      ByteSet escaped;
      if (!classItem(first, escaped)) return nullptr;
      const bool range = at_ + 1 < text_.size() && peek() == '-' && text_[at_ + 1] != ']';
      if (!range) {
        set |= escaped;
        continue;
      }
      ++at_;
      unsigned last = 0;
      ByteSet escapedLast;
      if (!classItem(last, escapedLast)) return nullptr;
      if (escaped.count() != 1 || escapedLast.count() != 1) {
        return fail("a range in a class goes from one character to another");
      }
      if (last < first) return fail("a range in a class is out of order");
      set |= rangeSet(static_cast<unsigned char>(first), static_cast<unsigned char>(last));
    }
    if (ignoreCase_) set = foldCase(set);
    if (negated) set.flip();
    NodePtr node = makeNode(Node::Kind::Set);
    node->set = set;
    return node;
  }

  // One character (then `set` holds exactly `code`), or a class escape.
  bool classItem(unsigned& code, ByteSet& set) {
    if (take("\\")) {
      if (atEnd()) {
        fail("it ends with a backslash");
        return false;
      }
      if (classEscape(peek(), set)) {
        ++at_;
        return true;
      }
      if (take("b")) {
        code = '\b';
      } else if (!characterEscape(code)) {
        return false;
      }
    } else {
      code = static_cast<unsigned char>(text_[at_++]);
    }
    if (code >= 0x80) {
      fail("classes hold ASCII characters only");
      return false;
    }
    set.set(code);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool ignoreCase_ = false;
  std::string error_;
  std::vector<std::string> names_;
};

// Emits a tree back to front: each node is told where to go on, and returns where it begins.
class Emitter {
 public:
  explicit Emitter(RegexProgram& program) : program_(program) {}

  // False when the program would be too large.
  bool run(const Node& root) {
    program_.start = emit(root, append({}));
    program_.anchored = beginsAtStart(root);
    return !overflow_;
  }

 private:
  std::uint16_t append(RegexInstruction instruction) {
    if (program_.code.size() == kMaxRegexInstructions) {
      overflow_ = true;
      return 0;
    }
    program_.code.push_back(instruction);
    return static_cast<std::uint16_t>(program_.code.size() - 1);
  }

  std::uint16_t emit(const Node& node, std::uint16_t next) {
    if (overflow_ || ++visits_ > kMaxVisits) {
      overflow_ = true;
      return 0;
    }
    switch (node.kind) {
      case Node::Kind::Set:
        return append({RegexOp::Set, setIndex(node.set), next, 0});
      case Node::Kind::Assert:
        program_.usesWords |= node.assertion == RegexAssertion::WordBoundary ||
                              node.assertion == RegexAssertion::NotWordBoundary;
        return append({RegexOp::Assert, static_cast<std::uint16_t>(node.assertion), next, 0});
      case Node::Kind::Concat:
        for (std::size_t i = node.children.size(); i > 0; --i)
          next = emit(*node.children[i - 1], next);
        return next;
      case Node::Kind::Alternate: {
        std::uint16_t entry = emit(*node.children.back(), next);
        for (std::size_t i = node.children.size() - 1; i > 0; --i) {
          entry = append({RegexOp::Split, 0, emit(*node.children[i - 1], next), entry});
        }
        return entry;
      }
      case Node::Kind::Group: {
        const auto slot = static_cast<std::uint16_t>(2 * node.group);
        const std::uint16_t end =
            append({RegexOp::Save, static_cast<std::uint16_t>(slot + 1), next, 0});
        return append({RegexOp::Save, slot, emit(*node.children[0], end), 0});
      }
      case Node::Kind::Repeat:
        return emitRepeat(node, next);
    }
    return next;
  }

  std::uint16_t emitRepeat(const Node& node, std::uint16_t next) {
    const Node& body = *node.children[0];
    std::uint16_t entry = next;
    if (node.max == kUnbounded) {
      // The loop's split comes first and learns its body's entry afterwards.
      entry = append(split(node, 0, next));
      const std::uint16_t begin = emit(body, entry);
      if (overflow_) return 0;
      program_.code[entry] = split(node, begin, next);
    } else {
      for (unsigned i = node.min; i < node.max && !overflow_; ++i) {
        entry = append(split(node, emit(body, entry), next));
      }
    }
    for (unsigned i = 0; i < node.min && !overflow_; ++i) entry = emit(body, entry);
    return entry;
  }

  static RegexInstruction split(const Node& node, std::uint16_t body, std::uint16_t next) {
    return {RegexOp::Split, 0, node.greedy ? body : next, node.greedy ? next : body};
  }

  std::uint16_t setIndex(const ByteSet& set) {
    const auto found = std::ranges::find(program_.sets, set);
    if (found != program_.sets.end())
      return static_cast<std::uint16_t>(found - program_.sets.begin());
    program_.sets.push_back(set);
    return static_cast<std::uint16_t>(program_.sets.size() - 1);
  }

  static bool beginsAtStart(const Node& node) {
    switch (node.kind) {
      case Node::Kind::Assert:
        return node.assertion == RegexAssertion::Start;
      case Node::Kind::Concat:
      case Node::Kind::Group:
        return !node.children.empty() && beginsAtStart(*node.children.front());
      case Node::Kind::Alternate:
        return std::ranges::all_of(node.children,
                                   [](const NodePtr& child) { return beginsAtStart(*child); });
      case Node::Kind::Repeat:
        return node.min > 0 && beginsAtStart(*node.children[0]);
      case Node::Kind::Set:
        return false;
    }
    return false;
  }

  RegexProgram& program_;
  std::size_t visits_ = 0;
  bool overflow_ = false;
};

}  // namespace

bool isWordByte(unsigned char byte) {
  const char c = static_cast<char>(byte);
  return isAsciiLetter(c) || isDigit(c) || c == '_';
}

Result<RegexProgram, std::string> compileRegex(std::string_view pattern) {
  Parser parser(pattern);
  const NodePtr root = parser.parse();
  if (root == nullptr) return Failure{parser.error()};
  RegexProgram program;
  if (!Emitter(program).run(*root)) {
    return Failure{"it needs more than " + std::to_string(kMaxRegexInstructions) +
                   " steps once its counted repeats are written out"};
  }
  program.names = std::move(parser.names());
  return program;
}

}  // namespace tidegate
