// What holds of the HTTP/1 parser for any bytes at all; shared by the mutation test and the fuzzer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http1/parser.h"

namespace tidegate::test {

// Collects the first promise that was broken, in words.
class Invariants {
 public:
  // Heads are cut at about `cuts` points.
  explicit Invariants(std::size_t cuts) : cuts_(cuts) {}

  const std::string& broken() const { return broken_; }

  void hold(bool condition, const char* promise) {
    if (!condition && broken_.empty()) broken_ = promise;
  }

  template <typename Parse, typename Head>
  void checkHead(std::string_view bytes, const http1::HeadLimits& limits, Parse parse, Head& head,
                 Head& other) {
    const http1::ParseOutcome outcome = parse(bytes, limits, head);
    hold(
        (outcome.status == http1::ParseStatus::Error) == (outcome.error != http1::ParseError::None),
        "an error has a reason, and nothing else has");
    if (outcome.status == http1::ParseStatus::Complete) {
      checkWhole(bytes, limits, head);
      checkLine(head);
    }
    const std::size_t stride = 1 + bytes.size() / cuts_;
    for (std::size_t length = 0; length < bytes.size(); length += stride) {
      // In memory of its own, where a sanitizer sees reads beyond it.
      const std::vector<char> copy(bytes.begin(),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const http1::ParseOutcome prefix = parse({copy.data(), copy.size()}, limits, other);
      switch (prefix.status) {
        case http1::ParseStatus::NeedMore:
          hold(outcome.status != http1::ParseStatus::Complete || length < head.size,
               "a head that is there is seen");
          break;
        case http1::ParseStatus::Error:
          hold(prefix.error == outcome.error, "an error does not change with more bytes");
          break;
        case http1::ParseStatus::Complete:
          hold(outcome.status == http1::ParseStatus::Complete && head.size == other.size &&
                   length >= head.size && sameFields(head, other),
               "a head does not change with more bytes");
          break;
      }
    }
  }

  void checkDecoder(std::string_view bytes) {
    const Decoded whole = decode(bytes, bytes.size());
    hold(whole.consumed <= bytes.size(), "a decoder consumes what is there");
    hold(whole.body.size() <= whole.consumed, "a body is not longer than its coding");
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
      hold(decode(bytes, piece) == whole, "a chunked body is the same however it arrives");
    }
  }

 private:
  struct Decoded {
    std::string body;
    std::string trailers;
    std::size_t consumed = 0;
    http1::ChunkedDecoder::Status status = http1::ChunkedDecoder::Status::NeedMore;
    http1::ParseError error = http1::ParseError::None;

    bool operator==(const Decoded&) const = default;
  };

  static bool isClean(std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
  }

  static bool sameFields(const HeadFields& a, const HeadFields& b) {
    return std::equal(a.fields().begin(), a.fields().end(), b.fields().begin(), b.fields().end(),
                      [&](const Field& x, const Field& y) {
                        return a.name(x) == b.name(y) && a.value(x) == b.value(y) && x.id == y.id &&
                               x.hopByHop == y.hopByHop && x.dropped == y.dropped;
                      });
  }

  template <typename Head>
  void checkWhole(std::string_view bytes, const http1::HeadLimits& limits, const Head& head) {
    hold(head.base() == bytes.data(), "a head is read in place");
    hold(head.size <= bytes.size() && head.size <= limits.headBytes, "a head is within its bytes");
    if (!broken_.empty()) return;
    const std::string_view text = bytes.substr(0, head.size);
    hold(text.ends_with("\r\n\r\n"), "a head ends with an empty line");
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') hold(i > 0 && text[i - 1] == '\r', "LF stands behind CR only");
      if (text[i] == '\r') hold(text[i + 1] == '\n', "CR stands before LF only");
      hold(text[i] != '\0', "there is no NUL in a head");
    }
    hold(head.fields().size() <= limits.fieldCount, "fields are within the limit");
    std::size_t lengths = 0;
    std::size_t codings = 0;
    for (const Field& field : head.fields()) {
      inside(field.name, head.size);
      inside(field.value, head.size);
      if (!broken_.empty()) return;
      const std::string_view name = head.name(field);
      const std::string_view value = head.value(field);
      hold(!name.empty() && isClean(name), "a field has a name of one line");
      hold(name.find_first_of(" \t:") == std::string_view::npos, "a name ends at its colon");
      hold(isClean(value), "a value is one line");
      hold(value.empty() || (value.front() != ' ' && value.back() != ' ' && value.front() != '\t' &&
                             value.back() != '\t'),
           "a value has no white space around it");
      hold(field.id == fieldIdOf(name), "a field has the id of its name");
      hold(!field.dropped, "the parser drops nothing");
      lengths += field.id == FieldId::ContentLength ? 1 : 0;
      codings += field.id == FieldId::TransferEncoding ? 1 : 0;
    }
    hold(lengths + codings <= 1, "one field at most frames a message");
    hold(head.line.body != BodyKind::Chunked || codings == 1, "chunked is what the head says");
    hold(head.line.body != BodyKind::Length || lengths == 1, "the length is what the head says");
  }

