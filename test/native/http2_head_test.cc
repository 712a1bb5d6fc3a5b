// Heads and trailers of HTTP/2 (RFC 9113 8.2 and 8.3) as the exchange gets them, and what is
// refused.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "http2/head_rules.h"

namespace tidegate::http2 {

using namespace std::string_literals;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

class Parsed {
 public:
  explicit Parsed(const Fields& fields, bool endStream = true, http1::HeadLimits limits = {}) {
    RequestCollector collector(head, room_, limits);
    for (const auto& [name, value] : fields) collector.onField(name, value, false);
    fault = collector.finish(endStream);
  }

  std::string text(Slice slice) const { return std::string(head.view(slice)); }
  std::string value(std::string_view name) const {
    for (const Field& field : head.fields()) {
      if (head.name(field) == name) return std::string(head.value(field));
    }
    return "(none)";
  }

  RequestHead head;
  HeadFault fault = HeadFault::None;

 private:
  std::array<char, kHeadRoom> room_;
};

Fields plain(const Fields& more = {}) {
  Fields fields = {{":method", "GET"},
                   {":scheme", "https"},
                   {":authority", "example.com:8443"},
                   {":path", "/a?b=c"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

HeadFault faultOf(const Fields& fields, bool endStream = true) {
  return Parsed(fields, endStream).fault;
}

Fields with(Fields fields, std::string_view name, const std::string& value) {
  for (auto& field : fields) {
    if (field.first == name) field.second = value;
  }
  return fields;
}

Fields without(Fields fields, std::string_view name) {
  std::erase_if(fields, [&](const auto& field) { return field.first == name; });
  return fields;
}

HeadFault responseFault(const Fields& fields, bool endStream, ResponseHead& head,
                        Method method = Method::Get) {
  static std::array<char, kHeadRoom> room;
  ResponseCollector collector(head, room, {});
  for (const auto& [name, value] : fields) collector.onField(name, value, false);
  return collector.finish(endStream, method);
}

HeadFault trailerFault(const Fields& fields) {
  static std::array<char, kHeadRoom> room;
  FieldTable table;
  TrailerCollector collector(table, room, {});
  for (const auto& [name, value] : fields) collector.onField(name, value, false);
  return collector.finish();
}

std::string literalOf(char form, std::string_view name, std::string_view value) {
  std::string block(1, form);
  if (!name.empty()) block.append(1, static_cast<char>(name.size())).append(name);
  return block.append(1, static_cast<char>(value.size())).append(value);
}

// What comes of a response whose block follows ":status: 200".
HeadFault responseFault(HpackDecoder& decoder, const std::string& block, ResponseHead& head) {
  static std::array<char, kHeadRoom> room;
  std::array<char, 1024> texts{};
  const std::string whole = "\x88" + block;
  ResponseCollector collector(head, room, {});
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(whole.data()), whole.size());
  CHECK(decoder.decode(bytes, texts, collector) == HpackError::None);
  return collector.finish(true, Method::Get);
}

}  // namespace

TEST("http2 head: what is refused is refused again when a table brings it") {
  constexpr char kInserted = 0x40;
  const std::string newest = "\xbe";
  ResponseHead head;
  const struct {
    std::string name;
    std::string value;
    HeadFault fault;
  } cases[] = {{"X-Name", "v", HeadFault::BadName},
               {"x-name", "a\x01z", HeadFault::BadValue},
               {"connection", "x", HeadFault::ConnectionField},
               {"te", "gzip", HeadFault::BadTe},
               {"content-length", "x", HeadFault::BadContentLength},
               {":path", "/", HeadFault::BadPseudoField}};
  for (const auto& each : cases) {
    HpackDecoder decoder;
    CHECK(responseFault(decoder, literalOf(kInserted, each.name, each.value), head) == each.fault);
    CHECK(responseFault(decoder, newest, head) == each.fault);
    CHECK(responseFault(decoder, newest, head) == each.fault);
  }
}

TEST("http2 head: a value is looked at where its name alone is known from a table") {
  HpackDecoder decoder;
  ResponseHead head;
  CHECK(responseFault(decoder, literalOf(0x40, "x-name", "good"), head) == HeadFault::None);
  for (const char form : {'\x7e', '\x7e'})  // inserted, with the newest entry's name
    CHECK(responseFault(decoder, literalOf(form, {}, "b\x01"), head) == HeadFault::BadValue);
  CHECK(responseFault(decoder, "\xc0", head) == HeadFault::None);
  CHECK_EQ(head.value(head.fields()[0]), "good");
  CHECK(responseFault(decoder, literalOf('\x5c', {}, "12"), head) == HeadFault::LengthMismatch);
  CHECK(responseFault(decoder, "\xbe\xbe", head) == HeadFault::BadContentLength);
}

TEST("http2 head: a request is as HTTP/1 would have it") {
  const Parsed request(plain({{"accept", "*/*"}, {"te", "trailers"}}));
  CHECK(request.fault == HeadFault::None);
  const RequestLine& line = request.head.line;
  CHECK(line.method == Method::Get);
  CHECK_EQ(request.text(line.methodToken), "GET");
  CHECK_EQ(request.text(line.target), "/a?b=c");
  CHECK_EQ(request.text(line.path), "/a");
  CHECK_EQ(request.text(line.query), "b=c");
  CHECK(line.hasQuery);
  CHECK_EQ(request.text(line.authority), "example.com:8443");
  CHECK_EQ(request.text(line.host), "example.com");
  CHECK(line.body == BodyKind::None);
  CHECK(line.teTrailers);
  CHECK_EQ(int{line.majorVersion}, 2);
  CHECK_EQ(request.value("host"), "example.com:8443");
  CHECK_EQ(request.value("accept"), "*/*");
}

TEST("http2 head: bodies by content-length and END_STREAM") {
  const auto post = [](const Fields& more, bool endStream) {
    return Parsed(with(plain(more), ":method", "POST"), endStream);
  };
  CHECK(post({}, false).head.line.body == BodyKind::Chunked);
  CHECK(post({}, true).head.line.body == BodyKind::Length);
  CHECK_EQ(post({{"content-length", "5"}}, false).head.line.contentLength, 5U);
  CHECK(post({{"content-length", "5"}}, true).fault == HeadFault::LengthMismatch);
  CHECK(post({{"content-length", "0"}}, true).fault == HeadFault::None);
  CHECK(post({{"expect", "100-continue"}}, false).head.line.expectContinue);
  CHECK(post({{"expect", "other"}}, false).fault == HeadFault::BadExpect);
  for (const char* bad : {"", "+5", "5,5", "0x5", " 5", "9223372036854775808"})
    CHECK(isMalformed(post({{"content-length", bad}}, false).fault));
  CHECK(post({{"content-length", "5"}, {"content-length", "5"}}, false).fault ==
        HeadFault::BadContentLength);
}

TEST("http2 head: cookie crumbs are joined in the place of the first") {
  const Parsed request(
      plain({{"cookie", "a=1"}, {"x-a", "b"}, {"cookie", "c=2"}, {"cookie", "d"}}));
  CHECK(request.fault == HeadFault::None);
  CHECK_EQ(request.value("cookie"), "a=1; c=2; d");
  CHECK_EQ(request.value("x-a"), "b");
  CHECK_EQ(request.head.fields().size(), std::size_t{3});
}

TEST("http2 head: Host stands for :authority, and may not differ from it") {
  const Parsed request(without(plain({{"host", "a.example"}}), ":authority"));
  CHECK(request.fault == HeadFault::None);
  CHECK_EQ(request.text(request.head.line.host), "a.example");
  CHECK_EQ(request.text(request.head.line.authority), "a.example");
  CHECK(faultOf(plain({{"host", "EXAMPLE.com:8443"}})) == HeadFault::None);
  CHECK(faultOf(plain({{"host", "example.com"}})) == HeadFault::HostMismatch);
  CHECK(faultOf(with(plain({{"host", "example.com"}}), ":authority", "example.com:443")) ==
        HeadFault::None);
  CHECK(faultOf(without(plain({{"host", "a"}, {"host", "a"}}), ":authority")) ==
        HeadFault::BadAuthority);
}

TEST("http2 head: pseudo-fields stand once, first, and are known") {
  for (const char* name : {":method", ":scheme", ":authority", ":path"}) {
    CHECK(faultOf(without(plain(), name)) == HeadFault::MissingPseudoField);
    Fields twice = plain();
    twice.emplace_back(name, "GET");
    CHECK(faultOf(twice) == HeadFault::BadPseudoField);
    Fields late = without(plain(), name);
    late.emplace_back("accept", "*/*");
    late.emplace_back(name, "/");
    CHECK(faultOf(late) == HeadFault::BadPseudoField);
  }
  CHECK(faultOf(plain({{":status", "200"}})) == HeadFault::BadPseudoField);
  CHECK(faultOf(plain({{":protocol", "websocket"}})) == HeadFault::BadPseudoField);
  CHECK(faultOf(plain({{":", "x"}})) == HeadFault::BadPseudoField);
}

TEST("http2 head: targets that HTTP/1 would read in another way are refused") {
  for (const char* bad : {"", "a", "http://example.com/", "/a b", "/a\r\nx: y", "/a#b", "*",
                          "/\x80", "//example.com\t", "?a"})
    CHECK(faultOf(with(plain(), ":path", bad)) == HeadFault::BadTarget);
  CHECK(faultOf(with(plain(), ":path", "/a\0b"s)) == HeadFault::BadTarget);
  CHECK(faultOf(with(with(plain(), ":path", "*"), ":method", "OPTIONS")) == HeadFault::None);
}

TEST("http2 head: methods, schemes and authorities that are refused") {
  for (const char* bad : {"", "GE T", "GET\r\n", "G\tT", "GET /x HTTP/1.1"})
    CHECK(faultOf(with(plain(), ":method", bad)) == HeadFault::BadMethod);
  for (const char* bad : {"", "ftp", "HTTP", "http "})
    CHECK(faultOf(with(plain(), ":scheme", bad)) == HeadFault::BadScheme);
  for (const char* bad : {"", "a b", "user@a", "a:0", "a:65536", "a,b", "a/b", "[1]", "a\r\n"})
    CHECK(faultOf(with(plain(), ":authority", bad)) == HeadFault::BadAuthority);
}

TEST("http2 head: names and values that are refused") {
  for (const char* bad : {"", "X-Upper", "a b", "a:", "a\r\nb", "\x80", "a\t"})
    CHECK(faultOf(plain({{bad, "x"}})) == HeadFault::BadName);
  CHECK(faultOf(plain({{"a\0b"s, "x"}})) == HeadFault::BadName);
  for (const char* bad : {" a", "a ", "\ta", "a\t", "a\r\nb: c", "a\nb", "a\rb", "\x01", "\x7f"})
    CHECK(faultOf(plain({{"x-a", bad}})) == HeadFault::BadValue);
  CHECK(faultOf(plain({{"x-a", "a\0b"s}})) == HeadFault::BadValue);
  CHECK(faultOf(plain({{"x-a", ""}, {"x-b", "a\tb"}, {"x-c", "\xc3\xa4"}})) == HeadFault::None);
}

TEST("http2 head: fields of a connection are refused") {
  for (const char* name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
    CHECK(faultOf(plain({{name, "x"}})) == HeadFault::ConnectionField);
  CHECK(faultOf(plain({{"te", "gzip"}})) == HeadFault::BadTe);
  CHECK(faultOf(plain({{"te", "trailers, deflate"}})) == HeadFault::BadTe);
}

TEST("http2 head: limits") {
  http1::HeadLimits limits;
  limits.lineBytes = 100;
  limits.headBytes = 300;
  limits.fieldCount = 3;
  CHECK(Parsed(with(plain(), ":path", "/" + std::string(100, 'a')), true, limits).fault ==
        HeadFault::TargetTooLong);
  CHECK(Parsed(plain({{"x-a", std::string(300, 'a')}}), true, limits).fault ==
        HeadFault::HeadTooLarge);
  CHECK(Parsed(plain({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}}), true, limits).fault ==
        HeadFault::TooManyFields);
  CHECK(Parsed(plain({{"a", "1"}, {"b", "1"}, {"c", "1"}}), true, limits).fault == HeadFault::None);
}

TEST("http2 head: an extended CONNECT for a WebSocket is a GET with Upgrade") {
  Fields fields = with(plain({{"sec-websocket-version", "13"}}), ":method", "CONNECT");
  fields.insert(fields.begin(), {":protocol", "websocket"});
  const Parsed request(fields, false);
  CHECK(request.fault == HeadFault::None);
  CHECK(request.head.line.method == Method::Get);
  CHECK_EQ(request.text(request.head.line.methodToken), "GET");
  CHECK(request.head.line.upgrade);
  CHECK(request.head.line.body == BodyKind::None);
  CHECK_EQ(request.value("upgrade"), "websocket");
  CHECK_EQ(request.value("sec-websocket-key").size(), std::size_t{24});
  CHECK(request.value("sec-websocket-key").ends_with("=="));
  CHECK_EQ(request.value("sec-websocket-version"), "13");

  CHECK(faultOf(with(fields, ":protocol", "h2c"), false) == HeadFault::ConnectRefused);
  CHECK(faultOf(fields, true) == HeadFault::LengthMismatch);
  CHECK(faultOf(without(fields, ":path"), false) == HeadFault::MissingPseudoField);
  CHECK(faultOf({{":method", "CONNECT"}, {":authority", "a:443"}}, false) ==
        HeadFault::ConnectRefused);
  CHECK(faultOf(without(fields, ":protocol"), false) == HeadFault::BadPseudoField);
}

TEST("http2 head: responses") {
  ResponseHead head;
  CHECK(responseFault({{":status", "200"}, {"server", "x"}}, false, head) == HeadFault::None);
  CHECK_EQ(head.line.status, 200);
  CHECK(head.line.body == BodyKind::Chunked);
  CHECK(responseFault({{":status", "200"}}, true, head) == HeadFault::None);
  CHECK(head.line.body == BodyKind::Length);
  CHECK_EQ(head.line.contentLength, 0U);
  CHECK(responseFault({{":status", "200"}, {"content-length", "7"}}, true, head, Method::Head) ==
        HeadFault::None);
  CHECK(head.line.body == BodyKind::None);
  CHECK(head.line.hasContentLength);
  CHECK(responseFault({{":status", "200"}, {"content-length", "7"}}, true, head) ==
        HeadFault::LengthMismatch);
  CHECK(responseFault({{":status", "103"}, {"link", "</a>"}}, false, head) == HeadFault::None);
  for (const char* bad : {"", "99", "1000", "20x", "101", "099", "600"})
    CHECK(responseFault({{":status", bad}}, false, head) == HeadFault::BadStatus);
  CHECK(responseFault({{":status", "103"}}, true, head) == HeadFault::BadStatus);
  CHECK(responseFault({{"server", "x"}}, true, head) == HeadFault::MissingPseudoField);
  CHECK(responseFault({{":status", "200"}, {":status", "200"}}, true, head) ==
        HeadFault::BadPseudoField);
  CHECK(responseFault({{":status", "204"}, {"content-length", "1"}}, true, head) ==
        HeadFault::LengthMismatch);
}

TEST("http2 head: trailers") {
  CHECK(trailerFault({{"grpc-status", "0"}, {"x-sum", "abc"}}) == HeadFault::None);
  CHECK(trailerFault({{":status", "200"}}) == HeadFault::BadPseudoField);
  for (const char* name : {"content-length", "host", "expect", "authorization", "set-cookie"})
    CHECK(trailerFault({{name, "1"}}) == HeadFault::BadTrailer);
  CHECK(trailerFault({{"transfer-encoding", "chunked"}}) == HeadFault::ConnectionField);
}

}  // namespace tidegate::http2
