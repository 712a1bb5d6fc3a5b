// The code is canonical: the lengths of its symbols are all there is to know. Codes of one length
// are consecutive numbers, in the order of their symbols, and behind all shorter ones.
//
// Decoding goes by a table of the next kFirstBits bits, which often hold two symbols; what is
// longer is found among the lengths.
#include "http2/huffman.h"

#include <array>
#include <bit>
#include <cstring>

namespace tidegate::http2 {

namespace {

constexpr std::size_t kSymbols = 257;
constexpr std::uint16_t kEos = 256;
constexpr unsigned kLongest = 30;
constexpr unsigned kFirstBits = 11;

// Bits of each symbol's code.
constexpr std::array<std::uint8_t, kSymbols> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
    7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30};

struct Code {
  std::uint32_t bits = 0;
  std::uint8_t length = 0;
};

// What the next kFirstBits bits begin with.
struct Step {
  std::array<std::uint8_t, 2> symbols;
  std::uint8_t length;  // of the codes together; 0: the first one is longer than kFirstBits
  std::uint8_t count;   // of symbols
};

struct Tables {
  std::array<Code, kSymbols> codes;            // by symbol
  std::array<std::uint16_t, kSymbols> sorted;  // symbols in the order of their codes
  // Of the codes of each length: one past the last, left-aligned in 32 bits, the first, and where
  // their symbols begin in `sorted`.
  std::array<std::uint64_t, kLongest + 2> end;
  std::array<std::uint32_t, kLongest + 2> first;
  std::array<std::uint16_t, kLongest + 2> place;
  std::array<Step, std::size_t{1} << kFirstBits> steps;
};

// Symbols whose codes fit into kFirstBits: the first of Tables::sorted.
constexpr void fillSteps(Tables& tables) {
  for (std::uint32_t next = 0; next < tables.steps.size(); ++next) {
    Step& step = tables.steps[next];
    unsigned left = kFirstBits;
    while (step.count < step.symbols.size()) {
      const std::uint32_t rest = next & ((std::uint32_t{1} << left) - 1);
      const std::uint64_t aligned = std::uint64_t{rest} << (32 - left);
      unsigned length = 5;
      while (length <= left && aligned >= tables.end[length]) ++length;
      if (length > left) break;
      const std::uint32_t offset =
          static_cast<std::uint32_t>(aligned >> (32 - length)) - tables.first[length];
      step.symbols[step.count++] =
          static_cast<std::uint8_t>(tables.sorted[tables.place[length] + offset]);
      step.length = static_cast<std::uint8_t>(step.length + length);
      left -= length;
    }
  }
}

constexpr Tables makeTables() {
  Tables tables{};
  std::uint32_t code = 0;
  std::uint16_t place = 0;
  for (unsigned length = 1; length <= kLongest; ++length) {
    code <<= 1;
    tables.first[length] = code;
    tables.place[length] = place;
    for (std::uint16_t symbol = 0; symbol < kSymbols; ++symbol) {
      if (kLengths[symbol] != length) continue;
      tables.codes[symbol] = {code++, static_cast<std::uint8_t>(length)};
      tables.sorted[place++] = symbol;
    }
    tables.end[length] = std::uint64_t{code} << (32 - length);
  }
  fillSteps(tables);
  return tables;
}

constexpr Tables kTables = makeTables();

// The code is complete: no sequence of bits is without a symbol.
static_assert(kTables.end[kLongest] == std::uint64_t{1} << 32);

std::uint64_t loadBigEndian(const std::uint8_t* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::little) word = __builtin_bswap64(word);
  return word;
}

// Returns where it ends.
std::uint8_t* storeBigEndian(std::uint8_t* at, std::uint32_t word) {
  if constexpr (std::endian::native == std::endian::little) word = __builtin_bswap32(word);
  std::memcpy(at, &word, sizeof word);
  return at + sizeof word;
}

