// Split-point checks and one-line descriptions of heads for the HTTP/1 tests.
#include "http1_cases.h"

#include <algorithm>
#include <functional>

#include "check.h"

namespace tidegate::test {
namespace {

using http1::ChunkedDecoder;
using http1::HeadLimits;
using http1::ParseError;
using http1::ParseOutcome;
using http1::ParseStatus;

std::string text(std::string_view view) { return std::string(view); }

std::string describeFields(const HeadFields& head) {
  std::string out;
  for (const Field& field : head.fields()) {
    out += field.hopByHop ? " | ~" : " | ";
    out += text(head.name(field)) + ": " + text(head.value(field));
  }
  return out;
}

std::string describeBody(BodyKind body, std::uint64_t length) {
  switch (body) {
    case BodyKind::None:
      return "";
    case BodyKind::Length:
      return " length=" + std::to_string(length);
    case BodyKind::Chunked:
      return " chunked";
    case BodyKind::UntilClose:
      return " until-close";
  }
  return " ?";
}

using Parse = std::function<ParseOutcome(std::string_view)>;

void failAt(std::string_view bytes, std::size_t length, const std::string& what) {
  reportFailure(__FILE__, __LINE__,
                what + " after " + std::to_string(length) + " bytes of " + quoted(bytes));
}

// The head's size is in `size` once it is complete.
ParseError acceptHead(std::string_view bytes, const Parse& parse, const std::uint32_t& size) {
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const ExactBytes prefix(bytes.substr(0, length));
    const ParseOutcome outcome = parse(prefix.view());
    if (outcome.status != ParseStatus::NeedMore) failAt(bytes, length, "not NeedMore");
  }
  const ExactBytes more(text(bytes) + "\n GET / HTTP/1.1\r\n\r\n");
  const ParseOutcome withMore = parse(more.view());
  if (withMore.status != ParseStatus::Complete || size != bytes.size()) {
    failAt(bytes, bytes.size(), "other bytes behind the head matter");
  }
  const ParseOutcome outcome = parse(bytes);
  if (outcome.status == ParseStatus::NeedMore) failAt(bytes, bytes.size(), "still NeedMore");
  return outcome.error;
}

ParseError refuseHead(std::string_view bytes, const Parse& parse, std::size_t* seenAt) {
  ParseError error = ParseError::None;
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const ExactBytes prefix(bytes.substr(0, length));
    const ParseOutcome outcome = parse(prefix.view());
    if (outcome.status == ParseStatus::Complete) {
      failAt(bytes, length, "Complete");
      return ParseError::None;
    }
    if (error == ParseError::None) {
      error = outcome.error;
      if (error != ParseError::None && seenAt != nullptr) *seenAt = length;
    } else if (outcome.error != error) {
      failAt(bytes, length, "another error: " + text(parseErrorText(outcome.error)));
    }
  }
  return error;
}

// In static storage: a head is too large for comfort on the stack under sanitizers.
RequestHead requestHead;
ResponseHead responseHead;

Parse requestParser(const HeadLimits& limits) {
  return [limits](std::string_view bytes) {
    return http1::parseRequestHead(bytes, limits, requestHead);
  };
}

Parse responseParser(Method requestMethod, const HeadLimits& limits) {
  return [requestMethod, limits](std::string_view bytes) {
    return http1::parseResponseHead(bytes, limits, requestMethod, responseHead);
  };
}

}  // namespace

std::string describeHead(const RequestHead& head) {
  const RequestLine& line = head.line;
  std::string out = text(head.view(line.methodToken)) + " " + text(head.view(line.path));
  if (line.hasQuery) out += "?" + text(head.view(line.query));
  if (line.serverWide) out += " server-wide";
  if (!line.host.empty()) out += " host=" + text(head.view(line.host));
  if (line.authority.length != line.host.length) {
    out += " authority=" + text(head.view(line.authority));
  }
  out += " HTTP/1." + std::to_string(line.minorVersion);
  out += describeBody(line.body, line.contentLength);
  if (!line.keepAlive) out += " close";
  if (line.expectContinue) out += " expect";
  if (line.upgrade) out += " upgrade";
  if (line.teTrailers) out += " te-trailers";
  return out + describeFields(head);
}

std::string describeHead(const ResponseHead& head) {
  const StatusLine& line = head.line;
  std::string out = std::to_string(line.status) + " [" + text(head.view(line.reason)) + "]";
  out += " HTTP/1." + std::to_string(line.minorVersion);
  out += describeBody(line.body, line.contentLength);
  if (line.body != BodyKind::Length && line.hasContentLength) {
    out += " announced=" + std::to_string(line.contentLength);
  }
  if (!line.keepAlive) out += " close";
  if (line.upgrade) out += " upgrade";
  return out + describeFields(head);
}

std::string acceptRequest(std::string_view bytes, const HeadLimits& limits) {
  const ParseError error = acceptHead(bytes, requestParser(limits), requestHead.size);
  return error == ParseError::None ? describeHead(requestHead) : text(parseErrorText(error));
}

std::string acceptResponse(std::string_view bytes, Method requestMethod, const HeadLimits& limits) {
  const ParseError error =
      acceptHead(bytes, responseParser(requestMethod, limits), responseHead.size);
  return error == ParseError::None ? describeHead(responseHead) : text(parseErrorText(error));
}

ParseError refuseRequest(std::string_view bytes, const HeadLimits& limits, std::size_t* seenAt) {
  return refuseHead(bytes, requestParser(limits), seenAt);
}

ParseError refuseResponse(std::string_view bytes, Method requestMethod, const HeadLimits& limits,
                          std::size_t* seenAt) {
  return refuseHead(bytes, responseParser(requestMethod, limits), seenAt);
}

DecodedBody decodeInPieces(std::string_view bytes, std::size_t firstBytes, std::size_t pieceBytes) {
  DecodedBody result;
  ChunkedDecoder decoder;
  std::size_t arrived = std::min(firstBytes, bytes.size());
  for (;;) {
    const ExactBytes input(bytes.substr(result.consumed, arrived - result.consumed));
    const ChunkedDecoder::Step step = decoder.decode(input.view());
    result.consumed += step.consumed;
    result.status = step.status;
    result.error = step.error;
    result.body += step.data;
    if (step.status == ChunkedDecoder::Status::Data) continue;
    if (step.status == ChunkedDecoder::Status::Done) result.trailers = decoder.trailerSection();
    if (step.status != ChunkedDecoder::Status::NeedMore || arrived == bytes.size()) return result;
    arrived = std::min(arrived + pieceBytes, bytes.size());
  }
}

DecodedBody decodeBody(std::string_view bytes) {
  const DecodedBody whole = decodeInPieces(bytes, bytes.size(), bytes.size());
  if (decodeInPieces(bytes, 0, 1) != whole)
    failAt(bytes, 1, "byte by byte comes to something else");
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    if (decodeInPieces(bytes, split, bytes.size()) != whole) {
      failAt(bytes, split, "cut in two it comes to something else");
    }
  }
  return whole;
}

}  // namespace tidegate::test
