// Request heads: what is accepted and how it is read, what is refused and why. Each row at every
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
using http1::parseErrorStatus;
using http1::parseErrorText;
using http1::parseRequestHead;
using std::string_view_literals::operator""sv;

struct Accepted {
  std::string_view bytes;
  std::string_view reading;
};

struct Refused {
  std::string_view bytes;
  ParseError error;
};

// Request lines in front of "Host: h", with what is read of the line.
constexpr Accepted kLines[] = {
    {"GET / HTTP/1.1", "GET / host=h HTTP/1.1"},
    {"GET / HTTP/1.0", "GET / host=h HTTP/1.0 close"},
    {"GET / HTTP/1.2", "GET / host=h HTTP/1.1"},
    {"GET / HTTP/1.9", "GET / host=h HTTP/1.1"},
    {"HEAD /a HTTP/1.1", "HEAD /a host=h HTTP/1.1"},
    {"POST /a HTTP/1.1", "POST /a host=h HTTP/1.1"},
    {"PUT /a HTTP/1.1", "PUT /a host=h HTTP/1.1"},
    {"DELETE /a HTTP/1.1", "DELETE /a host=h HTTP/1.1"},
    {"PATCH /a HTTP/1.1", "PATCH /a host=h HTTP/1.1"},
    {"TRACE /a HTTP/1.1", "TRACE /a host=h HTTP/1.1"},
    {"OPTIONS /a HTTP/1.1", "OPTIONS /a host=h HTTP/1.1"},
    {"OPTIONS * HTTP/1.1", "OPTIONS * server-wide host=h HTTP/1.1"},
    {"get / HTTP/1.1", "get / host=h HTTP/1.1"},
    {"BREW /pot HTTP/1.1", "BREW /pot host=h HTTP/1.1"},
    {"M-SEARCH /a HTTP/1.1", "M-SEARCH /a host=h HTTP/1.1"},
    {"!#$%&'*+-.^_`|~09azAZ /a HTTP/1.1", "!#$%&'*+-.^_`|~09azAZ /a host=h HTTP/1.1"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1",
     "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / host=h HTTP/1.1"},
    {"GET /a?b=c HTTP/1.1", "GET /a?b=c host=h HTTP/1.1"},
    {"GET /a? HTTP/1.1", "GET /a? host=h HTTP/1.1"},
    {"GET /?a?b?c HTTP/1.1", "GET /?a?b?c host=h HTTP/1.1"},
    {"GET /a?b=/c/../d HTTP/1.1", "GET /a?b=/c/../d host=h HTTP/1.1"},
    {"GET // HTTP/1.1", "GET // host=h HTTP/1.1"},
    {"GET //other/a HTTP/1.1", "GET //other/a host=h HTTP/1.1"},
    {"GET /../a/./b HTTP/1.1", "GET /../a/./b host=h HTTP/1.1"},
    {"GET /%2e%2F%00 HTTP/1.1", "GET /%2e%2F%00 host=h HTTP/1.1"},
    {"GET /a;b=c:d@e HTTP/1.1", "GET /a;b=c:d@e host=h HTTP/1.1"},
    {"GET /\"<>\\^`{|} HTTP/1.1", "GET /\"<>\\^`{|} host=h HTTP/1.1"},
    {"GET /a-path-that-is-longer-than-one-vector-of-bytes?and=a-query-that-is HTTP/1.1",
     "GET /a-path-that-is-longer-than-one-vector-of-bytes?and=a-query-that-is host=h HTTP/1.1"},
    {"GET /123456789012345?12345 HTTP/1.1", "GET /123456789012345?12345 host=h HTTP/1.1"},
    {"GET http://h HTTP/1.1", "GET / host=h HTTP/1.1"},
    {"GET http://h/ HTTP/1.1", "GET / host=h HTTP/1.1"},
    {"GET http://h?q=/ HTTP/1.1", "GET /?q=/ host=h HTTP/1.1"},
    {"GET http://h/a/b?c HTTP/1.1", "GET /a/b?c host=h HTTP/1.1"},
    {"GET HTTP://H/a HTTP/1.1", "GET /a host=H HTTP/1.1"},
    {"GET http://h:/a HTTP/1.1", "GET /a host=h authority=h: HTTP/1.1"},
    {"GET http://h:80/a HTTP/1.1", "GET /a host=h authority=h:80 HTTP/1.1"},
    {"GET https://h/a HTTP/1.1", "GET /a host=h HTTP/1.1"},
    {"GET https://h:443/a HTTP/1.1", "GET /a host=h authority=h:443 HTTP/1.1"},
    {"OPTIONS http://h HTTP/1.1", "OPTIONS / server-wide host=h HTTP/1.1"},
    {"OPTIONS http://h/ HTTP/1.1", "OPTIONS / host=h HTTP/1.1"},
    {"OPTIONS http://h?a HTTP/1.1", "OPTIONS /?a host=h HTTP/1.1"},
    {"\r\nGET / HTTP/1.1", "GET / host=h HTTP/1.1"},
    {"\r\n\r\n\r\n\r\nGET / HTTP/1.1", "GET / host=h HTTP/1.1"},
};

