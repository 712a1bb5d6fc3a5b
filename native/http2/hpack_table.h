// The two tables of HPACK (RFC 7541 2.3): fields that are sent as their index.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/field_id.h"

namespace tidegate::http2 {

struct HpackField {
  std::string_view name;
  std::string_view value;
};

// What the reader of a field's texts has found out about them. It stays with the table's entry, so
// that what comes again need not be looked at again.
struct alignas(4) FieldMark {
  FieldId id = FieldId::Other;  // where goodName
  bool goodName = false;
  bool goodValue = false;
};

inline constexpr std::uint32_t kStaticFields = 61;

// SETTINGS_HEADER_TABLE_SIZE before either side has said anything, and what this side asks for.
inline constexpr std::size_t kDefaultTableBytes = 4096;

// RFC 7541 Appendix A, from index 1 on.
inline constexpr std::array<HpackField, kStaticFields> kStaticTable = {{
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
}};

// `index`: 1..kStaticFields.
constexpr const HpackField& staticField(std::uint32_t index) { return kStaticTable[index - 1]; }

// What has been sent on a connection in one direction. One I/O thread owns it. Its memory grows
// with what is in it, to little more than twice the capacity; none before the first entry.
class DynamicTable {
 public:
  // RFC 7541 4.1: what an entry counts for beside its texts.
  static constexpr std::size_t kOverhead = 32;

  // `capacity`: what limit() may set at most, in bytes; below 64 KiB.
  explicit DynamicTable(std::size_t capacity) : capacity_(capacity), limit_(capacity) {
    assert(capacity <= UINT16_MAX);
  }

  std::size_t capacity() const { return capacity_; }
  std::size_t limit() const { return limit_; }
  std::uint32_t count() const { return count_; }
  // Of the entries, overheads included.
  std::size_t size() const { return size_; }
  // Of all that were ever inserted; wraps.
  std::uint32_t inserted() const { return inserted_; }

  // Drops what is beyond it, oldest first. At most the capacity.
  void setLimit(std::size_t bytes);
  // Drops everything and gives its memory back.
  void clear();
  // 0 is the newest; below count(). Valid until the next insert().
  HpackField at(std::uint32_t age) const {
    const Entry& found = entry(age);
    const char* const text = texts_.get() + found.offset;
    return {{text, found.nameLength}, {text + found.nameLength, found.valueLength}};
  }
  // Of the same one.
  FieldMark& mark(std::uint32_t age) { return entry(age).mark; }
  // Makes room by dropping the oldest; one that is larger than the limit leaves the table empty
  // (RFC 7541 4.4). The texts may be those of an entry.
  void insert(std::string_view name, std::string_view value, FieldMark mark = {});

 private:
  struct Entry {
    std::uint32_t offset;
    std::uint16_t nameLength;
    std::uint16_t valueLength;
    FieldMark mark;
  };

  // The ring has a power of two of places.
  Entry& entry(std::uint32_t age) const { return entries_[(inserted_ - 1 - age) & (slots_ - 1)]; }
  void makeRoom(std::size_t texts);
  void growRing();
  void dropOldest();

  const std::size_t capacity_;
  std::size_t limit_;
  std::size_t size_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t inserted_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t room_ = 0;  // of texts_
  std::uint32_t end_ = 0;   // of the texts, which lie in the order of their entries
  std::unique_ptr<Entry[]> entries_;
  std::unique_ptr<char[]> texts_;
};

}  // namespace tidegate::http2
