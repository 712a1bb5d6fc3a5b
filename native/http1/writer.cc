// Head writing is copying into one reserved range whose size is computed first, so that no byte is
// checked twice. Lines of the head that came in are copied together where they stand there as they
// are to be written.
#include "http1/writer.h"

#include <array>
#include <charconv>
#include <cstring>

#include "base/short_text.h"

namespace tidegate::http1 {

namespace {

// What a head needs besides its fields: the line's fixed parts, framing and connection fields.
constexpr std::size_t kHeadOverhead = 192;
constexpr std::size_t kFieldOverhead = 4;  // ": " and CRLF

// A value, so that what is written next stays in a register.
class Cursor {
 public:
  explicit Cursor(char* at) : begin_(at), at_(at) {}

  void put(std::string_view text) { at_ = copyText(at_, text); }
  // 100 to 999.
  void putStatus(std::uint16_t status) {
    const unsigned rest = status % 100U;
    at_[0] = static_cast<char>('0' + status / 100U);
    at_[1] = static_cast<char>('0' + rest / 10);
    at_[2] = static_cast<char>('0' + rest % 10);
    at_ += 3;
  }
  void put(std::uint64_t number) { at_ = std::to_chars(at_, at_ + 20, number).ptr; }
  void field(std::string_view name, std::string_view value) {
    put(name);
    put(": ");
    line(value);
  }
  void line(std::string_view text) {
    put(text);
    put("\r\n");
  }
  std::size_t written() const { return static_cast<std::size_t>(at_ - begin_); }

