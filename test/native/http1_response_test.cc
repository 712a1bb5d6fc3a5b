// Response heads: what is accepted and how it is read, what is refused and why. Each row at every
// split point.
#include <cstddef>
#include <string>
#include <string_view>

#include "check.h"
#include "http1_cases.h"

namespace tidegate::test {
namespace {

using http1::HeadLimits;
using http1::ParseError;
using http1::parseErrorText;
using std::string_view_literals::operator""sv;

struct Accepted {
  std::string_view bytes;
  std::string_view reading;
};

struct Refused {
  std::string_view bytes;
  ParseError error;
};

// Answers to GET.
constexpr Accepted kResponses[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", "200 [OK] HTTP/1.1 until-close close"},
    {"HTTP/1.1 200 \r\n\r\n", "200 [] HTTP/1.1 until-close close"},
    {"HTTP/1.1 200\r\n\r\n", "200 [] HTTP/1.1 until-close close"},
    {"HTTP/1.0 200 OK\r\n\r\n", "200 [OK] HTTP/1.0 until-close close"},
    {"HTTP/1.7 200 OK\r\n\r\n", "200 [OK] HTTP/1.1 until-close close"},
    {"HTTP/1.1 404 Not Found\r\n\r\n", "404 [Not Found] HTTP/1.1 until-close close"},
    {"HTTP/1.1 299 a \t b\r\n\r\n", "299 [a \t b] HTTP/1.1 until-close close"},
    {"HTTP/1.1 599 caf\xc3\xa9\r\n\r\n", "599 [caf\xc3\xa9] HTTP/1.1 until-close close"},
    {"HTTP/1.1 200 A reason of more than sixteen bytes, and of thirty-two\r\n\r\n",
     "200 [A reason of more than sixteen bytes, and of thirty-two] HTTP/1.1 until-close close"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "200 [OK] HTTP/1.1 length=0 | Content-Length: 0"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n",
     "200 [OK] HTTP/1.1 length=64 | Content-Length: 64"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 64\r\n\r\n",
     "200 [OK] HTTP/1.0 length=64 close | Content-Length: 64"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 64\r\nConnection: keep-alive\r\n\r\n",
     "200 [OK] HTTP/1.0 length=64 | Content-Length: 64 | ~Connection: keep-alive"},
    {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
     "200 [OK] HTTP/1.1 until-close close | ~Connection: keep-alive"},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
     "200 [OK] HTTP/1.1 length=1 close | ~Connection: close | Content-Length: 1"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
     "200 [OK] HTTP/1.1 chunked | ~Transfer-Encoding: Chunked"},
    {"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nConnection: y\r\nY: z\r\n\r\n",
     "500 [No] HTTP/1.1 chunked | ~Transfer-Encoding: chunked | ~Trailer: x | ~Connection: y | "
     "~Y: z"},
    {"HTTP/1.1 204 No Content\r\n\r\n", "204 [No Content] HTTP/1.1"},
    {"HTTP/1.0 204 No Content\r\n\r\n", "204 [No Content] HTTP/1.0 close"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
     "204 [No Content] HTTP/1.1 announced=0 | Content-Length: 0"},
    {"HTTP/1.1 304 Not Modified\r\n\r\n", "304 [Not Modified] HTTP/1.1"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
     "304 [Not Modified] HTTP/1.1 announced=9 | Content-Length: 9"},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
     "304 [Not Modified] HTTP/1.1 | ~Transfer-Encoding: chunked"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "100 [Continue] HTTP/1.1"},
    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "103 [Early Hints] HTTP/1.1 | Link: </a>"},
    {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     "101 [Switching] HTTP/1.1 upgrade | ~Connection: upgrade | ~Upgrade: websocket"},
    {"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
     "101 [Switching] HTTP/1.1 | ~Upgrade: websocket"},
    {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n",
     "101 [Switching] HTTP/1.1 | ~Connection: upgrade"},
    {"HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: a\r\nContent-Length: "
     "0\r\n\r\n",
     "426 [Upgrade Required] HTTP/1.1 length=0 | ~Connection: upgrade | ~Upgrade: a | "
     "Content-Length: 0"},
    {"HTTP/1.1 200 OK\r\nHost: a,b\r\nHost: c\r\nExpect: x\r\nTE: trailers\r\nContent-Length: "
     "0\r\n\r\n",
     "200 [OK] HTTP/1.1 length=0 | Host: a,b | Host: c | Expect: x | ~TE: trailers | "
     "Content-Length: 0"},
};

