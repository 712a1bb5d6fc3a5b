// Writes field blocks (RFC 7541). What is sent a second time goes into the dynamic table, so that a
// steady stream of like heads costs a byte a field; of what differs each time only the name does.
//
// The first head of a connection is written without memory of it, as on many there is no other.
//
// Heads of a connection resemble the one before: a field is first held against what was written at
// its place in that one, and only looked for when it is another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

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
                    bool secret = false);

 private:
  // Where texts are in the table, by their hash: two places each, the later one wins.
  struct Slot {
    std::uint32_t hash;
    std::uint32_t serial;  // DynamicTable::inserted() when it was new
  };
  // What a field was sent as: an entry of the static table, or one of the dynamic table.
  struct Sent {
    std::uint32_t fixed;   // 0: of the dynamic table
    std::uint32_t serial;  // as in Slot
  };
  struct Index {
    std::array<Slot, 128> slots;
    // By place in a block.
    std::array<Sent, 32> sent;
    // Hashes of fields that were sent lately, by their hashes; in each place the latest first.
    std::array<std::array<std::uint32_t, 4>, 16> seen;
  };

  // Of the place's field in an earlier block, if it is this one: the index on the wire, or 0.
  std::uint32_t sentAt(std::uint32_t place, std::string_view name, std::string_view value) const;
  void rememberSent(std::uint32_t place, Sent sent);
  std::uint8_t* putText(std::uint8_t* out, std::string_view text) const;
  // The index on the wire, or 0.
  std::uint32_t find(std::uint32_t hash, std::string_view name, std::string_view value) const;
  std::uint32_t findName(std::uint32_t hash, std::string_view name) const;
  // Where there is an index:
  void note(std::uint32_t hash);
  bool wasSeen(std::uint32_t hash);

  DynamicTable table_;
  const HpackTexts texts_;
  std::uint32_t place_ = 0;       // of the block's next field
  std::unique_ptr<Index> index_;  // none before the second block
  bool begun_ = false;
  bool limitChanged_ = false;
  std::size_t lowestLimit_ = 0;  // since the last begin(); where limitChanged_
};

}  // namespace tidegate::http2