// The next bits of a text.
class Bits {
 public:
  explicit Bits(std::span<const std::uint8_t> bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // Afterwards there are at least 56 bits, or all that are left.
  void refill() {
    if (end_ - at_ >= 8) {
      bits_ |= loadBigEndian(at_) >> count_;
      at_ += (63 - count_) >> 3;
      count_ |= 56;
      return;
    }
    while (count_ <= 56 && at_ != end_) {
      bits_ |= std::uint64_t{*at_++} << (56 - count_);
      count_ += 8;
    }
  }
  unsigned count() const { return count_; }
  std::uint32_t next(unsigned bits) const {
    return static_cast<std::uint32_t>(bits_ >> (64 - bits));
  }
  void skip(unsigned bits) {
    bits_ <<= bits;
    count_ -= bits;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* const end_;
  std::uint64_t bits_ = 0;  // left-aligned
  unsigned count_ = 0;
};

// The symbol that the bits begin with, and its length; of any length.
std::uint16_t slowSymbol(const Bits& bits, unsigned& length) {
  const std::uint32_t window = bits.next(32);
  length = 5;
  while (window >= kTables.end[length]) ++length;
  const std::uint32_t offset = (window >> (32 - length)) - kTables.first[length];
  return kTables.sorted[kTables.place[length] + offset];
}

// At most seven bits, all of them set (RFC 7541 5.2).
bool isPadding(const Bits& bits) {
  const unsigned count = bits.count();
  return count == 0 || (count < 8 && bits.next(count) == (1U << count) - 1);
}

}  // namespace

std::optional<std::size_t> huffmanDecode(std::span<const std::uint8_t> encoded, char* out) {
  char* const begin = out;
  Bits bits(encoded);
  for (bits.refill(); bits.count() >= kFirstBits; bits.refill()) {
    // 56 bits hold five steps.
    do {
      const Step& step = kTables.steps[bits.next(kFirstBits)];
      if (step.length == 0) break;
      *out = static_cast<char>(step.symbols[0]);
      out += step.count;
      if (step.count == 2) out[-1] = static_cast<char>(step.symbols[1]);
      bits.skip(step.length);
    } while (bits.count() >= kFirstBits);
    if (bits.count() < kFirstBits) continue;
    bits.refill();
    unsigned length = 0;
    const std::uint16_t symbol = slowSymbol(bits, length);
    if (length > bits.count() || symbol == kEos) return std::nullopt;
    *out++ = static_cast<char>(symbol);
    bits.skip(length);
  }
  // Fewer bits than a step looks at.
  while (bits.count() > 0) {
    unsigned length = 0;
    const std::uint16_t symbol = slowSymbol(bits, length);
    if (length > bits.count()) break;
    *out++ = static_cast<char>(symbol);
    bits.skip(length);
  }
  if (!isPadding(bits)) return std::nullopt;
  return static_cast<std::size_t>(out - begin);
}

std::size_t huffmanSize(std::string_view text) {
  std::size_t bits = 0;
  for (const char c : text) bits += kLengths[static_cast<std::uint8_t>(c)];
  return (bits + 7) / 8;
}

void huffmanEncode(std::string_view text, std::uint8_t* out) {
  std::uint64_t bits = 0;  // right-aligned
  unsigned count = 0;
  for (const char c : text) {
    const Code& code = kTables.codes[static_cast<std::uint8_t>(c)];
    bits = (bits << code.length) | code.bits;
    count += code.length;
    while (count >= 8) {
      count -= 8;
      *out++ = static_cast<std::uint8_t>(bits >> count);
    }
  }
  if (count > 0) *out = static_cast<std::uint8_t>((bits << (8 - count)) | (0xffU >> count));
}

std::size_t huffmanEncodeShorter(std::string_view text, std::uint8_t* out) {
  constexpr unsigned kWord = 32;
  std::uint8_t* const begin = out;
  const std::uint8_t* const last = out + text.size() - 1;  // a whole word may begin there
  std::uint64_t bits = 0;                                  // right-aligned
  unsigned count = 0;                                      // below kWord before each symbol
  for (const char c : text) {
    const Code& code = kTables.codes[static_cast<std::uint8_t>(c)];
    bits = (bits << code.length) | code.bits;
    count += code.length;
    if (count < kWord) continue;
    if (out > last) return 0;
    count -= kWord;
    out = storeBigEndian(out, static_cast<std::uint32_t>(bits >> count));
  }
  const std::size_t size = static_cast<std::size_t>(out - begin) + (count + 7) / 8;
  if (size >= text.size()) return 0;
  if (count > 0) {
    const unsigned padding = kWord - count;
    const std::uint64_t ones = (std::uint64_t{1} << padding) - 1;
    storeBigEndian(out, static_cast<std::uint32_t>((bits << padding) | ones));
  }
  return size;
}

}  // namespace tidegate::http2