constexpr Refused kBadResponses[] = {
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", ParseError::BadVersion},
    {"\nHTTP/1.1 200 OK\r\n\r\n", ParseError::BadVersion},
    {" HTTP/1.1 200 OK\r\n\r\n", ParseError::BadVersion},
    {"http/1.1 200 OK\r\n\r\n", ParseError::BadVersion},
    {"HTTP/1 200 OK\r\n\r\n", ParseError::BadVersion},
    {"HTTP/1. 200 OK\r\n\r\n", ParseError::BadVersion},
    {"HTTP 200 OK\r\n\r\n", ParseError::BadVersion},
    {"ICY 200 OK\r\n\r\n", ParseError::BadVersion},
    {"SSH-2.0-OpenSSH_9.2\r\n", ParseError::BadVersion},
    {"<html></html>", ParseError::BadVersion},
    {"HTTP/2.0 200 OK\r\n\r\n", ParseError::UnsupportedVersion},
    {"HTTP/0.9 200 OK\r\n\r\n", ParseError::UnsupportedVersion},
    {"HTTP/1.11 200 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1  200 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1\t200 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 \r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 20 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 20\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 2000 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 200OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 200\tOK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 2x0 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 +20 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 -20 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 000 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 099 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 600 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 999 OK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 200 O\0K\r\n\r\n"sv, ParseError::BadStatusLine},
    {"HTTP/1.1 200 O\x1bK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 200 O\x7fK\r\n\r\n", ParseError::BadStatusLine},
    {"HTTP/1.1 200 OK\n\n", ParseError::BareLineFeed},
    {"HTTP/1.1 200\n\n", ParseError::BareLineFeed},
    {"HTTP/1.1 200 OK\rA: b\r\n\r\n", ParseError::BareCarriageReturn},
    {"HTTP/1.1 200\rA: b\r\n\r\n", ParseError::BareCarriageReturn},
    {"HTTP/1.1 200 OK\r\nA: b\n\r\n", ParseError::BareLineFeed},
    {"HTTP/1.1 200 OK\r\nA: b\r\n\n", ParseError::BareLineFeed},
    {"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", ParseError::BareCarriageReturn},
    {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", ParseError::BadHeaderName},
    {"HTTP/1.1 200 OK\r\nA\r\n\r\n", ParseError::BadHeaderName},
    {"HTTP/1.1 200 OK\r\n: b\r\n\r\n", ParseError::BadHeaderName},
    {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ParseError::FoldedLine},
    {"HTTP/1.1 200 OK\r\n\tA: b\r\n\r\n", ParseError::FoldedLine},
    {"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"sv, ParseError::BadHeaderValue},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ParseError::BadContentLength},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ParseError::BadContentLength},
    {"HTTP/1.1 304 Not\r\nContent-Length: x\r\n\r\n", ParseError::BadContentLength},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", ParseError::ConflictingLength},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
     ParseError::ConflictingLength},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     ParseError::LengthWithTransferCoding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     ParseError::LengthWithTransferCoding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", ParseError::BadTransferCoding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ParseError::BadTransferCoding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
     ParseError::BadTransferCoding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     ParseError::BadTransferCoding},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::BadTransferCoding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     ParseError::UnsupportedTransferCoding},
    {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", ParseError::BodyNotAllowed},
    {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::BodyNotAllowed},
    {"HTTP/1.1 100 Go\r\nContent-Length: 1\r\n\r\n", ParseError::BodyNotAllowed},
    {"HTTP/1.1 103 Go\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::BodyNotAllowed},
    {"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\n\r\n",
     ParseError::BodyNotAllowed},
    {"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\n",
     ParseError::BadConnection},
    {"HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n", ParseError::BadConnection},
};

std::string verdict(std::string_view row, ParseError error) {
  return std::string(parseErrorText(error)) + ": " + std::string(row);
}

TEST("a response head says where its body ends and whether the connection goes on") {
  for (const Accepted& row : kResponses) CHECK_EQ(acceptResponse(row.bytes), row.reading);
}

TEST("a response that is malformed or leaves its framing in doubt is refused") {
  for (const Refused& row : kBadResponses) {
    CHECK_EQ(verdict(row.bytes, refuseResponse(row.bytes)), verdict(row.bytes, row.error));
  }
}

TEST("the answer to HEAD announces a body and has none") {
  CHECK_EQ(acceptResponse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head),
           "200 [OK] HTTP/1.1 announced=5 | Content-Length: 5");
  CHECK_EQ(acceptResponse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Head),
           "200 [OK] HTTP/1.1 | ~Transfer-Encoding: chunked");
  CHECK_EQ(acceptResponse("HTTP/1.1 200 OK\r\n\r\n", Method::Head), "200 [OK] HTTP/1.1");
  CHECK_EQ(refuseResponse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                          Method::Head),
           ParseError::ConflictingLength);
  CHECK_EQ(refuseResponse("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Method::Head),
           ParseError::BadTransferCoding);
}

TEST("limits of a response head hold before its end is seen") {
  const HeadLimits limits{.lineBytes = 15, .headBytes = 40, .fieldCount = 2};
  CHECK_EQ(acceptResponse("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n", Method::Get, limits),
           "200 [OK] HTTP/1.1 until-close close | A: b | C: d");
  std::size_t seenAt = 0;
  CHECK_EQ(refuseResponse("HTTP/1.1 200 OK!\r\n\r\n", Method::Get, limits, &seenAt),
           ParseError::HeadTooLarge);
  CHECK_EQ(seenAt, 16U);
  CHECK_EQ(refuseResponse("HTTP/1.1 200 OK\r\nA: 4567890123456789012345678901234", Method::Get,
                          limits, &seenAt),
           ParseError::HeadTooLarge);
  CHECK_EQ(seenAt, 40U);
  CHECK_EQ(refuseResponse("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", Method::Get, limits),
           ParseError::TooManyHeaders);
}

}  // namespace
}  // namespace tidegate::test
