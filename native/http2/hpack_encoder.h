// Writes field blocks (RFC 7541). What is sent a second time goes into the dynamic table, so that a
// steady stream of like heads costs a byte a field; of what differs each time only the name does.
//
// The first head of a connection is written without memory of it, as on many there is no other.
//
// Heads of a connection resemble the one before: a field is first held against what was sent at its
// place in that one, whose texts are kept as they were given, and only looked for when it is
// another.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/short_text.h"
#include "http2/hpack_forms.h"
#include "http2/hpack_table.h"

namespace tidegate::http2 {

// How texts are written that are in no table. Towards endpoints a byte costs less than what encodes
// and decodes it.
enum class HpackTexts : std::uint8_t { Shortest, Plain };

// One I/O thread owns it: one for each connection and direction. Allocates for its second head, and
// while the table grows to what a connection needs; not after that.
class HpackEncoder {
 public:
  // What add() writes at most beside the texts, and what begin() writes at most.
  static constexpr std::size_t kFieldOverhead = 12;
  static constexpr std::size_t kBeginBytes = 12;

  // `tableBytes`: what the table takes at most, whatever the peer allows.
  explicit HpackEncoder(std::size_t tableBytes = kDefaultTableBytes,
                        HpackTexts texts = HpackTexts::Shortest)
      : table_(tableBytes), texts_(texts) {
    // The peer's table has its default size until it says otherwise.
    table_.setLimit(tableBytes < kDefaultTableBytes ? tableBytes : kDefaultTableBytes);
  }

  // SETTINGS_HEADER_TABLE_SIZE of the peer; holds from the next begin() on.
  void setPeerLimit(std::uint32_t bytes);

  // Gives its memory back, and forgets what it has sent: the next begin() tells the peer to forget
  // it too.
  void rest();

  // Each writes to `out` and returns where it ends. A block is one begin(), then its fields.
  std::uint8_t* begin(std::uint8_t* out);
  // The name in any case; it is sent in lower case. `secret`: never in a table, neither here nor at
  // whoever sends it on; so are the fields whose values are secrets by their names.
  std::uint8_t* add(std::uint8_t* out, std::string_view name, std::string_view value,
                    bool secret = false) {
    const std::uint32_t place = place_++;
    if (place < knownPlaces_ && !secret) {
      const std::uint32_t index = indexOf(index_->sent[place], index_->texts.data(), name, value);
      if (index != 0) return putIndex(out, index);
    }
    return addOther(out, place, name, value, secret);
  }
  // All of them; each has a `name` and a `value`.
  template <typename Field>
  std::uint8_t* add(std::uint8_t* out, std::span<const Field> fields) {
    for (;;) {
      fields = fields.subspan(addKnown(out, fields));
      if (fields.empty()) return out;
      out = addOther(out, place_++, fields.front().name, fields.front().value, false);
      fields = fields.subspan(1);
    }
  }

 private:
  // Fields of a block that are remembered.
  static constexpr std::uint32_t kPlaces = 32;
  static constexpr std::uint32_t kNoValue = 0xffffffff;
  // Indices that take a byte are below.
  static constexpr std::uint32_t kOneByte = 127;

  // Where texts are in the table, by their hash: two places each, the later one wins.
  struct Slot {
    std::uint32_t hash;
    std::uint32_t serial;  // DynamicTable::inserted() when it was new
  };
  // An entry that has a field's name, and its value as well where the field was sent as its index.
  struct Known {
    std::uint32_t key;     // of the name: its hash
    std::uint32_t serial;  // as in Slot; of an entry that is not there any more: there is none
    std::uint32_t fixed;   // of the static table; 0: of the dynamic one
    std::uint32_t named;   // the static table's first one of that name, or 0
  };
  // How the field at a place in a block was sent last, and its texts as they were given: a name
  // that is written in another case is looked for.
  struct Sent {
    Known entry;
    std::uint32_t valueLength = kNoValue;  // that: there is the name alone
    std::uint16_t nameLength;
    std::uint16_t offset;  // of the texts
    std::uint16_t room;    // for them
  };
  struct Index {
    std::array<Slot, 128> slots;
    std::array<Sent, kPlaces> sent;
    std::array<char, 768> texts;
    std::uint32_t textsEnd;
    std::uint32_t refused;  // how many texts found no room
    // Hashes of fields that were sent lately, by their hashes; in each place the latest first.
    std::array<std::array<std::uint32_t, 4>, 16> seen;
  };

