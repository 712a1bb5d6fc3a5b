// The chunked transfer coding: bodies, trailers and what is refused; whole, cut at every point, and
// byte by byte.
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "check.h"
#include "http1_cases.h"

namespace tidegate::test {
namespace {

using http1::ChunkedDecoder;
using http1::ParseError;
using http1::ParseOutcome;
using http1::ParseStatus;
using std::string_view_literals::operator""sv;
using Status = ChunkedDecoder::Status;

struct Body {
  std::string_view bytes;
  std::string_view body;
  std::string_view trailers;
  std::string_view rest;  // what follows the message
};

constexpr Body kBodies[] = {
    {"0\r\n\r\n", "", "", ""},
    {"000\r\n\r\n", "", "", ""},
    {"0000000000000000\r\n\r\n", "", "", ""},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
    {"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello", "", "GET / HTTP/1.1\r\n"},
    {"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", "abcdef", "", ""},
    {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", "", ""},
    {"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
    {"1F\r\n0123456789012345678901234567890\r\n0\r\n\r\n", "0123456789012345678901234567890", "",
     ""},
    {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", "", ""},
    {"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", "", ""},
    {"3\r\n\0\n\r\r\n0\r\n\r\n"sv, "\0\n\r"sv, "", ""},
    {"5;a\r\nhello\r\n0;b\r\n\r\n", "hello", "", ""},
    {"5;a=b;c=\"d e\"\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
    {"5;a=\"\"\r\nhello\r\n0;b=\"\\\"\\\\;=\t\xff\";c;d=e\r\n\r\n", "hello", "", ""},
    {"0\r\nA: b\r\n\r\n", "", "A: b\r\n", ""},
    {"0\r\nA: b\r\n\r\n\r\n", "", "A: b\r\n", "\r\n"},
    {"2\r\nhi\r\n0\r\nA: b\r\nC:d \r\n\r\nX", "hi", "A: b\r\nC:d \r\n", "X"},
    {"0\r\nGrpc-Status: 0\r\nContent-Digest: sha-256=:a:\r\nETag: \"a\"\r\n\r\n", "",
     "Grpc-Status: 0\r\nContent-Digest: sha-256=:a:\r\nETag: \"a\"\r\n", ""},
};

struct Refused {
  std::string_view bytes;
  ParseError error;
};

constexpr Refused kBadBodies[] = {
    {"\r\n", ParseError::BadChunkSize},
    {"\n", ParseError::BadChunkSize},
    {"g\r\n", ParseError::BadChunkSize},
    {" 5\r\n", ParseError::BadChunkSize},
    {"\t5\r\n", ParseError::BadChunkSize},
    {"5 \r\n", ParseError::BadChunkSize},
    {"5\t\r\n", ParseError::BadChunkSize},
    {"5 ;a\r\n", ParseError::BadChunkSize},
    {"5 5\r\n", ParseError::BadChunkSize},
    {"-5\r\n", ParseError::BadChunkSize},
    {"+5\r\n", ParseError::BadChunkSize},
    {"0x5\r\n", ParseError::BadChunkSize},
    {"5h\r\n", ParseError::BadChunkSize},
    {"5,\r\n", ParseError::BadChunkSize},
    {"5\0\r\n"sv, ParseError::BadChunkSize},
    {";a\r\n", ParseError::BadChunkSize},
    {"\xef\xbc\x95\r\n", ParseError::BadChunkSize},
    {"8000000000000000\r\n", ParseError::BadChunkSize},
    {"ffffffffffffffff\r\n", ParseError::BadChunkSize},
    {"00000000000000005\r\n", ParseError::BadChunkSize},
    {"10000000000000005\r\n", ParseError::BadChunkSize},
    {"fffffffffffffffffffffffff\r\n", ParseError::BadChunkSize},
    {"5\nhello\r\n", ParseError::BareLineFeed},
    {"0\n\n", ParseError::BareLineFeed},
    {"5\rhello\r\n", ParseError::BareCarriageReturn},
    {"5\r\r\n", ParseError::BareCarriageReturn},
    {"5;a\rb\r\n", ParseError::BareCarriageReturn},
    {"5;a\nhello\r\n", ParseError::BadChunkExtension},
    {"5;\nhello\r\n", ParseError::BadChunkExtension},
    {"5;a\0\r\n"sv, ParseError::BadChunkExtension},
    {"5;a\x0b\r\n", ParseError::BadChunkExtension},
    {"5;a\x7f\r\n", ParseError::BadChunkExtension},
    {"5;\r\n", ParseError::BadChunkExtension},
    {"5;;a\r\n", ParseError::BadChunkExtension},
    {"5;a;\r\n", ParseError::BadChunkExtension},
    {"5;=b\r\n", ParseError::BadChunkExtension},
    {"5;a=\r\n", ParseError::BadChunkExtension},
    {"5;a=;b\r\n", ParseError::BadChunkExtension},
    {"5;a=b=c\r\n", ParseError::BadChunkExtension},
    {"5;\"a\"\r\n", ParseError::BadChunkExtension},
    {"5;a=\"b\"c\r\n", ParseError::BadChunkExtension},
    {"5;a=b\"c\"\r\n", ParseError::BadChunkExtension},
    {"5;a=\"b\r\n", ParseError::BadChunkExtension},
    {"5;a=\"b\n\"\r\n", ParseError::BadChunkExtension},
    {"5;a=\"b\\\n\"\r\n", ParseError::BadChunkExtension},
    {"5; a\r\n", ParseError::BadChunkExtension},
    {"5;a \r\n", ParseError::BadChunkExtension},
    {"5;a = b\r\n", ParseError::BadChunkExtension},
    {"5;caf\xc3\xa9\r\n", ParseError::BadChunkExtension},
    {"5\r\nhello5\r\n", ParseError::BadChunkEnd},
    {"5\r\nhello\n0\r\n\r\n", ParseError::BadChunkEnd},
    {"5\r\nhello\r0\r\n\r\n", ParseError::BadChunkEnd},
    {"5\r\nhello\r\r\n", ParseError::BadChunkEnd},
    {"5\r\nhello \r\n", ParseError::BadChunkEnd},
    {"5\r\nhello0\r\n\r\n", ParseError::BadChunkEnd},
    {"5\r\nhello\r\n\r\n0\r\n\r\n", ParseError::BadChunkSize},
    {"0\r\n\n", ParseError::BadTrailer},
    {"0\r\n\rX", ParseError::BadTrailer},
    {"0\r\nA\r\n\r\n", ParseError::BadTrailer},
    {"0\r\nA : b\r\n\r\n", ParseError::BadTrailer},
    {"0\r\nA: b\n\n", ParseError::BadTrailer},
    {"0\r\nA: b\r\n c\r\n\r\n", ParseError::BadTrailer},
    {"0\r\nA: b\0\r\n\r\n"sv, ParseError::BadTrailer},
    {"0\r\n: b\r\n\r\n", ParseError::BadTrailer},
    {"0\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", ParseError::BadTrailer},
};

constexpr std::string_view kForbiddenTrailers[] = {
    "Age",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Date",
    "Expect",
    "Expires",
    "Forwarded",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Location",
    "Max-Forwards",
    "Pragma",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Retry-After",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "Warning",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
};

TEST("a chunked body is the same however it arrives, and ends where it ends") {
  for (const Body& row : kBodies) {
    const DecodedBody decoded = decodeBody(row.bytes);
    CHECK_EQ(decoded.status, Status::Done);
    CHECK_EQ(decoded.body, row.body);
    CHECK_EQ(decoded.trailers, row.trailers);
    CHECK_EQ(row.bytes.substr(decoded.consumed), row.rest);
  }
}

TEST("a chunked body that is not complete asks for more") {
  for (const Body& row : kBodies) {
    const std::size_t size = row.bytes.size() - row.rest.size();
    for (std::size_t length = 0; length < size; ++length) {
      const DecodedBody decoded = decodeInPieces(row.bytes.substr(0, length), length, 1);
      CHECK_EQ(decoded.status, Status::NeedMore);
      CHECK(row.body.starts_with(decoded.body));
    }
  }
}

TEST("a chunked body that is malformed is refused, and nothing behind the fault is delivered") {
  for (const Refused& row : kBadBodies) {
    const DecodedBody decoded = decodeBody(row.bytes);
    CHECK_EQ(decoded.status, Status::Error);
    CHECK_EQ(std::string(parseErrorText(decoded.error)) + quoted(row.bytes),
             std::string(parseErrorText(row.error)) + quoted(row.bytes));
    CHECK(decoded.body.empty() || decoded.body == "hello");
  }
}

TEST("fields that frame, route, authenticate or process are refused in a trailer") {
  for (const std::string_view name : kForbiddenTrailers) {
    const std::string bytes = "0\r\n" + std::string(name) + ": 1\r\n\r\n";
    CHECK_EQ(quoted(name) + std::string(parseErrorText(decodeBody(bytes).error)),
             quoted(name) + std::string(parseErrorText(ParseError::BadTrailer)));
  }
}

TEST("data is given as a part of the input, without copying, and as much as is there") {
  ChunkedDecoder decoder;
  const std::string input = "a\r\n01234";
  const ChunkedDecoder::Step step = decoder.decode(input);
  CHECK_EQ(step.status, Status::Data);
  CHECK(step.data.data() == input.data() + 3);
  CHECK_EQ(step.data, "01234");
  CHECK_EQ(step.consumed, input.size());
  CHECK_EQ(decoder.remainingInChunk(), 5U);
  CHECK_EQ(decoder.decode("56789").data, "56789");
  CHECK_EQ(decoder.remainingInChunk(), 0U);
  CHECK_EQ(decoder.decode("\r\nff").status, Status::NeedMore);
  CHECK_EQ(decoder.remainingInChunk(), 0U);
  CHECK_EQ(decoder.decode("\r\n").status, Status::NeedMore);
  CHECK_EQ(decoder.remainingInChunk(), 255U);
}

TEST("the largest chunk is 2^63 - 1 bytes") {
  ChunkedDecoder decoder;
  CHECK_EQ(decoder.decode("7fffffffffffffff\r\n").status, Status::NeedMore);
  CHECK_EQ(decoder.remainingInChunk(), 0x7fff'ffff'ffff'ffffU);
}

TEST("chunk extensions are bounded per chunk") {
  const std::string fits(ChunkedDecoder::kMaxLineBytes, 'x');
  const DecodedBody decoded =
      decodeBody("1;" + fits + "\r\na\r\n1;" + fits + "\r\nb\r\n0;" + fits + "\r\n\r\n");
  CHECK_EQ(decoded.status, Status::Done);
  CHECK_EQ(decoded.body, "ab");
  CHECK_EQ(decodeBody("1;" + fits + "x\r\na\r\n").error, ParseError::BadChunkExtension);
  CHECK_EQ(decodeBody("1;" + fits + "x").error, ParseError::BadChunkExtension);
}

TEST("a trailer section is kept by the caller until it is whole, and bounded") {
  ChunkedDecoder decoder;
  CHECK_EQ(decoder.decode("0\r\nA: b\r\n").consumed, 3U);
  CHECK_EQ(decoder.decode("A: b\r\n").consumed, 0U);
  CHECK(!decoder.hasTrailers());
  const std::string whole = "A: b\r\n\r\nrest";
  const ChunkedDecoder::Step step = decoder.decode(whole);
  CHECK_EQ(step.status, Status::Done);
  CHECK_EQ(step.consumed, 8U);
  CHECK(decoder.hasTrailers());
  CHECK(decoder.trailerSection().data() == whole.data());
  CHECK_EQ(decoder.trailerSection(), "A: b\r\n");
  CHECK_EQ(decoder.decode("rest").consumed, 0U);
  decoder.reset();
  CHECK_EQ(decoder.decode("1\r\na").data, "a");

  const auto section = [](std::size_t bytes) {
    return "0\r\nA: " + std::string(bytes - 5, 'b') + "\r\n\r\n";
  };
  const auto decode = [](const std::string& bytes) {
    return decodeInPieces(bytes, bytes.size(), bytes.size());
  };
  CHECK_EQ(decode(section(ChunkedDecoder::kMaxTrailerBytes)).status, Status::Done);
  CHECK_EQ(decode(section(ChunkedDecoder::kMaxTrailerBytes + 1)).error,
           ParseError::TrailersTooLarge);
  const std::string endless = "0\r\nA: " + std::string(ChunkedDecoder::kMaxTrailerBytes, 'b');
  CHECK_EQ(decodeInPieces(endless, 0, 100).error, ParseError::TrailersTooLarge);
  std::string many = "0\r\n";
  for (std::size_t i = 0; i <= kMaxFields; ++i) many += "A:\r\n";
  CHECK_EQ(decode(many).error, ParseError::TrailersTooLarge);
}

TEST("trailer fields beyond the table are an error and not lost") {
  std::array<Field, 1> table;
  HeadFields fields(table);
  CHECK_EQ(ChunkedDecoder::parseTrailers("A: b\r\n", fields).status, ParseStatus::Complete);
  CHECK_EQ(ChunkedDecoder::parseTrailers("A: b\r\nC: d\r\n", fields).error,
           ParseError::TrailersTooLarge);
}

TEST("trailer fields are read like header fields") {
  static RequestHead head;
  const std::string_view section = "A: b\r\nGrpc-Status:  0 \r\n";
  CHECK_EQ(ChunkedDecoder::parseTrailers(section, head).status, ParseStatus::Complete);
  REQUIRE_EQ(head.fields().size(), 2U);
  CHECK_EQ(head.name(head.fields()[1]), "Grpc-Status");
  CHECK_EQ(head.value(head.fields()[1]), "0");
  CHECK_EQ(ChunkedDecoder::parseTrailers("", head).status, ParseStatus::Complete);
  CHECK_EQ(head.fields().size(), 0U);
  for (const std::string_view bad :
       {"A: b", "A: b\r", "A: b\r\n\r\n", "\r\n", "A", "Host: h\r\n"}) {
    const ParseOutcome outcome = ChunkedDecoder::parseTrailers(bad, head);
    CHECK_EQ(outcome.status, ParseStatus::Error);
    CHECK_EQ(outcome.error, ParseError::BadTrailer);
  }
}

}  // namespace
}  // namespace tidegate::test
