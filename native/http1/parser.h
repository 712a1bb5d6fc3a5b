// The HTTP/1 head parser: pure. Bytes in; a complete head, "need more", or a named error out (RFC
// 9112).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "http/message.h"

namespace tidegate::http1 {

// Why a head or a chunk is refused. parseErrorText() has the sentence for each.
enum class ParseError : std::uint8_t {
  None,
  BadRequestLine,      // not `method SP target SP HTTP/1.x CRLF`
  BadMethod,           // not a token, or too long (32 bytes)
  BadTarget,           // form not allowed for the method, control or non-ASCII bytes, fragment
  TargetTooLong,       // 414
  BadVersion,          // not HTTP/d.d
  UnsupportedVersion,  // 505: HTTP/d.d with another major version than 1
  BadStatusLine,       // not `HTTP/1.x SP 100..599 [SP reason] CRLF`
  BadHeaderName,       // not a token, empty, or white space before the colon
  BadHeaderValue,      // NUL, bare CR, other control characters but HTAB
  BareLineFeed,        // LF without CR
  BareCarriageReturn,  // CR without LF
  FoldedLine,          // obs-fold (RFC 9112 5.2)
  HeadTooLarge,        // 431
  TooManyHeaders,      // 431
  BadContentLength,    // not digits, over 2^63 - 1, empty
  ConflictingLength,   // repeated Content-Length (even equal ones), list value
  LengthWithTransferCoding,  // CL with TE
  BadTransferCoding,  // chunked is not last, not alone of its kind, or in two fields; in HTTP/1.0
                      // any coding
  UnsupportedTransferCoding,  // 501: other codings before one chunked (gzip, chunked)
  BodyNotAllowed,  // Transfer-Encoding, or a Content-Length above 0, in a 1xx or 204 response
  MissingHost,     // HTTP/1.1 without Host
  RepeatedHost,
  BadHost,         // empty or not uri-host [":" port]
  HostMismatch,    // Host differs from an absolute target's authority
  ConnectRefused,  // 501 or 405: the method CONNECT
  BadConnection,   // not a list of tokens, over 32 names, or a field that must reach all recipients
                   // (Host, Cookie ...)
  BadExpect,       // 417: an expectation other than 100-continue
  BadChunkSize,    // not hex, over 16 digits or 2^63 - 1, empty
  BadChunkExtension,  // not `;name[=value]` without white space, or over the bound
  BadChunkEnd,        // no CRLF after chunk data
  BadTrailer,         // malformed or forbidden trailer field (framing, routing, Host ...)
  TrailersTooLarge,   // 431 for requests
};

std::string_view parseErrorText(ParseError error);

// The status that a client gets for it: 400, 414, 417, 431, 501 or 505 (upstream errors are all
// 502).
std::uint16_t parseErrorStatus(ParseError error);

struct HeadLimits {
  std::uint32_t lineBytes = 8 * 1024;   // request or status line without CRLF
  std::uint32_t headBytes = 16 * 1024;  // whole head, the empty line included; <= kMaxHeadBytes
  std::uint32_t fieldCount = 100;       // <= kMaxFields
};

enum class ParseStatus : std::uint8_t { Complete, NeedMore, Error };

struct ParseOutcome {
  ParseStatus status = ParseStatus::NeedMore;
  ParseError error = ParseError::None;
};

// Parses the head at the start of `bytes`; on Complete `head.size` bytes were used and head.base()
// == bytes.data(). One or more empty lines (CRLF) before a request line are skipped and count in
// head.size (at most 4; RFC 9112 2.2). Stateless: on NeedMore call again with more bytes from the
// same start. Errors are found as early as the bytes show them, limits included (a line that is too
// long is refused before its end is seen). Never allocates.
ParseOutcome parseRequestHead(std::string_view bytes, const HeadLimits& limits, RequestHead& head);

// `requestMethod` decides whether a body follows (HEAD; RFC 9112 6.3). CONNECT is never sent
// upstream.
ParseOutcome parseResponseHead(std::string_view bytes, const HeadLimits& limits,
                               Method requestMethod, ResponseHead& head);

// Decodes the chunked transfer coding incrementally (RFC 9112 7.1). One per message; keeps no bytes
// of its own.
class ChunkedDecoder {
 public:
  // The bounds on the extensions of one chunk, and on the trailer section without its empty line.
  static constexpr std::uint32_t kMaxLineBytes = 256;
  static constexpr std::uint32_t kMaxTrailerBytes = 8 * 1024;

  enum class Status : std::uint8_t {
    Data,      // `data` holds body bytes (never empty); call again with what follows `consumed`
    NeedMore,  // all of `input` was consumed, unless it is in the trailer section: see `consumed`
    Done,  // the last chunk and the trailer section are complete; bytes after `consumed` are the
           // next message's
    Error,
  };

  struct Step {
    Status status = Status::NeedMore;
    ParseError error = ParseError::None;
    std::size_t consumed = 0;
    std::string_view data;  // a part of `input`
  };

  // Never reads past `input`. In the trailer section NeedMore consumes nothing until the section is
  // complete: the caller keeps the bytes and calls again with more (bounded by kMaxTrailerBytes).
  Step decode(std::string_view input);

  // After Done: the raw trailer section without its empty line, over the input of that decode().
  bool hasTrailers() const { return !trailers_.empty(); }
  std::string_view trailerSection() const { return trailers_; }

  // The fields of a trailerSection(); their base is the section, and `fields` has kMaxFields
  // places. Complete or Error: decode() has refused malformed sections and fields that may not
  // stand in a trailer (framing, routing, authentication ...; RFC 9110 6.5.1).
  static ParseOutcome parseTrailers(std::string_view section, HeadFields& fields);

  // Bytes known to remain of the current chunk; 0 between chunks.
  std::uint64_t remainingInChunk() const { return state_ == State::Data ? remaining_ : 0; }

  void reset() { *this = ChunkedDecoder(); }

 private:
  enum class State : std::uint8_t {
    Size,
    SizeDigits,
    ExtensionName,
    ExtensionValue,
    ExtensionQuoted,
    ExtensionEscape,
    ExtensionEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
  };

  ParseError onFramingByte(char c);
  ParseError onSizeByte(char c);
  ParseError onExtensionByte(char c);
  ParseError endExtension(char c);
  ParseOutcome passTrailers(const char*& p, const char* end);

  State state_ = State::Size;
  std::uint8_t digits_ = 0;
  std::uint16_t extensionBytes_ = 0;
  bool emptyPart_ = true;  // nothing yet of the extension's name or value
  std::uint64_t remaining_ = 0;
  std::string_view trailers_;
};

}  // namespace tidegate::http1
