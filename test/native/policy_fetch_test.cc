// What policies ask of upstreams, as workers write it: exact messages in, exact requests out, and
// nothing that a request must not hold. And what workers are told.
#include <random>
#include <string>
#include <vector>

#include "base/ascii.h"
#include "check.h"
#include "http/field_rules.h"
#include "http/target_rules.h"
#include "policy/fetch.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

std::vector<std::uint8_t> made(const std::string& rest) {
  return test::encodeJson("[7, 8, 5, 9, " + rest + "]");
}

std::string refused(const std::string& rest) {
  const auto fetch = decodeFetch(made(rest));
  return fetch.ok() ? "" : std::string(fetch.error().message);
}

std::string text(std::size_t size) { return "\"" + std::string(size, 'x') + "\""; }

TEST("a fetch is read as it was written") {
  const std::vector<std::uint8_t> bytes =
      made(R"("orders", "POST", "/a%20b", "x=1", ["x-a", "1", "X-B", ""], "body", 250)");
  CHECK(isFetchMessage(bytes));
  const auto fetch = decodeFetch(bytes);
  REQUIRE(fetch.ok());
  CHECK_EQ(fetch->index, 7);
  CHECK_EQ(fetch->generation, 8);
  CHECK_EQ(fetch->number, 9);
  CHECK_EQ(fetch->upstream, "orders");
  CHECK_EQ(fetch->method, "POST");
  CHECK_EQ(fetch->path, "/a%20b");
  CHECK(fetch->hasQuery);
  CHECK_EQ(fetch->query, "x=1");
  CHECK_EQ(fetch->body, "body");
  CHECK_EQ(fetch->timeoutMillis, 250);
  std::string fields;
  fetch->fields.each([&](std::string_view name, std::string_view value) {
    fields += std::string(name) + "=" + std::string(value) + ";";
  });
  CHECK_EQ(fields, "x-a=1;X-B=;");
  CHECK_EQ(fetch->fields.bytes(), 7);
}

TEST("a fetch needs no query, fields, body and time limit") {
  const auto fetch = decodeFetch(made(R"("orders", "GET", "/", null, [], null, null)"));
  REQUIRE(fetch.ok());
  CHECK(!fetch->hasQuery && !fetch->hasBody && fetch->timeoutMillis == 0);
  const auto back = decodeFetch(test::encodeJson("[7, 8, 5, 9]"));
  REQUIRE(back.ok());
  CHECK(back->takenBack && back->number == 9);
}

