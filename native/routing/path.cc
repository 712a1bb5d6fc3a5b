// Path and host normalisation: one scan that finds nothing to do for nearly every request, and one
// rewriting pass.
#include "routing/path.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/ascii.h"
#include "base/short_text.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate {
namespace {

enum class ByteClass : std::uint8_t {
  Plain,  // stays as it is
  Slash,
  Percent,
  Semicolon,
  Bad,
};

constexpr std::array<ByteClass, 256> kByteClasses = [] {
  std::array<ByteClass, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    if (c <= ' ' || c >= 0x7f) classes[static_cast<std::size_t>(c)] = ByteClass::Bad;
  }
  classes['#'] = ByteClass::Bad;
  classes['?'] = ByteClass::Bad;
  // No path may hold it (RFC 3986), and some servers take it for a slash.
  classes['\\'] = ByteClass::Bad;
  classes['/'] = ByteClass::Slash;
  classes['%'] = ByteClass::Percent;
  classes[';'] = ByteClass::Semicolon;
  return classes;
}();

ByteClass classOf(char c) { return kByteClasses[static_cast<unsigned char>(c)]; }

// RFC 3986 2.3.
constexpr bool isUnreserved(char c) {
  const char lower = toLower(c);
  return (lower >= 'a' && lower <= 'z') || isDigit(c) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

// True when the rewriting pass would change nothing and refuse nothing. May be false for such a
// path as well. `path` begins with `/`.
#if defined(__SSE2__)

// One bit for each of sixteen bytes.
struct PathBits {
  unsigned other = 0;  // neither plain nor a slash
  unsigned slash = 0;
  unsigned slashOrDot = 0;
};

PathBits bitsOf(__m128i bytes) {
  const auto is = [bytes](char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); };
  const auto bits = [](__m128i mask) { return static_cast<unsigned>(_mm_movemask_epi8(mask)); };
  // Signed: bytes from 0x80 are below 0x21 as well.
  __m128i other = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21)), is(0x7f));
  for (const char c : {'#', '?', '\\', '%', ';'}) other = _mm_or_si128(other, is(c));
  const __m128i slash = is('/');
  return {bits(other), bits(slash), bits(_mm_or_si128(slash, is('.')))};
}

bool isPlain(std::string_view path) {
  constexpr std::size_t kStep = sizeof(__m128i);
  unsigned afterSlash = 0;  // whether the byte before stands for one
  const auto passes = [&afterSlash](const char* at) {
    const PathBits bits = bitsOf(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    const unsigned follows = bits.slash << 1 | afterSlash;
    afterSlash = bits.slash >> (kStep - 1);
    return (bits.other | (follows & bits.slashOrDot)) == 0;
  };
  for (; path.size() >= kStep; path.remove_prefix(kStep)) {
    if (!passes(path.data())) return false;
  }
  if (path.empty()) return true;
  // The rest, with plain bytes behind it.
  std::array<char, kStep> rest;
  rest.fill('a');
  copyText(rest.data(), path);
  return passes(rest.data());
}

#else

bool isPlain(std::string_view path) {
  const std::size_t last = path.size() - 1;
  for (std::size_t i = 0; i <= last; ++i) {
    const ByteClass kind = classOf(path[i]);
    if (kind == ByteClass::Plain) [[likely]] {
      continue;
    }
    if (kind != ByteClass::Slash) return false;
    if (i < last && (path[i + 1] == '/' || path[i + 1] == '.')) return false;
  }
  return true;
}

#endif

std::size_t findEscapedSlash(std::string_view text) {
  for (std::size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 1)) {
    const std::string_view escape = text.substr(i, 3);
    if (escape == "%2F" || escape == "%5C") return i;
  }
  return std::string_view::npos;
}

// `segment` holds escapes in upper case, and at least one `;` or escaped slash: so it is no dot
// segment itself, but one of its pieces between escaped slashes, each up to its first `;`, may be.
bool hidesDotSegment(std::string_view segment) {
  while (true) {
    const std::size_t end = findEscapedSlash(segment);
    std::string_view piece = segment.substr(0, end);
    piece = piece.substr(0, piece.find("%3B"));
    piece = piece.substr(0, piece.find(';'));
    if (piece == "." || piece == "..") return true;
    if (end == std::string_view::npos) return false;
    segment.remove_prefix(end + 3);
  }
}

// Writes the normal form of one path. `out_[0, size_)` always begins with `/`; the segment being
// written is `out_[segment_, size_)`.
class PathWriter {
 public:
  PathWriter(const PathRules& rules, std::span<char> out) : rules_(rules), out_(out.data()) {}

