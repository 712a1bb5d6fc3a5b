// The message model that codecs produce and the exchange consumes: heads as offsets into one block
// of bytes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "http/field_id.h"

namespace tidegate {

// A range of a head's bytes. Offsets and not pointers, so that a head can be moved to other memory
// by copying its bytes and changing one base pointer.
struct Slice {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;

  bool empty() const { return length == 0; }
};

struct Field {
  Slice name;
  Slice value;  // without surrounding white space (RFC 9112 5.1)
  FieldId id = FieldId::Other;
  // Named by the Connection field: meant for this hop only (RFC 9110 7.6.1).
  bool hopByHop = false;
  // Left out when the head is sent on; set by whoever edits the head.
  bool dropped = false;
  // To be kept out of the tables of HPACK also when it is sent on (RFC 7541 7.1.3).
  bool neverIndexed = false;
};

// What limits.headerCount may be at most; a head's table has exactly this many places.
inline constexpr std::size_t kMaxFields = 256;

// What limits.headerBytes may be at most, in bytes.
inline constexpr std::size_t kMaxHeadBytes = 64 * 1024;

enum class Method : std::uint8_t {
  Other,
  Get,
  Head,
  Post,
  Put,
  Delete,
  Patch,
  Options,
  Trace,
  Connect
};

Method methodOf(std::string_view token);

// RFC 9110 9.2.2: sending it twice has the effect of sending it once.
constexpr bool isIdempotent(Method m) {
  return m == Method::Get || m == Method::Head || m == Method::Put || m == Method::Delete ||
         m == Method::Options || m == Method::Trace;
}

// RFC 9110 8.6: a request of these methods says that it has no content.
constexpr bool expectsBody(Method m) {
  return m == Method::Post || m == Method::Put || m == Method::Patch;
}

// How a message's body is delimited on the wire (RFC 9112 6.3).
enum class BodyKind : std::uint8_t {
  None,        // no body follows the head
  Length,      // exactly `contentLength` bytes
  Chunked,     // chunked transfer coding is the final and only coding
  UntilClose,  // responses only: until the peer closes
};

// Whether bytes follow the head: `Content-Length: 0` is a body of none.
constexpr bool hasBody(BodyKind kind, std::uint64_t contentLength) {
  return kind != BodyKind::None && (kind != BodyKind::Length || contentLength > 0);
}

// The fields of a head, over a table and bytes that others own. The views that the accessors return
// live as long as the bytes at base(). What a field is, its id, does not change once it is added.
class HeadFields {
 public:
  // An empty head with room for as many fields as the table has places. The table outlives it.
  explicit HeadFields(std::span<Field> table) : table_(table.data()), capacity_(table.size()) {}
  HeadFields(const HeadFields&) = delete;
  HeadFields& operator=(const HeadFields&) = delete;

  const char* base() const { return base_; }
  // The caller promises that the same bytes stand at `base` from now on.
  void rebase(const char* base) { base_ = base; }

  std::string_view view(Slice s) const { return {base_ + s.offset, s.length}; }
  std::span<const Field> fields() const { return {table_, count_}; }
  std::span<Field> fields() { return {table_, count_}; }
  std::string_view name(const Field& f) const { return view(f.name); }
  std::string_view value(const Field& f) const { return view(f.value); }

  // Whether there is a field of any of those ids.
  bool has(FieldIds ids) const { return (ids_ & ids) != 0; }

  // The first field of that id; nullptr when there is none.
  const Field* find(FieldId id) const {
    if (!has(bitOf(id))) return nullptr;
    for (const Field& f : fields()) {
      if (f.id == id) return &f;
    }
    return nullptr;
  }

  void clear() {
    count_ = 0;
    ids_ = 0;
  }
  // False when the table is full.
  bool add(const Field& f) {
    if (count_ == capacity_) return false;
    table_[count_++] = f;
    ids_ |= bitOf(f.id);
    return true;
  }

  // Takes out the fields for which `unwanted(field)` is true.
  template <typename Predicate>
  void removeIf(Predicate&& unwanted) {
    count_ = static_cast<std::size_t>(
        std::remove_if(table_, table_ + count_, std::forward<Predicate>(unwanted)) - table_);
    ids_ = 0;
    for (const Field& f : fields()) ids_ |= bitOf(f.id);
  }

  // Becomes a copy of `other` in the memory given: a table of at least as many places as `other`
  // has fields, and the bytes of `other`, copied to `base` already.
  void assign(const HeadFields& other, Field* table, const char* base) {
    table_ = table;
    capacity_ = count_ = other.count_;
    ids_ = other.ids_;
    base_ = base;
    std::copy_n(other.table_, other.count_, table_);
  }

 private:
  const char* base_ = nullptr;
  Field* table_;
  std::size_t count_ = 0;
  std::size_t capacity_;
  FieldIds ids_ = 0;  // of all fields
};

// Fields with a table of their own, of the largest size. Not for each exchange: five KiB.
class FieldTable : public HeadFields {
 public:
  FieldTable() : HeadFields(places_) {}

 private:
  // Not cleared: HeadFields knows how many are in use.
  union {
    std::array<Field, kMaxFields> places_;
  };
};

// Everything of a request head but its table of fields.
struct RequestLine {
  Method method = Method::Other;
  Slice methodToken;
  Slice target;     // as sent
  Slice host;       // authority without port: of an absolute target, else of Host; empty only for
                    // HTTP/1.0 without Host
  Slice authority;  // as sent, with port
  Slice path;       // begins with "/", as sent, before normalisation; "*" for OPTIONS *
  Slice query;      // without "?"; see hasQuery
  bool hasQuery = false;
  // OPTIONS about the server as a whole: "*", or an absolute target without path and query, for
  // which `path` is "/" though "*" is to be sent on (RFC 9112 3.2.4).
  bool serverWide = false;
  std::uint8_t minorVersion = 1;  // HTTP/1.x; 1 for later versions
  std::uint8_t majorVersion = 1;
  BodyKind body = BodyKind::None;
  std::uint64_t contentLength = 0;
  bool keepAlive = true;  // what this message says of its connection (RFC 9112 9.3)
  bool expectContinue = false;
  bool upgrade = false;     // Connection names Upgrade, an Upgrade field is there, and HTTP/1.1
  bool teTrailers = false;  // TE: trailers
};

struct RequestHead : FieldTable {
  RequestLine line;
  std::uint32_t size = 0;  // bytes of the head, its last CRLF included
};

struct StatusLine {
  std::uint16_t status = 0;  // 100..999
  Slice reason;
  std::uint8_t minorVersion = 1;
  std::uint8_t majorVersion = 1;
  BodyKind body = BodyKind::None;
  std::uint64_t contentLength = 0;
  // A Content-Length field stood in the head, also where no body follows (HEAD, 304).
  bool hasContentLength = false;
  bool keepAlive = true;
  bool upgrade = false;  // 101 with Upgrade and Connection: upgrade
};

struct ResponseHead : FieldTable {
  StatusLine line;
  std::uint32_t size = 0;
};

}  // namespace tidegate