TEST("a fetch that a request could be smuggled with is refused") {
  CHECK_EQ(refused(R"("", "GET", "/", null, [], null, null)"), "expected an upstream's name");
  CHECK_EQ(refused(R"("a\nb", "GET", "/", null, [], null, null)"), "expected an upstream's name");
  for (const char* method : {"", "GET /", "GE T", "CONNECT", "TRACE", "GET\\r\\n"}) {
    CHECK_EQ(refused(std::string(R"("o", ")") + method + R"(", "/", null, [], null, null)"),
             "expected a method");
  }
  for (const char* path : {"", "a", "*", "http://a/", "/a b", "/a\\r\\nx: 1", "/a?b", "/a#b",
                           "/%zz", "/../a", "/a/..", "/./a", "/é"}) {
    CHECK_EQ(refused(std::string(R"("o", "GET", ")") + path + R"(", null, [], null, null)"),
             "expected a path");
  }
  for (const char* query : {"a b", "a\\r\\n", "a#b", "é"}) {
    CHECK_EQ(refused(std::string(R"("o", "GET", "/", ")") + query + R"(", [], null, null)"),
             "expected a query or nil");
  }
  for (const char* name :
       {"Host", "content-length", "Transfer-Encoding", "connection", "te", "upgrade", "expect",
        "keep-alive", "proxy-connection", "trailer", "a b", "a:", "a\\r\\nb", ""}) {
    CHECK_EQ(refused(std::string(R"("o", "GET", "/", null, [")") + name + R"(", "x"], null, null)"),
             "a field that no policy may touch");
  }
  for (const char* value : {"a\\r\\nx-b: 1", "a\\nb", " a", "a ", "\\u0000"}) {
    CHECK_EQ(
        refused(std::string(R"("o", "GET", "/", null, ["x-a", ")") + value + R"("], null, null)"),
        "a value that no field may have");
  }
}

TEST("a fetch keeps its bounds") {
  CHECK_EQ(refused(text(257) + R"(, "GET", "/", null, [], null, null)"),
           "expected an upstream's name");
  CHECK_EQ(refused(R"("o", )" + text(33) + R"(, "/", null, [], null, null)"), "expected a method");
  CHECK_EQ(refused(R"("o", "GET", "/", )" + text(16 * 1024) + ", [], null, null"),
           "more than 16 KiB of path and query");
  CHECK_EQ(refused(R"("o", "GET", "/", )" + text(16 * 1024 - 1) + ", [], null, null"), "");
  std::string fields = R"("a", "b")";
  for (int i = 1; i < 64; ++i) fields += R"(, "a", "b")";
  CHECK_EQ(refused(R"("o", "GET", "/", null, [)" + fields + "], null, null"), "");
  CHECK_EQ(refused(R"("o", "GET", "/", null, ["a", "b", )" + fields + "], null, null"),
           "expected an array of at most 64 fields");
  CHECK_EQ(refused(R"("o", "GET", "/", null, ["a"], null, null)"),
           "expected an array of at most 64 fields");
  CHECK_EQ(refused(R"("o", "GET", "/", null, ["a", )" + text(64 * 1024) + "], null, null"),
           "more than 64 KiB of fields");
  CHECK_EQ(refused(R"("o", "PUT", "/", null, [], )" + text(128 * 1024) + ", null"), "");
  CHECK_EQ(refused(R"("o", "PUT", "/", null, [], )" + text(128 * 1024 + 1) + ", null"),
           "more than 128 KiB of body");
  CHECK_EQ(refused(R"("o", "PUT", "/", null, [], null, 0)"),
           "expected milliseconds of at most an hour, or nil");
  CHECK_EQ(refused(R"("o", "PUT", "/", null, [], null, 3600001)"),
           "expected milliseconds of at most an hour, or nil");
}

TEST("a refused fetch still says which call it was for, and a verdict is none") {
  const auto named = decodeFetch(test::encodeJson("[7, 8, 5]"));
  REQUIRE(!named.ok());
  CHECK(named.error().named && named.error().index == 7 && named.error().generation == 8);
  CHECK(!isFetchMessage(test::encodeJson("[7, 8, 0]")));
  CHECK(!isFetchMessage(test::encodeJson("\"5\"")));
  CHECK(!decodeFetch(test::encodeJson("[7, 8, 4, 9]")).ok());
  CHECK(!decodeFetch(test::encodeJson("[7, \"8\", 5, 9]")).error().named);
}

TEST("whatever is changed in a fetch, what is accepted keeps its promises") {
  std::mt19937 random(20261126);
  const std::vector<std::uint8_t> sample =
      made(R"("orders", "POST", "/a/b", "x=1", ["x-a", "1", "x-b", "2"], "body", 250)");
  for (std::size_t size = 0; size < sample.size(); ++size)
    CHECK(!decodeFetch(std::span(sample).first(size)).ok());
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::uint8_t> bytes = sample;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    const auto fetch = decodeFetch(bytes);
    if (!fetch.ok() || fetch->takenBack) continue;
    CHECK(isToken(fetch->method) && isSafePath(fetch->path) && isQueryText(fetch->query));
    fetch->fields.each([](std::string_view name, std::string_view value) {
      CHECK(isEditableField(name) && isFieldText(value));
    });
  }
}

TEST("a worker is told of a response without what is for one hop, and of a failure in words") {
  std::vector<std::byte> out(1024);
  const std::string bytes = "x-a1connectionclosecontent-length5x-\xe9\xe9";
  std::vector<Field> table(4);
  HeadFields head{table};
  head.rebase(bytes.data());
  Field field;
  field.name = {0, 3};
  field.value = {3, 1};
  head.add(field);
  Field hop;
  hop.name = {4, 10};
  hop.value = {14, 5};
  hop.hopByHop = true;
  head.add(hop);
  Field length;
  length.name = {19, 14};
  length.value = {33, 1};
  length.id = FieldId::ContentLength;
  head.add(length);
  const std::vector<OutgoingField> extra = {{"Via", "1.1 \xe9"}};
  const OutgoingFields fields{&head, extra};
  const std::size_t size = packFetchFields(fields, out);
  CHECK(size > 0 && size <= fetchFieldsRoom(fields));
  CHECK_EQ(std::string(reinterpret_cast<const char*>(out.data()), size),
           "\x94\xa3x-a\xa1"
           "1\xa3Via\xa6"
           "1.1 \xc3\xa9");
  CHECK_EQ(packFetchFields(fields, std::span(out).first(size - 1)), 0);

  const std::size_t response = writeFetchResponse({1, 2, 3}, 200, "\x90", "ab", out);
  CHECK_EQ(std::string(reinterpret_cast<const char*>(out.data()), response),
           std::string("\x97\x01\x02\xc0\x03\xce\0\0\0\xc8\x90\xc6\0\0\0\x02"
                       "ab",
                       18));
  const std::size_t failure = writeFetchFailure({1, 2, 3}, Reason::FetchTooLarge, out);
  MsgpackReader reader({reinterpret_cast<const std::uint8_t*>(out.data()), failure});
  std::uint32_t count = 0;
  std::uint64_t number = 0;
  std::string_view word;
  std::string_view sentence;
  CHECK(reader.array(count) && count == 6);
  CHECK(reader.unsignedInteger(number) && reader.unsignedInteger(number) && reader.nil());
  CHECK(reader.unsignedInteger(number) && number == 3);
  CHECK(reader.text(word) && word == "fetch_too_large");
  CHECK(reader.text(sentence) && !sentence.empty() && reader.remaining() == 0);
}

}  // namespace
}  // namespace tidegate
