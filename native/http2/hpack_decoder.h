// Reads field blocks (RFC 7541): what a HEADERS frame and its CONTINUATION frames hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http2/hpack_table.h"

namespace tidegate::http2 {

enum class HpackError : std::uint8_t {
  None,
  Truncated,  // the block ends within a field
  BadIndex,   // 0, or beyond the tables
  BadNumber,  // longer than any that is of use
  BadText,    // no Huffman code
  BadLimit,   // a table size update beyond what was announced, or behind a field
  TooLarge,   // a field beyond the room, or more than kMostDecoded in all
};

// Who takes the fields of a block, in order. The views are valid during the call.
class HpackSink {
 public:
  // `neverIndexed`: whoever sends it on shall not put it into a table either (RFC 7541 7.1.3). A
  // sink that has had enough ignores what follows: the block has to be read to its end, so that
  // the tables of the two sides stay alike (RFC 9113 4.3).
  virtual void onField(std::string_view name, std::string_view value, bool neverIndexed) = 0;
  // The same of a field that may be indexed, with what a sink of the connection has found out about
  // the texts when they came to the table; what this one finds out stays there. Sinks that look at
  // `mark` agree on its meaning.
  virtual void onMarkedField(std::string_view name, std::string_view value, FieldMark& /*mark*/) {
    onField(name, value, false);
  }

 protected:
  ~HpackSink() = default;
};

// One I/O thread owns it: one for each connection and direction.
class HpackDecoder {
 public:
  // Bytes of names and values that are read of one block: eight times the largest head that can be
  // allowed. A byte may stand for a whole table; whoever sends a bomb shall not have it counted.
  static constexpr std::size_t kMostDecoded = 512 * 1024;

  // Two that are equal are of a table that has not changed in between, unless more than 2^32 fields
  // were inserted.
  struct TableState {
    std::uint32_t inserted;
    std::uint32_t count;
    std::uint32_t limit;
    bool operator==(const TableState&) const = default;
  };

  // `tableBytes`: SETTINGS_HEADER_TABLE_SIZE as announced.
  explicit HpackDecoder(std::size_t tableBytes = kDefaultTableBytes) : table_(tableBytes) {}

  // A whole block. `room`: for what is decoded of one field; huffmanRoom() of the block is enough
  // for any. Anything but None means that the connection is of no use any more.
  HpackError decode(std::span<const std::uint8_t> block, std::span<char> room, HpackSink& sink);
  TableState tableState() const {
    return {table_.inserted(), table_.count(), static_cast<std::uint32_t>(table_.limit())};
  }

 private:
  FieldMark* find(std::uint32_t index, HpackField& field, FieldMark& fixed);

  DynamicTable table_;
};

}  // namespace tidegate::http2