 private:
  char* begin_;
  char* at_;
};

bool isSent(const Field& f) {
  constexpr FieldIds kOwn = bitOf(FieldId::ContentLength) | bitOf(FieldId::Host);
  return !f.hopByHop && !f.dropped && (kOwn & bitOf(f.id)) == 0;
}

bool standsAt(const char* at, std::string_view two) { return std::memcmp(at, two.data(), 2) == 0; }

std::size_t sizeOf(const OutgoingFields& fields) {
  std::size_t count = fields.extra.size();
  std::size_t size = 0;
  if (fields.source != nullptr) {
    // Less than 2^32: a head has kMaxFields fields of kMaxHeadBytes each at most.
    std::uint32_t bytes = 0;
    for (const Field& f : fields.source->fields()) bytes += f.name.length + f.value.length;
    count += fields.source->fields().size();
    size = bytes;
  }
  for (const OutgoingField& f : fields.extra) size += f.name.size() + f.value.size();
  return size + count * kFieldOverhead;
}

// The fields of a head that came in. A run is of lines which stand there one behind the other, each
// as a name, ": " and a value: it is copied whole.
Cursor putSource(Cursor cursor, const HeadFields& source) {
  const char* run = nullptr;
  const char* runEnd = nullptr;  // without the last line's CRLF, which may not stand there
  for (const Field& f : source.fields()) {
    if (!isSent(f)) continue;
    const char* const name = source.base() + f.name.offset;
    const char* const nameEnd = name + f.name.length;
    const char* const value = source.base() + f.value.offset;
    const char* const valueEnd = value + f.value.length;
    const bool whole = value == nameEnd + 2 && standsAt(nameEnd, ": ");
    if (whole && run != nullptr && name == runEnd + 2 && standsAt(runEnd, "\r\n")) {
      runEnd = valueEnd;
      continue;
    }
    if (run != nullptr) cursor.line({run, static_cast<std::size_t>(runEnd - run)});
    run = whole ? name : nullptr;
    runEnd = valueEnd;
    if (!whole) cursor.field(source.name(f), source.value(f));
  }
  if (run != nullptr) cursor.line({run, static_cast<std::size_t>(runEnd - run)});
  return cursor;
}

Cursor putFields(Cursor cursor, const OutgoingFields& fields) {
  if (fields.source != nullptr) cursor = putSource(cursor, *fields.source);
  for (const OutgoingField& f : fields.extra) cursor.field(f.name, f.value);
  return cursor;
}

}  // namespace

void writeRequestHead(Output& out, BufferPool& pool, const OutgoingRequest& head) {
  const std::size_t size = kHeadOverhead + head.method.size() + head.path.size() +
                           head.query.size() + head.host.size() + head.upgrade.size() +
                           sizeOf(head.fields);
  Cursor cursor(out.reserve(pool, size));
  cursor.put(head.method);
  cursor.put(" ");
  cursor.put(head.path);
  if (head.hasQuery) {
    cursor.put("?");
    cursor.put(head.query);
  }
  cursor.put(" HTTP/1.1\r\n");
  cursor.field("Host", head.host);
  cursor = putFields(cursor, head.fields);
  if (head.body == BodyKind::Length) {
    cursor.put("Content-Length: ");
    cursor.put(head.contentLength);
    cursor.put("\r\n");
  } else if (head.body == BodyKind::Chunked) {
    cursor.put("Transfer-Encoding: chunked\r\n");
  }
  if (!head.upgrade.empty()) {
    cursor.put("Connection: upgrade\r\n");
    cursor.field("Upgrade", head.upgrade);
  } else if (head.teTrailers) {
    cursor.put("TE: trailers\r\nConnection: TE\r\n");
  }
  cursor.put("\r\n");
  out.commit(cursor.written());
}

void writeResponseHead(Output& out, BufferPool& pool, const OutgoingResponse& head,
                       const ResponseFraming& framing) {
  const std::string_view reason = head.reason.empty() ? statusPhrase(head.status) : head.reason;
  const std::size_t size =
      kHeadOverhead + reason.size() + head.upgrade.size() + sizeOf(head.fields);
  Cursor cursor(out.reserve(pool, size));
  cursor.put("HTTP/1.1 ");
  cursor.putStatus(head.status);
  cursor.put(" ");
  cursor.line(reason);
  cursor = putFields(cursor, head.fields);
  if (framing.contentLength) {
    cursor.put("Content-Length: ");
    cursor.put(framing.length);
    cursor.put("\r\n");
  } else if (framing.chunked) {
    cursor.put("Transfer-Encoding: chunked\r\n");
  }
  if (!head.upgrade.empty()) {
    cursor.put("Connection: upgrade\r\n");
    cursor.field("Upgrade", head.upgrade);
  } else if (framing.close) {
    cursor.put("Connection: close\r\n");
  } else if (framing.keepAlive) {
    cursor.put("Connection: keep-alive\r\n");
  }
  cursor.put("\r\n");
  out.commit(cursor.written());
}

void writeChunk(Output& out, BufferPool& pool, std::string_view data) {
  if (data.empty()) return;
  std::array<char, 18> size{};
  char* end = std::to_chars(size.data(), size.data() + 16, data.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(pool, {size.data(), static_cast<std::size_t>(end - size.data())});
  out.appendBorrowed(pool, data);
  out.append(pool, "\r\n");
}

void writeLastChunk(Output& out, BufferPool& pool, const HeadFields* trailers) {
  if (trailers == nullptr) {
    out.append(pool, "0\r\n\r\n");
    return;
  }
  const OutgoingFields fields{trailers, {}};
  Cursor cursor(out.reserve(pool, kHeadOverhead + sizeOf(fields)));
  cursor.put("0\r\n");
  cursor = putFields(cursor, fields);
  cursor.put("\r\n");
  out.commit(cursor.written());
}

std::string_view statusPhrase(std::uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 203:
      return "Non-Authoritative Information";
    case 204:
      return "No Content";
    case 205:
      return "Reset Content";
    case 206:
      return "Partial Content";
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 418:
      return "I'm a Teapot";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    case 511:
      return "Network Authentication Required";
    default:
      return "Unknown";
  }
}

}  // namespace tidegate::http1
