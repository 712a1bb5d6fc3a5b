// Whole messages read with the head parser and the chunked decoder, printed as JSON.
#include "http1_dump.h"

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>

#include "base/ascii.h"
#include "http1/parser.h"

namespace tidegate::test {
namespace {

using http1::ChunkedDecoder;
using http1::ParseError;
using http1::ParseOutcome;
using http1::ParseStatus;

constexpr http1::HeadLimits kLimits{.lineBytes = 65'536, .headBytes = 65'536, .fieldCount = 256};
constexpr std::string_view kHexDigits = "0123456789abcdef";

std::string hexOf(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kHexDigits[byte >> 4];
    out += kHexDigits[byte & 15];
  }
  return out;
}

std::string bytesOf(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(hexValue(hex[i]) << 4 | hexValue(hex[i + 1]));
  }
  return out;
}

// Bytes are code points, so that any head can be written.
std::string quotedJson(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      out += "\\u00" + hexOf({&c, 1});
    }
  }
  return out + "\"";
}

std::string fieldsJson(const HeadFields& head) {
  std::string out = "[";
  for (const Field& field : head.fields()) {
    if (out.size() > 1) out += ",";
    out += "[" + quotedJson(head.name(field)) + "," + quotedJson(head.value(field)) + "]";
  }
  return out + "]";
}

std::string firstLineJson(const RequestHead& head) {
  return "\"method\":" + quotedJson(head.view(head.line.methodToken)) +
         ",\"target\":" + quotedJson(head.view(head.line.target));
}

std::string firstLineJson(const ResponseHead& head) {
  return "\"status\":" + std::to_string(head.line.status) +
         ",\"reason\":" + quotedJson(head.view(head.line.reason));
}

struct Body {
  bool complete = false;
  ParseError error = ParseError::None;
  std::string bytes;
  std::string trailers = "[]";
  std::size_t consumed = 0;
};

Body readChunked(std::string_view rest) {
  Body body;
  ChunkedDecoder decoder;
  for (;;) {
    const ChunkedDecoder::Step step = decoder.decode(rest.substr(body.consumed));
    body.consumed += step.consumed;
    body.bytes += step.data;
    if (step.status == ChunkedDecoder::Status::Data) continue;
    body.error = step.error;
    body.complete = step.status == ChunkedDecoder::Status::Done;
    break;
  }
  if (body.complete) {
    static FieldTable trailers;
    body.error = ChunkedDecoder::parseTrailers(decoder.trailerSection(), trailers).error;
    body.trailers = fieldsJson(trailers);
  }
  return body;
}

template <typename Line>
Body readBody(const Line& line, std::string_view rest) {
  if (line.body == BodyKind::Chunked) return readChunked(rest);
  Body body;
  if (line.body == BodyKind::None) {
    body.complete = true;
    return body;
  }
  // A body until the close is whole, as nothing follows the bytes of this connection.
  const std::uint64_t length =
      line.body == BodyKind::Length ? line.contentLength : std::uint64_t{rest.size()};
  body.complete = length <= rest.size();
  body.bytes = rest.substr(0, length);
  body.consumed = body.bytes.size();
  return body;
}

template <typename Head, typename Parse>
std::string readMessages(std::string_view bytes, Head& head, Parse parse) {
  std::string messages;
  ParseError error = ParseError::None;
  std::size_t used = 0;
  while (used < bytes.size()) {
    const ParseOutcome outcome = parse(bytes.substr(used), kLimits, head);
    error = outcome.error;
    if (outcome.status != ParseStatus::Complete) break;
    used += head.size;
    const Body body = readBody(head.line, bytes.substr(used));
    error = body.error;
    if (!messages.empty()) messages += ",";
    messages += "{" + firstLineJson(head) +
                ",\"minorVersion\":" + std::to_string(head.line.minorVersion) +
                ",\"fields\":" + fieldsJson(head) +
                ",\"keepAlive\":" + (head.line.keepAlive ? "true" : "false") +
                ",\"headEnd\":" + std::to_string(used);
    used += body.consumed;
    messages += ",\"body\":\"" + hexOf(body.bytes) + "\",\"trailers\":" + body.trailers +
                ",\"end\":" + (body.complete ? std::to_string(used) : "-1") + "}";
    if (!body.complete || !head.line.keepAlive || head.line.upgrade) break;
  }
  const std::string reason(error == ParseError::None ? "" : parseErrorText(error));
  return "{\"messages\":[" + messages + "],\"error\":" + quotedJson(reason) + "}";
}

// The part of `line` before the next space; `line` keeps what follows it.
std::string_view nextWord(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

}  // namespace

int dumpHttp1() {
  static RequestHead request;
  static ResponseHead response;
  for (std::string line; std::getline(std::cin, line);) {
    std::string_view rest = line;
    const bool isRequest = nextWord(rest) == "request";
    if (isRequest) {
      std::cout << readMessages(bytesOf(rest), request, http1::parseRequestHead) << '\n';
      continue;
    }
    const Method method = methodOf(nextWord(rest));
    const auto parse = [method](std::string_view bytes, const http1::HeadLimits& limits,
                                ResponseHead& head) {
      return http1::parseResponseHead(bytes, limits, method, head);
    };
    std::cout << readMessages(bytesOf(rest), response, parse) << '\n';
  }
  std::cout.flush();
  return std::cin.bad() || !std::cout ? 1 : 0;
}

}  // namespace tidegate::test
