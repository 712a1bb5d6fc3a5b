// Verdicts: what is read of a good one, and that nothing else gets past the decoder.
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "http/field_rules.h"
#include "policy/verdict.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

std::vector<std::uint8_t> encoded(const std::string& json) { return test::encodeJson(json); }

// Void with the next call.
Result<Verdict, VerdictError> decodeVerdict(std::span<const std::uint8_t> bytes) {
  static VerdictDecoder decoder;
  return decoder.decode(bytes);
}

std::string listed(const VerdictEdits& edits) {
  std::string text;
  edits.each([&](const VerdictEdit& edit) {
    text += "=+-"[static_cast<std::size_t>(edit.op)];
    text.append(edit.name).append(":").append(edit.value).append(" ");
  });
  return text;
}

TEST("a verdict to go on has an upstream, a consumer and edits of both heads") {
  const auto bytes = encoded(
      R"([70000, 9, 0, ["ann", [], 60000, 5000, ["t", "u"], [12, 3]], "orders", "PURGE", "/a%20b", [0, "q", "ä b", 2, "r", null], [0, "X-A", "1", 1, "x-b", "é", 2, "x-c", null], [0, "Vary", "x"]])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK_EQ(verdict->index, 70'000);
  CHECK_EQ(verdict->generation, 9);
  CHECK(verdict->kind == VerdictKind::GoOn);
  CHECK_EQ(verdict->upstream, "orders");
  CHECK_EQ(verdict->consumer, "ann");
  CHECK_EQ(listed(verdict->requestEdits), "=X-A:1 +x-b:é -x-c: ");
  CHECK_EQ(listed(verdict->responseEdits), "=Vary:x ");
  CHECK_EQ(verdict->method, "PURGE");
  CHECK_EQ(verdict->path, "/a%20b");
  CHECK_EQ(listed(verdict->queryEdits), "=q:ä b -r: ");
  CHECK_EQ(verdict->replayMillis, 60'000);
  CHECK_EQ(verdict->staleMillis, 5'000);
  CHECK(verdict->tags.has("t") && verdict->tags.has("u") && !verdict->tags.has("v"));
  std::vector<std::uint32_t> times;
  verdict->times.each([&](std::uint32_t micros) { times.push_back(micros); });
  CHECK(times == std::vector<std::uint32_t>({12, 3}));
}

TEST("what a verdict leaves out is empty") {
  const auto bytes =
      encoded(R"([0, 0, 0, [null, [], 0, 0, [], []], null, null, null, [], [], []])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->upstream.empty() && verdict->consumer.empty());
  CHECK(verdict->method.empty() && verdict->path.empty());
  CHECK(verdict->requestEdits.empty() && verdict->responseEdits.empty());
}

TEST("a verdict to go on may give the request another body") {
  const auto bytes =
      encoded(R"([1, 2, 0, [null, [], 0, 0, [], []], null, null, null, [], [], [], "new"])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->hasBody);
  CHECK_EQ(verdict->body, "new");
}

TEST("an answer has a status, fields and a body") {
  const auto bytes =
      encoded(R"([1, 2, 1, [null, [], 0, 0, [], []], 302, ["Location", "/a?b"], "moved"])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->kind == VerdictKind::Answer);
  CHECK_EQ(verdict->status, 302);
  CHECK_EQ(listed(verdict->fields), "+Location:/a?b ");
  CHECK(verdict->hasBody);
  CHECK_EQ(verdict->body, "moved");
}

TEST("a body may be binary") {
  std::vector<std::uint8_t> bytes = encoded(R"([1, 2, 1, [null, [], 0, 0, [], []], 200, [], 0])");
  bytes.pop_back();
  for (const int byte : {0xc4, 3, 0, 0xff, 10}) bytes.push_back(static_cast<std::uint8_t>(byte));
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK_EQ(verdict->body, std::string_view("\0\xff\n", 3));
}

TEST("a denial has a status, and a sentence or a body of its own") {
  const auto bytes =
      encoded(R"([1, 2, 2, [null, [], 0, 0, [], []], 401, "no tenant", ["a", "b"], null])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->kind == VerdictKind::Deny);
  CHECK_EQ(verdict->detail, "no tenant");
  CHECK(!verdict->hasBody);
  const auto own = encoded(R"([1, 2, 2, [null, [], 0, 0, [], []], 402, null, [], "pay"])");
  const auto withBody = decodeVerdict(own);
  REQUIRE(withBody.ok());
  CHECK(withBody->hasBody);
  CHECK_EQ(withBody->body, "pay");
}

TEST("a failure says how and whose") {
  const auto bytes = encoded(R"([1, 2, 3, [null, [], 0, 0, [], []], 1, "tenant"])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->failure == PolicyFailure::TimedOut);
  CHECK_EQ(verdict->policy, "tenant");
}

TEST("a review passes the response on, with edits") {
  const auto bytes = encoded(
      R"([1, 2, 4, [null, [], 0, 0, [], [5]], 404, [0, "x-a", "1", 2, "server", null], "new"])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->kind == VerdictKind::Pass);
  CHECK_EQ(verdict->status, 404);
  CHECK_EQ(listed(verdict->responseEdits), "=x-a:1 -server: ");
  CHECK(verdict->hasBody);
  CHECK_EQ(verdict->body, "new");
  const auto asItIs = decodeVerdict(encoded(R"([1, 2, 4, [null, [], 0, 0, [], []], 0, []])"));
  REQUIRE(asItIs.ok());
  CHECK_EQ(asItIs->status, 0);
  CHECK(!asItIs->hasBody);
}

std::string longText(std::size_t size) { return std::string(size, 'a'); }

std::string manyFields(std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += i == 0 ? R"("a","b")" : R"(,"a","b")";
  return list;
}

constexpr const char* kNoTerms = "[null, [], 0, 0, [], []]";

// A verdict of call 1, 2.
std::string made(int kind, const std::string& rest, const std::string& terms = kNoTerms) {
  return "[1, 2, " + std::to_string(kind) + ", " + terms + ", " + rest + "]";
}

std::string goOn(const std::string& requestEdits) {
  return made(0, "null, null, null, [], [" + requestEdits + "], []");
}

std::string withMethod(const std::string& method) {
  return made(0, "null, " + method + ", null, [], [], []");
}

std::string withTerms(const std::string& terms) {
  return made(0, "null, null, null, [], [], []", "[" + terms + "]");
}

std::string withCharge(const std::string& charge) {
  return withTerms("null, [" + charge + "], 0, 0, [], []");
}

std::string times(std::size_t count, const std::string& each) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += i == 0 ? each : "," + each;
  return list;
}

TEST("what is not a verdict is refused, and the message says what was expected") {
  const struct {
    std::string json;
    std::string_view expected;
  } refused[] = {
      {"1", "an array of 3 elements or more"},
      {"[]", "an array of 3 elements or more"},
      {"[1, 2]", "an array of 3 elements or more"},
      {R"(["1", 2, 3, null, 0, "p"])", "the numbers of the call"},
      {R"([4294967296, 2, 3, null, 0, "p"])", "the numbers of the call"},
      {R"([1, -2, 3, null, 0, "p"])", "the numbers of the call"},
      {R"([1.5, 2, 3, null, 0, "p"])", "the numbers of the call"},
      {made(5, R"(0, "p")"), "a kind of 0..4"},
      {made(3, R"(4, "p")"), "a failure of 0..3"},
      {made(3, "0"), "another number of elements"},
      {made(3, R"(0, "p", 0)"), "another number of elements"},
      {made(3, R"(0, "p\n")"), "a policy's name"},
      {made(3, R"(0, "p")", "null"), "6 terms"},
      {made(3, R"(0, "p")", "[null, [], 0, 0, []]"), "6 terms"},
      {withTerms("1, [], 0, 0, [], []"), "a consumer's id or nil"},
      {withTerms("\"" + longText(257) + "\", [], 0, 0, [], []"), "a consumer's id or nil"},
      {withTerms("null, [1], 0, 0, [], []"), "at most 16 charges"},
      {withTerms("null, [], -1, 0, [], []"), "milliseconds"},
      {withTerms("null, [], 0, 31622400001, [], []"), "milliseconds"},
      {withTerms("null, [], 0, 0, [1], []"), "a tag"},
      {withTerms("null, [], 0, 0, [" + times(33, "\"t\"") + "], []"), "at most 32 tags"},
      {withTerms("null, [], 0, 0, [], [\"1\"]"), "microseconds"},
      {withTerms("null, [], 0, 0, [], [" + times(65, "1") + "]"), "at most 64 times"},
      {made(0, "null, null, null, [], []"), "another number of elements"},
      {made(0, "1, null, null, [], [], []"), "an upstream's name or nil"},
      {made(0, R"("a\u0000", null, null, [], [], [])"), "an upstream's name or nil"},
      {withMethod("1"), "a method or nil"},
      {withMethod("\"\""), "a method or nil"},
      {withMethod("\"GE T\""), "a method or nil"},
      {withMethod("\"GET\\r\\nx\""), "a method or nil"},
      {withMethod("\"GÉT\""), "a method or nil"},
      {withMethod("\"GET /\""), "a method or nil"},
      {withMethod("\"" + longText(33) + "\""), "a method or nil"},
      {withMethod("\"HEAD\""), "a method or nil"},
      {withMethod("\"CONNECT\""), "a method or nil"},
      {withMethod("\"TRACE\""), "a method or nil"},
      {withMethod("\"Head\""), "a method or nil"},
      {withMethod("\"connect\""), "a method or nil"},
      {made(0, R"(null, null, "a", [], [], [])"), "a path or nil"},
      {made(0, R"(null, null, "/a b", [], [], [])"), "a path or nil"},
      {made(0, R"(null, null, "/a?b", [], [], [])"), "a path or nil"},
      {made(0, R"(null, null, "/a%2", [], [], [])"), "a path or nil"},
      {made(0, R"(null, null, "/a%zz", [], [], [])"), "a path or nil"},
      {made(0, R"(null, null, "/a/../b", [], [], [])"), "a path or nil"},
      {made(0, R"(null, null, "/a/.", [], [], [])"), "a path or nil"},
      {made(0, "null, null, null, [0, \"a\"], [], []"), "64 edits or fields"},
      {made(0, "null, null, null, [3, \"a\", \"b\"], [], []"), "a name and a value"},
      {goOn("0, \"a\""), "64 edits or fields"},
      {goOn("3, \"a\", \"b\""), "a name and a value"},
      {goOn("0, \"a\", null"), "a name and a value"},
      {goOn("2, \"a\", \"b\""), "a name and a value"},
      {goOn("0, \"\", \"b\""), "no policy may touch"},
      {goOn("0, \"a b\", \"b\""), "no policy may touch"},
      {goOn("0, \"a:\", \"b\""), "no policy may touch"},
      {goOn(R"(0, "a", "b\r\nc: d")"), "no field may have"},
      {goOn(R"(0, "a", "b\n")"), "no field may have"},
      {goOn(R"(0, "a", "\u0000")"), "no field may have"},
      {goOn(R"(0, "a", "\u007f")"), "no field may have"},
      {goOn("0, \"a\", \" b\""), "no field may have"},
      {goOn(R"(0, "a", "b\t")"), "no field may have"},
      {goOn("0, \"a\", \"" + longText(64 * 1024) + "\""), "64 KiB of fields"},
      {made(1, "199, [], \"\""), "a status of 200..599"},
      {made(1, "600, [], \"\""), "a status of 200..599"},
      {made(1, "200, [], null"), "a body"},
      {made(1, "200, [" + manyFields(65) + "], \"\""), "64 edits or fields"},
      {made(1, "200, {}, \"\""), "64 edits or fields"},
      {made(2, "399, null, [], null"), "to deny of 400..599"},
      {made(2, R"(403, "a\nb", [], null)"), "a sentence or nil"},
      {made(2, "403, \"" + longText(4097) + "\", [], null"), "a sentence or nil"},
      {made(2, "403, null, [], 1"), "a body"},
      {made(4, "199, []"), "a status of 200..599 or 0"},
      {made(4, "600, []"), "a status of 200..599 or 0"},
      {made(4, R"(0, [0, "transfer-encoding", "b"])"), "no policy may touch"},
      {made(4, "0, [], null"), "a body"},
      {made(4, R"(0, [], "", 0)"), "another number of elements"},
  };
  for (const auto& [json, expected] : refused) {
    const auto verdict = decodeVerdict(encoded(json));
    if (verdict.ok()) std::fprintf(stderr, "accepted: %s\n", json.substr(0, 120).c_str());
    REQUIRE(!verdict.ok());
    if (verdict.error().message.find(expected) == std::string_view::npos)
      std::fprintf(stderr, "of: %s\n", json.substr(0, 120).c_str());
    CHECK(verdict.error().message.find(expected) != std::string_view::npos);
  }
}

TEST("what is just within the limits is accepted") {
  const std::string accepted[] = {
      made(1, "200, [" + manyFields(64) + "], \"\""),
      made(1, "599, [], \"\""),
      made(2, "400, \"" + longText(4096) + "\", [], null"),
      goOn("0, \"a\", \"" + longText(64 * 1024 - 1) + "\""),
      withMethod("\"" + longText(32) + "\""),
      withMethod("\"get\""),
      withMethod("\"M-SEARCH\""),
      made(0, "\"" + longText(256) + "\", null, \"/.../%2e.\", [], [], []"),
      withTerms("\"" + longText(256) + "\", [], 31622400000, 31622400000, [], []"),
      withTerms("null, [], 0, 0, [" + times(32, "\"t\"") + "], [" + times(64, "4294967295") + "]"),
      withCharge(times(16, R"(1, 10, 1000, 0, 1, "k", 0, 429, null, null)")),
      withCharge("1, 10, 1000, 0, 1048576, \"" + longText(1024) + "\", 3, 599, \"n\", \"" +
                 longText(4096) + "\""),
  };
  for (const std::string& json : accepted) {
    const auto verdict = decodeVerdict(encoded(json));
    if (!verdict.ok())
      std::fprintf(stderr, "%.120s: %s\n", json.c_str(), verdict.error().message.data());
    CHECK(verdict.ok());
  }
}

TEST("a charge has its limit, and what the client is told") {
  const auto bytes = encoded(withCharge(
      R"(0, 100, 60000, 20, 2, "ann", 3, 503, "minute", "slow down",)"
      R"(4, 9, 3, 0, 1, "é", 0, 429, null, null, 3, 5, 0, 0, 1, "c", 1, 429, null, null)"));
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK_EQ(verdict->charges.size(), 3);
  const std::span<const VerdictCharge> charges = verdict->charges;
  CHECK(charges[0].limit.algorithm() == Algorithm::Gcra);
  CHECK_EQ(charges[0].limit.max(), 20);
  CHECK_EQ(charges[0].quota, 100);
  CHECK_EQ(charges[0].windowSeconds, 60);
  CHECK_EQ(charges[0].cost, 2);
  CHECK_EQ(charges[0].key, "ann");
  CHECK(charges[0].fields == LimitFields::Both);
  CHECK_EQ(charges[0].status, 503);
  CHECK_EQ(charges[0].name, "minute");
  CHECK_EQ(charges[0].reason, "slow down");
  CHECK(charges[1].limit.algorithm() == Algorithm::Quota);
  CHECK_EQ(charges[1].key, "é");
  CHECK_EQ(charges[1].windowSeconds, 0);  // months differ
  CHECK(charges[2].limit.algorithm() == Algorithm::Concurrency);
}

TEST("a charge that is none is refused") {
  for (const char* charge :
       {R"(5, 10, 1000, 0, 1, "k", 0, 429, null, null)",  // no such algorithm
        R"(1, 0, 1000, 0, 1, "k", 0, 429, null, null)",   // nothing to be had
        R"(1, 10, 999, 0, 1, "k", 0, 429, null, null)",   // a window below a second
        R"(0, 10, 1000, 0, 1, "k", 0, 429, null, null)",  // no burst
        R"(4, 10, 5, 0, 1, "k", 0, 429, null, null)",     // no such period
        R"(4, 10, 18446744073709551615, 0, 1, "k", 0, 429, null, null)",
        R"(1, 10, 1000, 0, 1048577, "k", 0, 429, null, null)",  // too dear
        R"(1, 10, 1000, 0, 1, "", 0, 429, null, null)",         // no key
        R"(1, 10, 1000, 0, 1, "k", 4, 429, null, null)",        // no such fields
        R"(1, 10, 1000, 0, 1, "k", 0, 399, null, null)",        // no error
        R"(1, 10, 1000, 0, 1, "k", 0, 429, "a\"b", null)",      // would end the string
        R"(1, 10, 1000, 0, 1, "k", 0, 429, "a b", null)",       // white space
        R"(1, 10, 1000, 0, 1, "k", 0, 429, null, "a\r\nb")",    // would end the line
        R"(1, 10, 1000, 0, 1, 7, 0, 429, null, null)"}) {
    const auto verdict = decodeVerdict(encoded(withCharge(charge)));
    if (verdict.ok()) std::fprintf(stderr, "accepted: %s\n", charge);
    CHECK(!verdict.ok());
  }
  const std::string key = longText(1025);
  CHECK(
      !decodeVerdict(encoded(withCharge("1, 10, 1000, 0, 1, \"" + key + "\", 0, 429, null, null")))
           .ok());
  const std::string one = R"(1, 10, 1000, 0, 1, "k", 0, 429, null, null)";
  CHECK(!decodeVerdict(encoded(withCharge(times(17, one)))).ok());
}

TEST("no policy touches fields that frame the message, speak for one hop or route it") {
  for (const char* name : {"Connection", "content-length", "Transfer-Encoding", "TE", "trailer",
                           "Upgrade", "keep-alive", "Proxy-Connection", "host", "expect"}) {
    const std::string field = std::string("\"") + name + "\", \"x\"";
    CHECK(!decodeVerdict(encoded(goOn("0, " + field))).ok());
    CHECK(!decodeVerdict(encoded(made(0, "null, null, null, [], [], [1, " + field + "]"))).ok());
    CHECK(!decodeVerdict(encoded(made(1, "200, [" + field + "], \"\""))).ok());
    // Of a query they are names like any other.
    CHECK(decodeVerdict(encoded(made(0, "null, null, null, [0, " + field + "], [], []"))).ok());
  }
}

TEST("a refused verdict still says which call it was for, where that could be read") {
  const auto named = decodeVerdict(encoded("[7, 8, 9]"));
  REQUIRE(!named.ok());
  CHECK(named.error().named);
  CHECK_EQ(named.error().index, 7);
  CHECK_EQ(named.error().generation, 8);
  const auto unnamed = decodeVerdict(encoded("[7, \"8\", 9]"));
  REQUIRE(!unnamed.ok());
  CHECK(!unnamed.error().named);
}

std::vector<std::string> samples() {
  return {
      made(0, R"("orders", "PURGE", "/a", [0, "q", "1"], [0, "x-a", "1", 2, "x-c", null], [])",
           R"(["ann", [0, 100, 60000, 20, 2, "ann", 3, 503, "minute", "no"], 9, 9, ["t"], [1]])"),
      made(1, R"(302, ["location", "/a?b"], "moved")"), made(2, R"(401, "no", ["a", "b"], null)"),
      made(3, R"(0, "p")")};
}

TEST("a copy of a verdict stands when all that it was made of is gone") {
  std::vector<std::byte> memory;
  Verdict copy;
  {
    std::vector<std::uint8_t> bytes = encoded(made(
        0,
        R"("orders", "PURGE", "/a", [0, "q", "1"], [0, "x-a", "1", 2, "x-c", null], [1, "x-d", ""], "body")",
        R"(["ann", [0, 100, 60000, 20, 2, "k", 3, 503, "minute", "no", 1, 5, 1000, 0, 1, "c", 0, 429, null, null], 9, 8, ["t"], [7]])"));
    const auto verdict = decodeVerdict(bytes);
    REQUIRE(verdict.ok());
    const VerdictCopy copying(*verdict, bytes);
    memory.resize(copying.size());
    copy = copying.into(memory.data());
    std::ranges::fill(bytes, std::uint8_t{0});
    // What the decoder had of it goes too.
    REQUIRE(decodeVerdict(encoded(samples()[1])).ok());
  }
  CHECK_EQ(copy.consumer, "ann");
  CHECK_EQ(copy.upstream, "orders");
  CHECK_EQ(copy.method, "PURGE");
  CHECK_EQ(copy.path, "/a");
  CHECK_EQ(copy.body, "body");
  CHECK_EQ(listed(copy.queryEdits), "=q:1 ");
  CHECK_EQ(listed(copy.requestEdits), "=x-a:1 -x-c: ");
  CHECK_EQ(listed(copy.responseEdits), "+x-d: ");
  CHECK(copy.fields.empty() && copy.tags.has("t"));
  REQUIRE_EQ(copy.charges.size(), 2);
  CHECK_EQ(copy.charges[0].key, "k");
  CHECK_EQ(copy.charges[0].name, "minute");
  CHECK_EQ(copy.charges[0].reason, "no");
  CHECK_EQ(copy.charges[1].key, "c");
  CHECK(copy.charges[1].name.empty() && copy.charges[1].reason.empty());
  copy.times.each([](std::uint32_t micros) { CHECK_EQ(micros, 7); });
}

TEST("a verdict that is cut short, or has something behind it, is refused") {
  for (const std::string& sample : samples()) {
    std::vector<std::uint8_t> bytes = encoded(sample);
    REQUIRE(decodeVerdict(bytes).ok());
    for (std::size_t size = 0; size < bytes.size(); ++size)
      CHECK(!decodeVerdict(std::span(bytes).first(size)).ok());
    bytes.push_back(0xc0);
    CHECK(!decodeVerdict(bytes).ok());
  }
}

TEST("whatever is changed in a verdict, what is accepted keeps its promises") {
  std::mt19937 random(20261125);
  const std::vector<std::string> all = samples();
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::uint8_t> bytes = encoded(all[random() % all.size()]);
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    const auto verdict = decodeVerdict(bytes);
    if (!verdict.ok()) continue;
    CHECK(verdict->method.empty() || isToken(verdict->method));
    CHECK(verdict->method != "HEAD" && verdict->method.size() <= kMaxVerdictMethodBytes);
    for (const VerdictEdits* edits :
         {&verdict->requestEdits, &verdict->responseEdits, &verdict->fields}) {
      edits->each([](const VerdictEdit& edit) {
        CHECK(isEditableField(edit.name));
        CHECK(isFieldText(edit.value));
      });
    }
    for (const VerdictCharge& charge : verdict->charges)
      CHECK(!charge.key.empty() && charge.cost <= kMaxCost && charge.limit.max() > 0);
  }
}

}  // namespace
}  // namespace tidegate