// Request lines that are refused whatever follows.
constexpr Refused kBadLines[] = {
    {"\nGET / HTTP/1.1\r\n", ParseError::BareLineFeed},
    {"\r\n\nGET / HTTP/1.1\r\n", ParseError::BareLineFeed},
    {"\rGET / HTTP/1.1\r\n", ParseError::BareCarriageReturn},
    {"\r\r\nGET / HTTP/1.1\r\n", ParseError::BareCarriageReturn},
    {"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", ParseError::BadRequestLine},
    {" GET / HTTP/1.1\r\n", ParseError::BadMethod},
    {"\tGET / HTTP/1.1\r\n", ParseError::BadMethod},
    {"\0GET / HTTP/1.1\r\n"sv, ParseError::BadMethod},
    {"G\0ET / HTTP/1.1\r\n"sv, ParseError::BadMethod},
    {"GET\t/ HTTP/1.1\r\n", ParseError::BadMethod},
    {"GE(T / HTTP/1.1\r\n", ParseError::BadMethod},
    {"GET: / HTTP/1.1\r\n", ParseError::BadMethod},
    {"G\xc3\x89T / HTTP/1.1\r\n", ParseError::BadMethod},
    {"GET\x7f / HTTP/1.1\r\n", ParseError::BadMethod},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"sv, ParseError::BadMethod},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n", ParseError::BadMethod},
    {"GET\r\n", ParseError::BadRequestLine},
    {"GET\n", ParseError::BareLineFeed},
    {"GET /\r\n", ParseError::BadRequestLine},
    {"GET /\n", ParseError::BareLineFeed},
    {"GET  / HTTP/1.1\r\n", ParseError::BadRequestLine},
    {"GET \r\n", ParseError::BadRequestLine},
    {"GET /  HTTP/1.1\r\n", ParseError::BadVersion},
    {"GET / \r\n", ParseError::BadVersion},
    {"GET /a b HTTP/1.1\r\n", ParseError::BadVersion},
    {"GET /\tHTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a\tb HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a\0b HTTP/1.1\r\n"sv, ParseError::BadTarget},
    {"GET /a\x01 HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a\x1f?b HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a?b\x7f HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /\x80 HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /caf\xc3\xa9 HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /?q=\xff HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a#b HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a?b#c HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://h/a#b HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET /a\r HTTP/1.1\r\n", ParseError::BadRequestLine},
    {"GET /a\rb HTTP/1.1\r\n", ParseError::BadRequestLine},
    {"GET /a?b\nc HTTP/1.1\r\n", ParseError::BareLineFeed},
    {"GET * HTTP/1.1\r\n", ParseError::BadTarget},
    {"POST * HTTP/1.1\r\n", ParseError::BadTarget},
    {"OPTIONS ** HTTP/1.1\r\n", ParseError::BadTarget},
    {"OPTIONS *?a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET h:80 HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET ?a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET \\a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http:/h/a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http: HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http:// HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http:///a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://?a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://:80/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://user@h/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://user:pass@h/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://@h/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://h\\a/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://h%41/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://h:99999/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET http://h:8o/ HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET ftp://h/a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET ws://h/a HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET file:///etc/passwd HTTP/1.1\r\n", ParseError::BadTarget},
    {"GET javascript:alert(1) HTTP/1.1\r\n", ParseError::BadTarget},
    {"CONNECT h:443 HTTP/1.1\r\n", ParseError::ConnectRefused},
    {"CONNECT / HTTP/1.1\r\n", ParseError::ConnectRefused},
    {"CONNECT http://h/ HTTP/1.1\r\n", ParseError::ConnectRefused},
    {"GET / HTTP/2.0\r\n", ParseError::UnsupportedVersion},
    {"GET / HTTP/0.9\r\n", ParseError::UnsupportedVersion},
    {"GET / HTTP/3.1\r\n", ParseError::UnsupportedVersion},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ParseError::UnsupportedVersion},
    {"GET / HTTP/1\r\n", ParseError::BadVersion},
    {"GET / HTTP/1.\r\n", ParseError::BadVersion},
    {"GET / HTTP/11\r\n", ParseError::BadVersion},
    {"GET / HTTP/1,1\r\n", ParseError::BadVersion},
    {"GET / HTTP/a.b\r\n", ParseError::BadVersion},
    {"GET / HTTP 1.1\r\n", ParseError::BadVersion},
    {"GET / http/1.1\r\n", ParseError::BadVersion},
    {"GET / HTTPS/1.1\r\n", ParseError::BadVersion},
    {"GET / ICAP/1.0\r\n", ParseError::BadVersion},
    {"GET / RTSP/1.0\r\n", ParseError::BadVersion},
    {"GET / HTTP/1.1 \r\n", ParseError::BadRequestLine},
    {"GET / HTTP/1.1\t\r\n", ParseError::BadRequestLine},
    {"GET / HTTP/1.10\r\n", ParseError::BadRequestLine},
    {"GET / HTTP/1.1x\r\n", ParseError::BadRequestLine},
    {"GET / HTTP/1.1 HTTP/1.1\r\n", ParseError::BadRequestLine},
    {"GET / HTTP/1.1\0\r\n"sv, ParseError::BadRequestLine},
    {"GET / HTTP/1.1\n", ParseError::BareLineFeed},
    {"GET / HTTP/1.1\rHost: h\r\n", ParseError::BareCarriageReturn},
    {"GET / HTTP/1.1\r\r\n", ParseError::BareCarriageReturn},
};

