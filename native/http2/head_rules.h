// What the fields of a block mean (RFC 9113 8.2 and 8.3), for both sides: they become the heads
// that the exchange knows, as an HTTP/1 parser would have left them, or are refused. Nothing that
// passes can be read in another way by an HTTP/1 peer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/message.h"
#include "http1/field_rules.h"
#include "http1/parser.h"
#include "http1/target.h"
#include "http2/hpack_decoder.h"

namespace tidegate::http2 {

// Why a head or a trailer section is refused.
enum class HeadFault : std::uint8_t {
  None,
  // Malformed (RFC 9113 8.1.1): a stream error.
  BadName,          // empty, not a token, or not in lower case
  BadValue,         // a control character, or white space around it
  ConnectionField,  // speaks for one connection: Connection, Transfer-Encoding ...
  BadTe,            // not "trailers"
  BadPseudoField,   // unknown, repeated, behind other fields, or not for such a message
  MissingPseudoField,
  BadMethod,         // not a token of at most 32 bytes
  BadScheme,         // not http or https
  BadTarget,         // neither "/..." nor, with OPTIONS, "*"; or a byte that may not stand there
  BadAuthority,      // of :authority or Host: not a host with or without a port, or repeated
  HostMismatch,      // Host differs from :authority
  BadContentLength,  // no number, or repeated
  LengthMismatch,    // a body is announced where there is none
  BadStatus,         // not 100..599, or 101
  BadTrailer,        // a field that may not stand in a trailer section
  // Well-formed, and not for us.
  TargetTooLong,
  HeadTooLarge,
  TooManyFields,
  BadExpect,
  ConnectRefused,  // CONNECT, but for the extended one that asks for a WebSocket (RFC 8441)
};

constexpr bool isMalformed(HeadFault fault) {
  return fault != HeadFault::None && fault < HeadFault::TargetTooLong;
}

// Room for the bytes of one head, whatever its limits are.
inline constexpr std::size_t kHeadRoom = 2 * kMaxHeadBytes + 1024;

// Checks the fields that are no pseudo-fields, and gathers them. Marks names and values that are
// good ones, whatever the kind of the message.
class FieldCollector : public HpackSink {
 public:
  void onField(std::string_view name, std::string_view value, bool neverIndexed) final {
    FieldMark unknown;
    neverIndexed_ = neverIndexed;
    onMarkedField(name, value, unknown);
    neverIndexed_ = false;
  }

 protected:
  // `room`: of kHeadRoom; the head's bytes stand there as long as it is in use. `noted`: a bit for
  // each field that noteField() is to read.
  FieldCollector(HeadFields& head, std::span<char> room, const http1::HeadLimits& limits,
                 std::uint64_t noted);

  void add(std::string_view name, std::string_view value, FieldMark& mark);
  // What a field says of its message; or what is wrong with that.
  HeadFault note(FieldId id, std::string_view value);
  // One of the gateway's own.
  void addOwn(std::string_view name, Slice value);
  Slice put(std::string_view text);
  // Takes what a field counts for off the limit. False when there is not enough.
  bool charge(std::string_view name, std::string_view value);
  void fail(HeadFault fault);
  bool failed() const { return fault_ != HeadFault::None; }
  void joinCookies();

  HeadFields& head_;
  char* const base_;
  std::uint32_t size_ = 0;
  std::uint32_t bytesLeft_;
  const std::uint32_t maxFields_;
  const std::uint64_t noted_;
  bool neverIndexed_ = false;  // the field that is looked at
  bool regular_ = false;       // a field that is no pseudo-field has come
  std::uint32_t cookies_ = 0;
  http1::FieldFacts facts_;
  HeadFault fault_ = HeadFault::None;
};

class RequestCollector final : public FieldCollector {
 public:
  RequestCollector(RequestHead& head, std::span<char> room, const http1::HeadLimits& limits);

  void onMarkedField(std::string_view name, std::string_view value, FieldMark& mark) override;

  // The block has ended. None: `head` is complete, over the room. A body of unknown length is
  // BodyKind::Chunked. An extended CONNECT for a WebSocket has become the GET with Upgrade that
  // HTTP/1 knows (RFC 6455), with a key of its own and without a body.
  HeadFault finish(bool endStream);

 private:
  void onPseudoField(std::string_view name, std::string_view value);
  void onTarget(std::string_view value);
  void onAuthority(std::string_view value);
  void onHost(Slice value);
  HeadFault finishConnect(bool endStream);
  HeadFault finishTarget();

  RequestHead& request_;
  const std::uint32_t lineBytes_;
  http1::TargetHost host_;
  std::uint8_t seen_ = 0;  // a bit for each pseudo-field
  bool hasHost_ = false;
  bool webSocket_ = false;
};

class ResponseCollector final : public FieldCollector {
 public:
  ResponseCollector(ResponseHead& head, std::span<char> room, const http1::HeadLimits& limits);

  void onMarkedField(std::string_view name, std::string_view value, FieldMark& mark) override;

  // As above. With `endStream` there is no body; otherwise a body without a length is
  // BodyKind::Chunked.
  HeadFault finish(bool endStream, Method requestMethod);

 private:
  ResponseHead& response_;
};

class TrailerCollector final : public FieldCollector {
 public:
  TrailerCollector(HeadFields& fields, std::span<char> room, const http1::HeadLimits& limits);

  void onMarkedField(std::string_view name, std::string_view value, FieldMark& mark) override;
  HeadFault finish() const { return fault_; }
};

}  // namespace tidegate::http2