  NormalPath run(std::string_view path) {
    emit('/');
    segment_ = size_;
    for (std::size_t i = 1; i < path.size();) {
      const char c = path[i];
      PathError error = PathError::None;
      switch (classOf(c)) {
        case ByteClass::Plain:
          emit(c);
          ++i;
          break;
        case ByteClass::Semicolon:
          suspicious_ = true;
          emit(c);
          ++i;
          break;
        case ByteClass::Slash:
          error = endSegment(true);
          ++i;
          break;
        case ByteClass::Percent:
          error = onEscape(path.substr(i));
          i += 3;
          break;
        case ByteClass::Bad:
          error = PathError::BadCharacter;
          break;
      }
      if (error != PathError::None) return {error, {}};
    }
    if (const PathError error = endSegment(false); error != PathError::None) return {error, {}};
    return {PathError::None, {out_, size_}};
  }

 private:
  void emit(char c) { out_[size_++] = c; }

  void emitEscape(unsigned char value) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    emit('%');
    emit(kDigits[value >> 4]);
    emit(kDigits[value & 15]);
  }

  PathError onEscape(std::string_view rest) {
    const int high = rest.size() >= 3 ? hexValue(rest[1]) : -1;
    const int low = rest.size() >= 3 ? hexValue(rest[2]) : -1;
    if (high < 0 || low < 0) return PathError::BadEscape;

    const auto value = static_cast<unsigned char>(high << 4 | low);
    const char decoded = static_cast<char>(value);
    if (decoded == '\0') return PathError::EscapedNul;
    if (isUnreserved(decoded)) {
      emit(decoded);
      return PathError::None;
    }
    if (decoded == '/' || decoded == '\\') {
      if (rules_.escapedSlashes == EscapedSlashes::Reject) return PathError::EscapedSlash;
      if (rules_.escapedSlashes == EscapedSlashes::Decode) return endSegment(true);
      suspicious_ = true;
    } else if (decoded == ';') {
      suspicious_ = true;
    }
    emitEscape(value);
    return PathError::None;
  }

  // `slash`: one follows; otherwise the path ends here.
  PathError endSegment(bool slash) {
    const std::string_view text(out_ + segment_, size_ - segment_);
    if (suspicious_ && hidesDotSegment(text)) return PathError::HiddenDotSegment;
    suspicious_ = false;

    if (text == ".") {
      size_ = segment_;
    } else if (text == "..") {
      if (segment_ == 1) return PathError::AboveRoot;
      size_ = segment_ - 1;
      while (out_[size_ - 1] != '/') --size_;
      segment_ = size_;
    } else if (slash && !(text.empty() && rules_.mergeSlashes)) {
      emit('/');
      segment_ = size_;
    }
    return PathError::None;
  }

  const PathRules& rules_;
  char* out_;
  std::size_t size_ = 0;
  std::size_t segment_ = 0;
  bool suspicious_ = false;  // the segment holds a `;` or a kept escaped slash
};

// One bit for each of eight bytes that is a letter of upper case.
std::uint64_t upperBits(const char* at) {
  constexpr std::uint64_t kEach = 0x0101010101010101;
  std::uint64_t bytes;
  std::memcpy(&bytes, at, sizeof bytes);
  // Bytes below 0x80, so that no sum of one carries into the next.
  const std::uint64_t low = bytes & (kEach * 0x7f);
  const std::uint64_t fromA = low + kEach * (0x80 - 'A');
  const std::uint64_t beyondZ = low + kEach * (0x80 - 'Z' - 1);
  return fromA & ~beyondZ & ~bytes & (kEach * 0x80);
}

bool hasUpper(std::string_view text) {
  constexpr std::size_t kStep = sizeof(std::uint64_t);
  const std::size_t size = text.size();
  if (size < kStep) {
    return std::any_of(text.begin(), text.end(), [](char c) { return toLower(c) != c; });
  }
  for (std::size_t i = 0; i + kStep < size; i += kStep) {
    if (upperBits(text.data() + i) != 0) return true;
  }
  return upperBits(text.data() + size - kStep) != 0;
}

}  // namespace

NormalPath normalizePath(std::string_view path, const PathRules& rules, std::span<char> out) {
  if (path == "*") return {PathError::None, path};
  if (path.empty() || path[0] != '/') return {PathError::BadCharacter, {}};
  if (isPlain(path)) [[likely]] {
    return {PathError::None, path};
  }
  const NormalPath result = PathWriter(rules, out).run(path);
  if (result.error == PathError::None && result.path == path) return {PathError::None, path};
  return result;
}

std::string_view normalizeHost(std::string_view host, std::span<char> out) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (!hasUpper(host)) return host;
  for (std::size_t i = 0; i < host.size(); ++i) out[i] = toLower(host[i]);
  return {out.data(), host.size()};
}

}  // namespace tidegate