// Field lines between "Host: h" and the empty line, with what is read of them and of the head.
constexpr Accepted kFields[] = {
    {"A: b\r\n", " | A: b"},
    {"A:b\r\n", " | A: b"},
    {"A: \t b\r\n", " | A: b"},
    {"A: b \t \r\n", " | A: b"},
    {"A:\r\n", " | A: "},
    {"A: \r\n", " | A: "},
    {"A: \t \t \r\n", " | A: "},
    {"A: b c\td\r\n", " | A: b c\td"},
    {"A: b: c\r\n", " | A: b: c"},
    {"A: \"quoted, \\\" text\"\r\n", " | A: \"quoted, \\\" text\""},
    {"A: caf\xc3\xa9\r\n", " | A: caf\xc3\xa9"},
    {"A: \xff\x80\r\n", " | A: \xff\x80"},
    {"A: fifteen bytes..\r\n", " | A: fifteen bytes.."},
    {"A: a value of more than sixteen bytes, and of more than thirty-two\r\n",
     " | A: a value of more than sixteen bytes, and of more than thirty-two"},
    {"A: 1\r\nA: 2\r\na: 3\r\n", " | A: 1 | A: 2 | a: 3"},
    {"a-name-of-more-than-sixteen-bytes: b\r\n", " | a-name-of-more-than-sixteen-bytes: b"},
    {"a_name.with!every#other$token%byte&'*+^`|~: b\r\n",
     " | a_name.with!every#other$token%byte&'*+^`|~: b"},
    {"0: b\r\n", " | 0: b"},
    {"Content-Length: 0\r\n", " length=0 | Content-Length: 0"},
    {"Content-Length: 5\r\n", " length=5 | Content-Length: 5"},
    {"content-length:5\r\n", " length=5 | content-length: 5"},
    {"CONTENT-LENGTH: 5 \r\n", " length=5 | CONTENT-LENGTH: 5"},
    {"Content-Length: 0005\r\n", " length=5 | Content-Length: 0005"},
    {"Content-Length: 9223372036854775807\r\n",
     " length=9223372036854775807 | Content-Length: 9223372036854775807"},
    {"Transfer-Encoding: chunked\r\n", " chunked | ~Transfer-Encoding: chunked"},
    {"transfer-encoding:  CHUNKED  \r\n", " chunked | ~transfer-encoding: CHUNKED"},
    {"Connection: keep-alive\r\n", " | ~Connection: keep-alive"},
    {"Connection: close\r\n", " close | ~Connection: close"},
    {"Connection: CLOSE\r\n", " close | ~Connection: CLOSE"},
    {"Connection: keep-alive, close\r\n", " close | ~Connection: keep-alive, close"},
    {"Connection: close\r\nConnection: keep-alive\r\n",
     " close | ~Connection: close | ~Connection: keep-alive"},
    {"Connection: ,, close ,\r\n", " close | ~Connection: ,, close ,"},
    {"Connection: closed\r\n", " | ~Connection: closed"},
    {"Connection:\r\n", " | ~Connection: "},
    {"Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n", " | ~Connection: x-a | ~X-A: 1 | X-B: 2"},
    {"X-A: 1\r\nx-a: 2\r\nConnection: foo , X-A\r\nFoo: 3\r\n",
     " | ~X-A: 1 | ~x-a: 2 | ~Connection: foo , X-A | ~Foo: 3"},
    {"Connection: close, accept\r\nAccept: a\r\n",
     " close | ~Connection: close, accept | ~Accept: a"},
    {"Connection: x-a\r\nConnection: x-b\r\nX-B: 1\r\nX-A: 2\r\n",
     " | ~Connection: x-a | ~Connection: x-b | ~X-B: 1 | ~X-A: 2"},
    {"Connection: connection, te, trailer, keep-alive, upgrade\r\n",
     " | ~Connection: connection, te, trailer, keep-alive, upgrade"},
    {"Keep-Alive: timeout=5\r\n", " | ~Keep-Alive: timeout=5"},
    {"Proxy-Connection: close\r\n", " | ~Proxy-Connection: close"},
    {"Proxy-Authorization: Basic YTpi\r\n", " | ~Proxy-Authorization: Basic YTpi"},
    {"Proxy-Authenticate: Basic\r\n", " | ~Proxy-Authenticate: Basic"},
    {"Trailer: x-a\r\n", " | ~Trailer: x-a"},
    {"Upgrade: websocket\r\n", " | ~Upgrade: websocket"},
    {"Connection: Upgrade\r\n", " | ~Connection: Upgrade"},
    {"Connection: Upgrade\r\nUpgrade: websocket\r\n",
     " upgrade | ~Connection: Upgrade | ~Upgrade: websocket"},
    {"Upgrade: a/1, b\r\nConnection: keep-alive, upgrade\r\n",
     " upgrade | ~Upgrade: a/1, b | ~Connection: keep-alive, upgrade"},
    {"Connection: Upgrade\r\nUpgrade:\r\n", " | ~Connection: Upgrade | ~Upgrade: "},
    {"TE: trailers\r\n", " te-trailers | ~TE: trailers"},
    {"TE: gzip;q=0.5 , Trailers\r\n", " te-trailers | ~TE: gzip;q=0.5 , Trailers"},
    {"TE: gzip\r\n", " | ~TE: gzip"},
    {"TE:\r\n", " | ~TE: "},
    {"Expect: 100-continue\r\n", " expect | Expect: 100-continue"},
    {"Expect: 100-Continue\r\n", " expect | Expect: 100-Continue"},
    {"Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n",
     " | Forwarded: for=1.2.3.4 | X-Forwarded-For: 1.2.3.4"},
};