  // The index on the wire; 0: there is no such entry.
  std::uint32_t wireIndex(const Known& known) const {
    if (known.fixed != 0) return known.fixed;
    const std::uint32_t age = table_.inserted() - known.serial;
    return age < table_.count() ? kStaticFields + 1 + age : 0;
  }
  // Of an entry that is there.
  HpackField fieldOf(const Known& known) const {
    return known.fixed != 0 ? staticField(known.fixed)
                            : table_.at(table_.inserted() - known.serial);
  }
  static Known nameOf(const Known& known) {
    return known.named == 0 ? known : Known{known.key, known.serial, known.named, known.named};
  }
  // The index on the wire, where it is the field that was sent; else 0.
  std::uint32_t indexOf(const Sent& sent, const char* texts, std::string_view name,
                        std::string_view value) const {
    const std::uint32_t index = wireIndex(sent.entry);
    const char* const text = texts + sent.offset;
    const bool same = sent.nameLength == name.size() && sent.valueLength == value.size() &&
                      sameText({text, name.size()}, name) &&
                      sameText({text + name.size(), value.size()}, value);
    return same ? index : 0;
  }
  // Adds the first of them that were at their places in the last head; returns how many.
  template <typename Field>
  std::size_t addKnown(std::uint8_t*& out, std::span<const Field> fields) {
    if (place_ >= knownPlaces_) return 0;
    const std::size_t most = std::min<std::size_t>(knownPlaces_ - place_, fields.size());
    // What is written may be anything to the compiler, which would load members again each time.
    const Sent* sent = &index_->sent[place_];
    const char* const texts = index_->texts.data();
    std::uint8_t* at = out;
    const Field* field = fields.data();
    for (const Field* const end = field + most; field != end; ++field, ++sent) {
      const std::uint32_t index = indexOf(*sent, texts, field->name, field->value);
      if (index == 0) break;
      if (index < kOneByte) {
        *at++ = static_cast<std::uint8_t>(kIndexed.bits | index);
      } else {
        at = putIndex(at, index);
      }
    }
    const auto count = static_cast<std::uint32_t>(field - fields.data());
    place_ += count;
    out = at;
    return count;
  }
  // What add() does where the place had another field.
  std::uint8_t* addOther(std::uint8_t* out, std::uint32_t place, std::string_view name,
                         std::string_view value, bool secret);
  const Sent* sentName(std::uint32_t place, std::string_view name) const;
  Known knownName(std::string_view name) const;
  std::uint8_t* insert(std::uint8_t* out, std::uint32_t place, const Known& known,
                       std::string_view name, std::string_view value, std::uint32_t key);
  std::uint8_t* putLiteral(std::uint8_t* out, HpackForm form, std::string_view name,
                           std::string_view value) const;
  std::uint8_t* addIndexed(std::uint8_t* out, std::uint32_t place, const Known& known,
                           std::string_view name, std::string_view value);
  static std::uint8_t* putIndex(std::uint8_t* out, std::uint32_t index);
  void rememberName(std::uint32_t place, const Known& known, std::string_view name);
  void rememberSent(std::uint32_t place, const Known& known, std::string_view name,
                    std::string_view value);
  void forgetSent();
  std::uint8_t* putText(std::uint8_t* out, std::string_view text) const;
  // The serial of the entry, or none().
  std::uint32_t find(std::uint32_t hash, std::string_view name, std::string_view value) const;
  std::uint32_t findName(std::uint32_t hash, std::string_view name) const;
  // The serial of no entry.
  std::uint32_t none() const { return table_.inserted() - table_.count(); }
  // Where there is an index:
  void note(std::uint32_t hash);
  bool wasSeen(std::uint32_t hash);

  DynamicTable table_;
  const HpackTexts texts_;
  std::uint32_t place_ = 0;        // of the block's next field
  std::uint32_t knownPlaces_ = 0;  // kPlaces where there is an index
  std::unique_ptr<Index> index_;   // none before the second block
  bool begun_ = false;
  bool limitChanged_ = false;
  std::size_t lowestLimit_ = 0;  // since the last begin(); where limitChanged_
};

}  // namespace tidegate::http2