  void inside(Slice slice, std::uint32_t size) {
    hold(slice.offset <= size && slice.length <= size - slice.offset, "a slice is within its head");
  }

  void checkLine(const RequestHead& head) {
    const RequestLine& line = head.line;
    for (const Slice slice :
         {line.methodToken, line.target, line.host, line.authority, line.path, line.query}) {
      inside(slice, head.size);
    }
    if (!broken_.empty()) return;
    const std::string_view path = head.view(line.path);
    hold(path.starts_with('/') || (path == "*" && line.serverWide), "a path begins with a slash");
    hold(path.find_first_of("?# ") == std::string_view::npos, "a path ends before its query");
    hold(head.view(line.authority).starts_with(head.view(line.host)), "a host opens its authority");
    hold(!line.host.empty() || line.minorVersion == 0, "HTTP/1.1 names a host");
    hold(line.body != BodyKind::UntilClose, "a request says where it ends");
    hold(line.minorVersion >= 1 || (line.body != BodyKind::Chunked && !line.upgrade),
         "HTTP/1.0 knows neither chunked nor Upgrade");
  }

  void checkLine(const ResponseHead& head) {
    const StatusLine& line = head.line;
    inside(line.reason, head.size);
    hold(line.status >= 100 && line.status <= 599, "a status is one of five classes");
    hold(line.body != BodyKind::UntilClose || !line.keepAlive, "a body until close is the last");
    const bool never = line.status < 200 || line.status == 204 || line.status == 304;
    hold(!never || line.body == BodyKind::None, "1xx, 204 and 304 have no body");
  }

  // Feeds pieces of `pieceBytes`, and what a step leaves again with what follows.
  static Decoded decode(std::string_view bytes, std::size_t pieceBytes) {
    Decoded result;
    http1::ChunkedDecoder decoder;
    std::size_t arrived = std::min(pieceBytes, bytes.size());
    for (;;) {
      const std::vector<char> input(bytes.begin() + static_cast<std::ptrdiff_t>(result.consumed),
                                    bytes.begin() + static_cast<std::ptrdiff_t>(arrived));
      const http1::ChunkedDecoder::Step step = decoder.decode({input.data(), input.size()});
      result.consumed += step.consumed;
      result.status = step.status;
      result.error = step.error;
      result.body += step.data;
      if (step.status == http1::ChunkedDecoder::Status::Data) continue;
      if (step.status == http1::ChunkedDecoder::Status::Done) {
        result.trailers = decoder.trailerSection();
      }
      const bool ended = step.status != http1::ChunkedDecoder::Status::NeedMore;
      if (ended || arrived == bytes.size()) return result;
      arrived = std::min(arrived + pieceBytes, bytes.size());
    }
  }

  std::size_t cuts_;
  std::string broken_;
};

// Takes `bytes` for a request, for the responses to GET and to HEAD, and for a chunked body. Empty
// when all promises hold, else the first that does not.
inline std::string brokenInvariant(std::string_view bytes, std::size_t cuts) {
  // Heads are too large for comfort on a stack under sanitizers.
  static const auto kRequests = std::make_unique<RequestHead[]>(2);
  static const auto kResponses = std::make_unique<ResponseHead[]>(2);
  constexpr http1::HeadLimits kWide{.lineBytes = 65'536, .headBytes = 65'536, .fieldCount = 256};
  constexpr http1::HeadLimits kTight{.lineBytes = 24, .headBytes = 80, .fieldCount = 3};
  Invariants invariants(cuts);
  for (const http1::HeadLimits& limits : {kWide, kTight}) {
    invariants.checkHead(bytes, limits, http1::parseRequestHead, kRequests[0], kRequests[1]);
    for (const Method method : {Method::Get, Method::Head}) {
      const auto parse = [method](std::string_view text, const http1::HeadLimits& given,
                                  ResponseHead& head) {
        return http1::parseResponseHead(text, given, method, head);
      };
      invariants.checkHead(bytes, limits, parse, kResponses[0], kResponses[1]);
    }
  }
  invariants.checkDecoder(bytes);
  return invariants.broken();
}

}  // namespace tidegate::test