// Field lines after "GET / HTTP/1.1" and "Host: h".
constexpr Refused kBadFields[] = {
    {"A : b\r\n", ParseError::BadHeaderName},
    {"A\t: b\r\n", ParseError::BadHeaderName},
    {"A b: c\r\n", ParseError::BadHeaderName},
    {": b\r\n", ParseError::BadHeaderName},
    {":\r\n", ParseError::BadHeaderName},
    {":authority: b\r\n", ParseError::BadHeaderName},
    {"A\r\n", ParseError::BadHeaderName},
    {"A\n", ParseError::BareLineFeed},
    {"A;b: c\r\n", ParseError::BadHeaderName},
    {"A\"b\": c\r\n", ParseError::BadHeaderName},
    {"A(b): c\r\n", ParseError::BadHeaderName},
    {"A/b: c\r\n", ParseError::BadHeaderName},
    {"A[b]: c\r\n", ParseError::BadHeaderName},
    {"A{b}: c\r\n", ParseError::BadHeaderName},
    {"A<b>: c\r\n", ParseError::BadHeaderName},
    {"A@b: c\r\n", ParseError::BadHeaderName},
    {"A\\b: c\r\n", ParseError::BadHeaderName},
    {"A,b: c\r\n", ParseError::BadHeaderName},
    {"A=b: c\r\n", ParseError::BadHeaderName},
    {"A?b: c\r\n", ParseError::BadHeaderName},
    {"A\0: c\r\n"sv, ParseError::BadHeaderName},
    {"\0A: c\r\n"sv, ParseError::BadHeaderName},
    {"A\x01: c\r\n", ParseError::BadHeaderName},
    {"A\x7f: c\r\n", ParseError::BadHeaderName},
    {"\xc3\xa9: c\r\n", ParseError::BadHeaderName},
    {"A\x80: c\r\n", ParseError::BadHeaderName},
    {"Content-Length : 5\r\n", ParseError::BadHeaderName},
    {"Transfer-Encoding : chunked\r\n", ParseError::BadHeaderName},
    {"Transfer-Encoding\x0b: chunked\r\n", ParseError::BadHeaderName},
    {"Transfer-Encoding\r\n: chunked\r\n", ParseError::BadHeaderName},
    {" A: b\r\n", ParseError::FoldedLine},
    {"\tA: b\r\n", ParseError::FoldedLine},
    {"A: b\r\n c\r\n", ParseError::FoldedLine},
    {"A: b\r\n\tc\r\n", ParseError::FoldedLine},
    {"A: b\r\n \r\n", ParseError::FoldedLine},
    {"A:\r\n b\r\n", ParseError::FoldedLine},
    {"Transfer-Encoding:\r\n chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked\r\n , identity\r\n", ParseError::FoldedLine},
    {"A: b\nB: c\r\n", ParseError::BareLineFeed},
    {"A: b\n\r\n", ParseError::BareLineFeed},
    {"A:\n\r\n", ParseError::BareLineFeed},
    {"\nA: b\r\n", ParseError::BareLineFeed},
    {"A: b\r\n\nGET /evil HTTP/1.1\r\n", ParseError::BareLineFeed},
    {"A: b\rc\r\n", ParseError::BareCarriageReturn},
    {"A: b\r\r\n", ParseError::BareCarriageReturn},
    {"A: \rb\r\n", ParseError::BareCarriageReturn},
    {"A: b\r c\r\n", ParseError::BareCarriageReturn},
    {"A: b\r\0\n"sv, ParseError::BareCarriageReturn},
    {"\rA: b\r\n", ParseError::BareCarriageReturn},
    {"A: b\r\n\rB: c\r\n", ParseError::BareCarriageReturn},
    {"A: \0\r\n"sv, ParseError::BadHeaderValue},
    {"A: b\0c\r\n"sv, ParseError::BadHeaderValue},
    {"A: a value of more than sixteen bytes with a NUL at its end\0\r\n"sv,
     ParseError::BadHeaderValue},
    {"A: b\x01\r\n", ParseError::BadHeaderValue},
    {"A: b\x08\r\n", ParseError::BadHeaderValue},
    {"A: b\x0b\r\n", ParseError::BadHeaderValue},
    {"A: b\x0c\r\n", ParseError::BadHeaderValue},
    {"A: \x1b[0m\r\n", ParseError::BadHeaderValue},
    {"A: b\x1f\r\n", ParseError::BadHeaderValue},
    {"A: b\x7f\r\n", ParseError::BadHeaderValue},
    {"Content-Length:\r\n", ParseError::BadContentLength},
    {"Content-Length: \r\n", ParseError::BadContentLength},
    {"Content-Length: a\r\n", ParseError::BadContentLength},
    {"Content-Length: -1\r\n", ParseError::BadContentLength},
    {"Content-Length: +1\r\n", ParseError::BadContentLength},
    {"Content-Length: 1.0\r\n", ParseError::BadContentLength},
    {"Content-Length: 0x5\r\n", ParseError::BadContentLength},
    {"Content-Length: 1e3\r\n", ParseError::BadContentLength},
    {"Content-Length: 5 5\r\n", ParseError::BadContentLength},
    {"Content-Length: 5a\r\n", ParseError::BadContentLength},
    {"Content-Length:\t5\r\n", ParseError::BadContentLength},
    {"Content-Length: 5\t\r\n", ParseError::BadContentLength},
    {"Content-Length: 5 \t \r\n", ParseError::BadContentLength},
    {"Content-Length: 5;\r\n", ParseError::BadContentLength},
    {"Content-Length: \"5\"\r\n", ParseError::BadContentLength},
    {"Content-Length: \xd9\xa5\r\n", ParseError::BadContentLength},
    {"Content-Length: 9223372036854775808\r\n", ParseError::BadContentLength},
    {"Content-Length: 18446744073709551615\r\n", ParseError::BadContentLength},
    {"Content-Length: 18446744073709551616\r\n", ParseError::BadContentLength},
    {"Content-Length: 18446744073709551621\r\n", ParseError::BadContentLength},
    {"Content-Length: 99999999999999999999999999\r\n", ParseError::BadContentLength},
    {"Content-Length: 5, 5\r\n", ParseError::ConflictingLength},
    {"Content-Length: 5,6\r\n", ParseError::ConflictingLength},
    {"Content-Length: ,5\r\n", ParseError::ConflictingLength},
    {"Content-Length: 5,\r\n", ParseError::ConflictingLength},
    {"Content-Length: 5\r\nContent-Length: 5\r\n", ParseError::ConflictingLength},
    {"Content-Length: 5\r\nContent-Length: 6\r\n", ParseError::ConflictingLength},
    {"Content-Length: 0\r\ncontent-length: 5\r\n", ParseError::ConflictingLength},
    {"Content-Length: 5\r\nA: b\r\nContent-Length:\r\n", ParseError::ConflictingLength},
    {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ParseError::LengthWithTransferCoding},
    {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", ParseError::LengthWithTransferCoding},
    {"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", ParseError::LengthWithTransferCoding},
    {"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", ParseError::LengthWithTransferCoding},
    {"Content-Length: 5\r\nTransfer-Encoding:\r\n", ParseError::LengthWithTransferCoding},
    {"Transfer-Encoding:\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: identity\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: gzip\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: x\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: xchunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunkedx\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunke\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: \"chunked\"\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: 'chunked'\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked;q=1\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding:\tchunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked\t\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: \tchunked \r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked ;\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked, chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked, gzip\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked, identity\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked,\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: ,chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: gzip chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: gzip;a=b, chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked, gzip, chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunk\xc3\xa9"
     "d\r\n",
     ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
     ParseError::BadTransferCoding},
    {"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
     ParseError::BadTransferCoding},
    {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", ParseError::BadTransferCoding},
    {"Transfer-Encoding: gzip, chunked\r\n", ParseError::UnsupportedTransferCoding},
    {"Transfer-Encoding: identity, chunked\r\n", ParseError::UnsupportedTransferCoding},
    {"Transfer-Encoding: br , gzip ,  Chunked\r\n", ParseError::UnsupportedTransferCoding},
    {"Host: h\r\n", ParseError::RepeatedHost},
    {"Host: other\r\n", ParseError::RepeatedHost},
    {"A: b\r\nhost:\r\n", ParseError::RepeatedHost},
    {"Connection: host\r\n", ParseError::BadConnection},
    {"Connection: Content-Length\r\n", ParseError::BadConnection},
    {"Connection: close, Transfer-Encoding\r\n", ParseError::BadConnection},
    {"Connection: Authorization\r\n", ParseError::BadConnection},
    {"Connection: cookie\r\n", ParseError::BadConnection},
    {"Connection: X-Forwarded-For\r\n", ParseError::BadConnection},
    {"Connection: x-forwarded-proto, close\r\n", ParseError::BadConnection},
    {"Connection: x-forwarded-host\r\n", ParseError::BadConnection},
    {"Connection: forwarded\r\n", ParseError::BadConnection},
    {"Connection: close close\r\n", ParseError::BadConnection},
    {"Connection:\tclose\r\n", ParseError::BadConnection},
    {"Connection: close\t\r\n", ParseError::BadConnection},
    {"Connection: x\t, close\r\n", ParseError::BadConnection},
    {"Connection: close;\r\n", ParseError::BadConnection},
    {"Connection: \"close\"\r\n", ParseError::BadConnection},
    {"Connection: caf\xc3\xa9\r\n", ParseError::BadConnection},
    {"Expect: 200-ok\r\n", ParseError::BadExpect},
    {"Expect: 100-continue\t\r\n", ParseError::BadExpect},
    {"Expect:\r\n", ParseError::BadExpect},
    {"Expect: 100-continue, 100-continue\r\n", ParseError::BadExpect},
    {"Expect: 100-continue;a=b\r\n", ParseError::BadExpect},
    {"Expect: 100-continue\r\nExpect: other\r\n", ParseError::BadExpect},
};

// Values of Host after "GET / HTTP/1.1".
constexpr Accepted kHosts[] = {
    {"example.com", "host=example.com"},
    {"EXAMPLE.com", "host=EXAMPLE.com"},
    {"example.com.", "host=example.com."},
    {"example.com:8080", "host=example.com authority=example.com:8080"},
    {"example.com:", "host=example.com authority=example.com:"},
    {"example.com:00080", "host=example.com authority=example.com:00080"},
    {"h:1", "host=h authority=h:1"},
    {"h:65535", "host=h authority=h:65535"},
    {"127.0.0.1", "host=127.0.0.1"},
    {"127.0.0.1:8080", "host=127.0.0.1 authority=127.0.0.1:8080"},
    {"[::1]", "host=[::1]"},
    {"[::1]:8080", "host=[::1] authority=[::1]:8080"},
    {"[2001:DB8::a]", "host=[2001:DB8::a]"},
    {"[::ffff:10.0.0.1]:80", "host=[::ffff:10.0.0.1] authority=[::ffff:10.0.0.1]:80"},
    {"my_service.internal", "host=my_service.internal"},
    {"a-b.c~d", "host=a-b.c~d"},
    {"xn--bcher-kva.example", "host=xn--bcher-kva.example"},
    {"a.host.name.of.more.than.sixteen.bytes:8080",
     "host=a.host.name.of.more.than.sixteen.bytes "
     "authority=a.host.name.of.more.than.sixteen.bytes:8080"},
};

constexpr std::string_view kBadHosts[] = {
    "",
    ":80",
    "h:0",
    "h:65536",
    "h:100000",
    "h:-1",
    "h:+1",
    "h:8o",
    "h:80:80",
    "h: 80",
    "h :80",
    "a b",
    "a\tb",
    "a,b",
    "a, b",
    "user@h",
    "user:pass@h",
    "http://h",
    "h/",
    "h/path",
    "h?query",
    "h#fragment",
    "h\\",
    "*",
    "*.example.com",
    "h%41",
    "h%2f",
    "h%00",
    "a!b",
    "a$b",
    "a&b",
    "a'b",
    "(a)",
    "a;b",
    "a=b",
    "<a>",
    "\"a\"",
    "caf\xc3\xa9.example",
    "[",
    "[]",
    "]",
    "[::1",
    "::1",
    "::1]",
    "[::1]x",
    "[::1]:x",
    "[::1]80",
    "[[::1]]",
    "[127.0.0.1]",
    "[h]",
    "[:]",
    "[:::]",
    "[1:2:3:4:5:6:7:8:9]",
    "[::g]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[v1.a:b]",
};

std::string request(std::string_view line, std::string_view fields) {
  return std::string(line) + "\r\n" + std::string(fields) + "\r\n";
}

// What a failure prints: the row and the error.
std::string verdict(std::string_view row, ParseError error) {
  return std::string(parseErrorText(error)) + ": " + std::string(row);
}

TEST("a request line is read by its form") {
  for (const Accepted& row : kLines) {
    CHECK_EQ(acceptRequest(request(row.bytes, "Host: h\r\n")),
             std::string(row.reading) + " | Host: h");
  }
}

TEST("a request line that is malformed, ambiguous or unsupported is refused") {
  for (const Refused& row : kBadLines) {
    CHECK_EQ(verdict(row.bytes, refuseRequest(row.bytes)), verdict(row.bytes, row.error));
  }
}

TEST("fields say how the body and the connection go on") {
  for (const Accepted& row : kFields) {
    const std::string_view fields = row.reading.substr(row.reading.find(" | "));
    const std::string_view facts = row.reading.substr(0, row.reading.find(" | "));
    CHECK_EQ(acceptRequest(request("POST / HTTP/1.1", "Host: h\r\n" + std::string(row.bytes))),
             "POST / host=h HTTP/1.1" + std::string(facts) + " | Host: h" + std::string(fields));
  }
}

TEST("fields that are malformed or leave the framing in doubt are refused") {
  for (const Refused& row : kBadFields) {
    const std::string bytes = request("POST / HTTP/1.1", "Host: h\r\n" + std::string(row.bytes));
    CHECK_EQ(verdict(row.bytes, refuseRequest(bytes)), verdict(row.bytes, row.error));
  }
}

TEST("Host is a host with an optional port") {
  for (const Accepted& row : kHosts) {
    const std::string field = "Host: " + std::string(row.bytes) + "\r\n";
    CHECK_EQ(acceptRequest(request("GET / HTTP/1.1", field)),
             "GET / " + std::string(row.reading) + " HTTP/1.1 | Host: " + std::string(row.bytes));
  }
}

TEST("Host that is empty or anything else is refused, in HTTP/1.0 too") {
  for (const std::string_view host : kBadHosts) {
    const std::string field = "Host: " + std::string(host) + "\r\n";
    for (const std::string_view line : {"GET / HTTP/1.1", "GET / HTTP/1.0"}) {
      CHECK_EQ(verdict(host, refuseRequest(request(line, field))),
               verdict(host, ParseError::BadHost));
    }
  }
}

TEST("Host may be missing in HTTP/1.0 only") {
  CHECK_EQ(acceptRequest("GET / HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0 close");
  CHECK_EQ(acceptRequest("GET / HTTP/1.0\r\nA: b\r\n\r\n"), "GET / HTTP/1.0 close | A: b");
  CHECK_EQ(acceptRequest("GET http://h/a HTTP/1.0\r\n\r\n"), "GET /a host=h HTTP/1.0 close");
  CHECK_EQ(refuseRequest("GET / HTTP/1.1\r\n\r\n"), ParseError::MissingHost);
  CHECK_EQ(refuseRequest("GET / HTTP/1.1\r\nA: b\r\n\r\n"), ParseError::MissingHost);
  CHECK_EQ(refuseRequest("GET / HTTP/1.3\r\nXHost: b\r\n\r\n"), ParseError::MissingHost);
  CHECK_EQ(refuseRequest("GET http://h/ HTTP/1.1\r\n\r\n"), ParseError::MissingHost);
  CHECK_EQ(refuseRequest("OPTIONS * HTTP/1.1\r\n\r\n"), ParseError::MissingHost);
}

TEST("Host and an absolute target name the same host, whatever the case and the default port") {
  const auto outcome = [](std::string_view target, std::string_view host) {
    const std::string bytes =
        request("GET " + std::string(target) + " HTTP/1.1", "Host: " + std::string(host) + "\r\n");
    return refuseRequest(bytes);
  };
  for (const std::string_view host : {"a.b", "A.B", "a.b:", "a.b:80", "a.b:080"}) {
    for (const std::string_view target : {"http://a.b/", "http://A.b:80/", "http://a.b:"}) {
      const std::string bytes = request("GET " + std::string(target) + " HTTP/1.1",
                                        "Host: " + std::string(host) + "\r\n");
      CHECK(acceptRequest(bytes).starts_with("GET / host="));
    }
  }
  CHECK(
      acceptRequest("GET https://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("GET / host=a"));
  CHECK(acceptRequest("GET http://[::A]/ HTTP/1.1\r\nHost: [::a]:80\r\n\r\n")
            .starts_with("GET / host=[::A]"));
  CHECK_EQ(outcome("http://a/", "b"), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://a/", "a."), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://a/", "a:8080"), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://a:8080/", "a"), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://a/", "a:443"), ParseError::HostMismatch);
  CHECK_EQ(outcome("https://a/", "a:80"), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://a.b", "b.a"), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://[::1]/", "[::2]"), ParseError::HostMismatch);
  CHECK_EQ(outcome("http://a/", ""), ParseError::BadHost);
}

TEST("HTTP/1.0 closes unless it asks for more, and knows no Expect, Upgrade or Transfer-Encoding") {
  const auto http10 = [](std::string_view fields) {
    return acceptRequest(request("GET / HTTP/1.0", fields));
  };
  CHECK_EQ(http10("Connection: keep-alive\r\n"), "GET / HTTP/1.0 | ~Connection: keep-alive");
  CHECK_EQ(http10("Connection: Keep-Alive, close\r\n"),
           "GET / HTTP/1.0 close | ~Connection: Keep-Alive, close");
  CHECK_EQ(http10("Connection: x\r\n"), "GET / HTTP/1.0 close | ~Connection: x");
  CHECK_EQ(http10("Expect: 100-continue\r\n"), "GET / HTTP/1.0 close | Expect: 100-continue");
  CHECK_EQ(http10("Expect: more\r\n"), "GET / HTTP/1.0 close | Expect: more");
  CHECK_EQ(http10("Connection: upgrade\r\nUpgrade: a\r\n"),
           "GET / HTTP/1.0 close | ~Connection: upgrade | ~Upgrade: a");
  CHECK_EQ(http10("Content-Length: 3\r\n"), "GET / HTTP/1.0 length=3 close | Content-Length: 3");
  CHECK_EQ(refuseRequest("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
           ParseError::BadTransferCoding);
}

TEST("a request line may fill its limit, and is refused before its end is seen when it does not") {
  const HeadLimits limits{.lineBytes = 20, .headBytes = 200, .fieldCount = 10};
  const std::string fits = "GET /123456 HTTP/1.1\r\nHost: h\r\n\r\n";
  CHECK_EQ(acceptRequest(fits, limits), "GET /123456 host=h HTTP/1.1 | Host: h");
  CHECK_EQ(acceptRequest("\r\n\r\n" + fits, limits), "GET /123456 host=h HTTP/1.1 | Host: h");
  std::size_t seenAt = 0;
  for (const std::string_view longer :
       {"GET /1234567 HTTP/1.1\r\nHost: h\r\n\r\n"sv, "GET /1234567890123456789012345"sv,
        "GET /?234567890123456789012345"sv, "GET http://h/901234567890"sv}) {
    CHECK_EQ(refuseRequest(longer, limits, &seenAt), ParseError::TargetTooLong);
    CHECK_EQ(seenAt, 21U);
  }
  const HeadLimits tiny{.lineBytes = 4, .headBytes = 200, .fieldCount = 10};
  CHECK_EQ(refuseRequest("POSTPONE / HTTP/1.1\r\n", tiny, &seenAt), ParseError::TargetTooLong);
  CHECK_EQ(seenAt, 5U);
}

TEST("a head may fill its limit, and is refused before its end is seen when it does not") {
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\nA: 0123456789012345678901234567\r\n\r\n";
  const auto size = static_cast<std::uint32_t>(head.size());
  const HeadLimits limits{.lineBytes = 20, .headBytes = size, .fieldCount = 10};
  CHECK(acceptRequest(head, limits).starts_with("GET / host=h"));
  for (std::uint32_t headBytes = 1; headBytes < size; ++headBytes) {
    std::size_t seenAt = 0;
    const HeadLimits less{.lineBytes = 20, .headBytes = headBytes, .fieldCount = 10};
    CHECK_EQ(refuseRequest(head, less, &seenAt), ParseError::HeadTooLarge);
    CHECK_EQ(seenAt, headBytes);
  }
  std::size_t seenAt = 0;
  CHECK_EQ(refuseRequest("\r\n\r\n" + head, limits, &seenAt), ParseError::HeadTooLarge);
  CHECK_EQ(seenAt, size);
}

TEST("a head may have as many fields as the limit says") {
  const HeadLimits limits{.lineBytes = 8192, .headBytes = 65536, .fieldCount = 3};
  CHECK_EQ(acceptRequest("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n", limits),
           "GET / host=h HTTP/1.1 | Host: h | A: 1 | B: 2");
  CHECK_EQ(refuseRequest("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits),
           ParseError::TooManyHeaders);
}

TEST("a limit of fields beyond the table is the table's size") {
  const HeadLimits limits{.lineBytes = 8192, .headBytes = 65536, .fieldCount = 100'000};
  std::string fields = "Host: h\r\n";
  for (std::size_t i = 1; i < kMaxFields; ++i) fields += "A:\r\n";
  static RequestHead head;
  const std::string full = request("GET / HTTP/1.1", fields);
  CHECK_EQ(parseRequestHead(full, limits, head).status, http1::ParseStatus::Complete);
  CHECK_EQ(head.fields().size(), kMaxFields);
  const std::string over = request("GET / HTTP/1.1", fields + "A:\r\n");
  CHECK_EQ(parseRequestHead(over, limits, head).error, ParseError::TooManyHeaders);
}

TEST("Connection may name 32 fields and not more") {
  std::string names;
  for (int i = 0; i < 32; ++i) names += "x" + std::to_string(i) + ", ";
  const auto head = [](const std::string& names) {
    return request("GET / HTTP/1.1",
                   "X31: 1\r\nHost: h\r\nConnection: " + names + "\r\nConnection: close\r\n");
  };
  CHECK(acceptRequest(head(names)).find(" close | ~X31: 1 |") != std::string::npos);
  CHECK_EQ(refuseRequest(head(names + "y")), ParseError::BadConnection);
}

TEST("a head is read in place, and survives being moved") {
  static RequestHead head;
  const std::string bytes = "\r\nGET http://a:1/p?q HTTP/1.1\r\nHost: a:1\r\nX: y\r\n\r\nrest";
  REQUIRE_EQ(parseRequestHead(bytes, {}, head).status, http1::ParseStatus::Complete);
  CHECK(head.base() == bytes.data());
  CHECK_EQ(head.size, bytes.size() - 4);
  const ExactBytes copy(bytes);
  head.rebase(copy.view().data());
  CHECK_EQ(head.view(head.line.target), "http://a:1/p?q");
  CHECK_EQ(describeHead(head), "GET /p?q host=a authority=a:1 HTTP/1.1 | Host: a:1 | X: y");
}

TEST("a head that was used before starts afresh") {
  static RequestHead head;
  const std::string rich =
      "OPTIONS http://h HTTP/1.0\r\nHost: h\r\nTE: trailers\r\nContent-Length: 5\r\n"
      "Connection: close\r\n\r\n";
  REQUIRE_EQ(parseRequestHead(rich, {}, head).status, http1::ParseStatus::Complete);
  const std::string plain = "GET /a HTTP/1.1\r\nHost: g\r\n\r\n";
  REQUIRE_EQ(parseRequestHead(plain, {}, head).status, http1::ParseStatus::Complete);
  CHECK_EQ(describeHead(head), "GET /a host=g HTTP/1.1 | Host: g");
}

TEST("every parse error has a sentence and a status of the client's or the server's") {
  for (int i = 1; i <= static_cast<int>(ParseError::TrailersTooLarge); ++i) {
    const auto error = static_cast<ParseError>(i);
    CHECK(parseErrorText(error) != parseErrorText(ParseError::None));
    CHECK(parseErrorText(error) != "unknown error");
    CHECK(parseErrorStatus(error) >= 400 && parseErrorStatus(error) <= 505);
  }
  CHECK_EQ(parseErrorStatus(ParseError::BadHost), 400);
  CHECK_EQ(parseErrorStatus(ParseError::TargetTooLong), 414);
  CHECK_EQ(parseErrorStatus(ParseError::BadExpect), 417);
  CHECK_EQ(parseErrorStatus(ParseError::HeadTooLarge), 431);
  CHECK_EQ(parseErrorStatus(ParseError::TooManyHeaders), 431);
  CHECK_EQ(parseErrorStatus(ParseError::ConnectRefused), 501);
  CHECK_EQ(parseErrorStatus(ParseError::UnsupportedTransferCoding), 501);
  CHECK_EQ(parseErrorStatus(ParseError::UnsupportedVersion), 505);
}

}  // namespace
}  // namespace tidegate::test
