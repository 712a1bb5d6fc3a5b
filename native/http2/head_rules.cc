// Order of this file: fields, requests, responses, trailers.
#include "http2/head_rules.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/ascii.h"
#include "base/byte_set.h"
#include "base/random.h"
#include "base/short_text.h"
#include "http1/scan.h"

namespace tidegate::http2 {

namespace {

using http1::ParseError;

// What a field counts for beside its texts: ": " and CRLF, as an HTTP/1 head would have them, so
// that the limits mean the same for both.
constexpr std::size_t kFieldOverhead = 4;

constexpr std::size_t kMaxMethodBytes = 32;

constexpr std::uint8_t kMethod = 1;
constexpr std::uint8_t kScheme = 2;
constexpr std::uint8_t kAuthority = 4;
constexpr std::uint8_t kPath = 8;
constexpr std::uint8_t kProtocol = 16;

// RFC 9113 8.2.2. TE has a rule of its own.
constexpr std::uint64_t kConnectionFields =
    bitOf(FieldId::Connection) | bitOf(FieldId::KeepAlive) | bitOf(FieldId::ProxyConnection) |
    bitOf(FieldId::TransferEncoding) | bitOf(FieldId::Upgrade);

// Those, and others that have rules of their own.
constexpr std::uint64_t kRuledFields =
    kConnectionFields | bitOf(FieldId::Te) | bitOf(FieldId::Cookie);

constexpr ByteSet kNameBytes = ByteSet("!#$%&'*+-.^_`|~").with('a', 'z').with('0', '9');

bool isName(std::string_view text) { return !text.empty() && kNameBytes.holds(text); }

bool isSpace(char c) { return c == ' ' || c == '\t'; }

bool isValue(std::string_view text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (text.empty()) return true;
  return !isSpace(text.front()) && !isSpace(text.back()) &&
         http1::scanValue(begin, begin, end) == end;
}

// RFC 6455 4.1: 16 random bytes in base64.
std::array<char, 24> webSocketKey() {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<unsigned char, 18> bytes{};
  fillRandom(std::as_writable_bytes(std::span(bytes).first<16>()));
  std::array<char, 24> key{};
  for (std::size_t i = 0; i < bytes.size() / 3; ++i) {
    const unsigned word = bytes[3 * i] << 16U | bytes[3 * i + 1] << 8U | bytes[3 * i + 2];
    for (std::size_t digit = 0; digit < 4; ++digit)
      key[4 * i + digit] = kDigits[word >> (18 - 6 * digit) & 63];
  }
  key[22] = key[23] = '=';
  return key;
}

}  // namespace

// Fields

FieldCollector::FieldCollector(HeadFields& head, std::span<char> room,
                               const http1::HeadLimits& limits, std::uint64_t noted)
    : head_(head),
      base_(room.data()),
      bytesLeft_(limits.headBytes),
      maxFields_(std::min(limits.fieldCount, static_cast<std::uint32_t>(kMaxFields))),
      noted_(noted) {
  head_.clear();
  head_.rebase(base_);
}

void FieldCollector::fail(HeadFault fault) {
  if (fault_ == HeadFault::None) fault_ = fault;
}

inline Slice FieldCollector::put(std::string_view text) {
  copyText(base_ + size_, text);
  const Slice slice{size_, static_cast<std::uint32_t>(text.size())};
  size_ += slice.length;
  return slice;
}

inline bool FieldCollector::charge(std::string_view name, std::string_view value) {
  const std::size_t bytes = name.size() + value.size() + kFieldOverhead;
  if (bytes > bytesLeft_) {
    fail(HeadFault::HeadTooLarge);
    return false;
  }
  bytesLeft_ -= static_cast<std::uint32_t>(bytes);
  return true;
}

void FieldCollector::add(std::string_view name, std::string_view value, FieldMark& mark) {
  regular_ = true;
  if (!mark.goodName) {
    if (!isName(name)) return fail(HeadFault::BadName);
    mark.id = fieldIdOf(name);
    mark.goodName = true;
  }
  if (!mark.goodValue) {
    if (!isValue(value)) return fail(HeadFault::BadValue);
    mark.goodValue = true;
  }
  if (!charge(name, value)) return;
  Field field;
  field.id = mark.id;
  const std::uint64_t bit = bitOf(field.id);
  if (((noted_ | kRuledFields) & bit) != 0) {
    if (const HeadFault fault = note(field.id, value); fault != HeadFault::None) return fail(fault);
  }
  field.name = put(name);
  field.value = put(value);
  field.hopByHop = (http1::kHopByHopFields & bit) != 0;
  field.neverIndexed = neverIndexed_;
  if (head_.fields().size() == maxFields_ || !head_.add(field)) fail(HeadFault::TooManyFields);
}

HeadFault FieldCollector::note(FieldId id, std::string_view value) {
  const std::uint64_t bit = bitOf(id);
  if ((kConnectionFields & bit) != 0) return HeadFault::ConnectionField;
  if (id == FieldId::Te && !equalsIgnoreCase(value, "trailers")) return HeadFault::BadTe;
  if (id == FieldId::Cookie) ++cookies_;
  if ((noted_ & bit) == 0) return HeadFault::None;
  const ParseError error = http1::noteField(id, value, facts_);
  if (error == ParseError::BadExpect) return HeadFault::BadExpect;
  return error == ParseError::None ? HeadFault::None : HeadFault::BadContentLength;
}

void FieldCollector::addOwn(std::string_view name, Slice value) {
  Field field;
  field.name = put(name);
  field.value = value;
  field.id = fieldIdOf(name);
  field.hopByHop = (http1::kHopByHopFields & bitOf(field.id)) != 0;
  if (!head_.add(field)) fail(HeadFault::TooManyFields);
}

// RFC 9113 8.2.3: the crumbs become one field, in the place of the first.
void FieldCollector::joinCookies() {
  if (cookies_ < 2) return;
  Slice joined{size_, 0};
  for (const Field& field : head_.fields()) {
    if (field.id != FieldId::Cookie) continue;
    if (size_ > joined.offset) put("; ");
    put(head_.value(field));
  }
  joined.length = size_ - joined.offset;
  bool first = true;
  head_.removeIf([&](Field& field) {
    if (field.id != FieldId::Cookie) return false;
    if (!first) return true;
    first = false;
    field.value = joined;
    return false;
  });
}

// Requests

RequestCollector::RequestCollector(RequestHead& head, std::span<char> room,
                                   const http1::HeadLimits& limits)
    : FieldCollector(head, room, limits, http1::kRequestFacts),
      request_(head),
      lineBytes_(limits.lineBytes) {
  head.line = RequestLine();
  head.line.majorVersion = 2;
  head.size = 0;
}

void RequestCollector::onMarkedField(std::string_view name, std::string_view value,
                                     FieldMark& mark) {
  if (failed()) return;
  if (name.starts_with(':')) {
    onPseudoField(name, value);
    return;
  }
  add(name, value, mark);
  if (failed()) return;
  const Field& added = head_.fields().back();
  if (added.id == FieldId::Host) onHost(added.value);
}

void RequestCollector::onPseudoField(std::string_view name, std::string_view value) {
  std::uint8_t bit = 0;
  if (name == ":method") {
    bit = kMethod;
  } else if (name == ":scheme") {
    bit = kScheme;
  } else if (name == ":authority") {
    bit = kAuthority;
  } else if (name == ":path") {
    bit = kPath;
  } else if (name == ":protocol") {
    bit = kProtocol;
  }
  if (bit == 0 || (seen_ & bit) != 0 || regular_) return fail(HeadFault::BadPseudoField);
  seen_ |= bit;
  RequestLine& line = request_.line;
  if (bit == kPath && value.size() > lineBytes_) return fail(HeadFault::TargetTooLong);
  if (!charge(name, value)) return;
  switch (bit) {
    case kMethod:
      if (value.size() > kMaxMethodBytes || value.empty() ||
          http1::scanName(value.data(), value.data(), value.data() + value.size()) !=
              value.data() + value.size())
        return fail(HeadFault::BadMethod);
      line.method = methodOf(value);
      line.methodToken = put(value);
      break;
    case kScheme:
      if (value != "http" && value != "https") return fail(HeadFault::BadScheme);
      host_.defaultPort = value == "http" ? 80 : 443;
      break;
    case kAuthority:
      onAuthority(value);
      break;
    case kPath:
      onTarget(value);
      break;
    default:
      webSocket_ = equalsIgnoreCase(value, "websocket");
      break;
  }
}

void RequestCollector::onTarget(std::string_view value) {
  const bool origin = value.starts_with('/');
  if (!origin && value != "*") return fail(HeadFault::BadTarget);
  request_.line.target = put(value);
  const char* const begin = base_ + request_.line.target.offset;
  const char* const end = begin + value.size();
  if (http1::scanTarget(base_, begin, end) != end) fail(HeadFault::BadTarget);
}

void RequestCollector::onAuthority(std::string_view value) {
  const Slice slice = put(value);
  if (http1::parseAuthority(base_, head_.view(slice), host_.authority)) {
    request_.line.authority = slice;
    const auto offset = static_cast<std::uint32_t>(host_.authority.host.data() - base_);
    request_.line.host = {offset, static_cast<std::uint32_t>(host_.authority.host.size())};
  } else {
    fail(HeadFault::BadAuthority);
  }
}

void RequestCollector::onHost(Slice value) {
  if (hasHost_) return fail(HeadFault::BadAuthority);
  hasHost_ = true;
  switch (http1::applyHost(base_, value, host_, request_.line)) {
    case ParseError::None:
      break;
    case ParseError::HostMismatch:
      fail(HeadFault::HostMismatch);
      break;
    default:
      fail(HeadFault::BadAuthority);
      break;
  }
}

HeadFault RequestCollector::finishConnect(bool endStream) {
  // RFC 9113 8.5 and RFC 8441 4.
  constexpr std::uint8_t kExtended = kMethod | kScheme | kAuthority | kPath | kProtocol;
  if (seen_ == (kMethod | kAuthority)) return HeadFault::ConnectRefused;
  if (seen_ != kExtended) {
    const bool extended = (seen_ & kProtocol) != 0;
    return extended || (seen_ & kAuthority) == 0 ? HeadFault::MissingPseudoField
                                                 : HeadFault::BadPseudoField;
  }
  if (!webSocket_) return HeadFault::ConnectRefused;
  if (endStream || facts_.hasLength) return HeadFault::LengthMismatch;
  RequestLine& line = request_.line;
  line.method = Method::Get;
  line.methodToken = put("GET");
  line.upgrade = true;
  addOwn("upgrade", put("websocket"));
  const std::array<char, 24> key = webSocketKey();
  head_.removeIf([&](Field& field) { return head_.name(field) == "sec-websocket-key"; });
  addOwn("sec-websocket-key", put({key.data(), key.size()}));
  return fault_;
}

HeadFault RequestCollector::finishTarget() {
  RequestLine& line = request_.line;
  const std::string_view target = head_.view(line.target);
  const char* const query = http1::scanPath(base_, target.data(), target.data() + target.size());
  http1::TargetHost none;
  if (http1::parseTarget(base_, query, line, none) != ParseError::None) return HeadFault::BadTarget;
  return HeadFault::None;
}

HeadFault RequestCollector::finish(bool endStream) {
  if (failed()) return fault_;
  RequestLine& line = request_.line;
  if ((seen_ & kMethod) == 0) return HeadFault::MissingPseudoField;
  if (line.method == Method::Connect) {
    fault_ = finishConnect(endStream);
  } else if ((seen_ & kProtocol) != 0) {
    fault_ = HeadFault::BadPseudoField;
  } else if ((seen_ & kScheme) == 0 || (seen_ & kPath) == 0 ||
             ((seen_ & kAuthority) == 0 && !hasHost_)) {
    fault_ = HeadFault::MissingPseudoField;
  }
  if (failed()) return fault_;
  if (const HeadFault fault = finishTarget(); fault != HeadFault::None) return fault;
  if (facts_.hasLength) {
    if (endStream && facts_.contentLength > 0) return HeadFault::LengthMismatch;
    line.body = BodyKind::Length;
    line.contentLength = facts_.contentLength;
  } else if (!endStream && !line.upgrade) {
    line.body = BodyKind::Chunked;
  } else if (expectsBody(line.method)) {
    // RFC 9110 8.6: said, where HTTP/1 expects it.
    line.body = BodyKind::Length;
  }
  line.expectContinue = facts_.expectContinue && !endStream;
  line.teTrailers = facts_.teTrailers;
  joinCookies();
  // Whoever asks for Host finds it.
  if (!hasHost_) addOwn("host", line.authority);
  request_.size = size_;
  return fault_;
}

// Responses

ResponseCollector::ResponseCollector(ResponseHead& head, std::span<char> room,
                                     const http1::HeadLimits& limits)
    : FieldCollector(head, room, limits, http1::kResponseFacts), response_(head) {
  head.line = StatusLine();
  head.line.majorVersion = 2;
  head.size = 0;
}

void ResponseCollector::onMarkedField(std::string_view name, std::string_view value,
                                      FieldMark& mark) {
  if (failed()) return;
  if (!name.starts_with(':')) {
    add(name, value, mark);
    return;
  }
  std::uint16_t& status = response_.line.status;
  if (name != ":status" || status != 0 || regular_) return fail(HeadFault::BadPseudoField);
  if (value.size() != 3 || !std::ranges::all_of(value, isDigit)) return fail(HeadFault::BadStatus);
  if (!charge(name, value)) return;
  status =
      static_cast<std::uint16_t>((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
  // RFC 9113 8.6: HTTP/2 does not switch protocols.
  if (status < 100 || status > 599 || status == 101) fail(HeadFault::BadStatus);
}

HeadFault ResponseCollector::finish(bool endStream, Method requestMethod) {
  if (failed()) return fault_;
  StatusLine& line = response_.line;
  if (line.status == 0) return HeadFault::MissingPseudoField;
  if (line.status < 200 && endStream) return HeadFault::BadStatus;
  const bool noContent = line.status < 200 || line.status == 204;
  if (noContent && facts_.contentLength > 0) return HeadFault::LengthMismatch;
  line.hasContentLength = facts_.hasLength;
  line.contentLength = facts_.contentLength;
  if (noContent || line.status == 304 || requestMethod == Method::Head) {
    line.body = BodyKind::None;
  } else if (facts_.hasLength) {
    if (endStream && facts_.contentLength > 0) return HeadFault::LengthMismatch;
    line.body = BodyKind::Length;
  } else {
    line.body = endStream ? BodyKind::Length : BodyKind::Chunked;
  }
  response_.size = size_;
  return HeadFault::None;
}

// Trailers

TrailerCollector::TrailerCollector(HeadFields& fields, std::span<char> room,
                                   const http1::HeadLimits& limits)
    : FieldCollector(fields, room, limits, http1::kResponseFacts) {}

void TrailerCollector::onMarkedField(std::string_view name, std::string_view value,
                                     FieldMark& mark) {
  if (failed()) return;
  if (name.starts_with(':')) return fail(HeadFault::BadPseudoField);
  add(name, value, mark);
  if (failed()) return;
  const Field& added = head_.fields().back();
  if (!http1::isTrailerAllowed(added.id, name)) fail(HeadFault::BadTrailer);
}

}  // namespace tidegate::http2
