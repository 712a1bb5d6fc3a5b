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
      R"([70000, 9, 0, "orders", "ann", [0, "X-A", "1", 1, "x-b", "é", 2, "x-c", null], [0, "Vary", "x"]])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK_EQ(verdict->index, 70'000);
  CHECK_EQ(verdict->generation, 9);
  CHECK(verdict->kind == VerdictKind::GoOn);
  CHECK_EQ(verdict->upstream, "orders");
  CHECK_EQ(verdict->consumer, "ann");
  CHECK_EQ(listed(verdict->requestEdits), "=X-A:1 +x-b:é -x-c: ");
  CHECK_EQ(listed(verdict->responseEdits), "=Vary:x ");
}

TEST("what a verdict leaves out is empty") {
  const auto bytes = encoded(R"([0, 0, 0, null, null, [], []])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->upstream.empty() && verdict->consumer.empty());
  CHECK(verdict->requestEdits.empty() && verdict->responseEdits.empty());
}

TEST("an answer has a status, fields and a body") {
  const auto bytes = encoded(R"([1, 2, 1, 302, ["Location", "/a?b"], "moved"])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->kind == VerdictKind::Answer);
  CHECK_EQ(verdict->status, 302);
  CHECK_EQ(listed(verdict->fields), "+Location:/a?b ");
  CHECK(verdict->hasBody);
  CHECK_EQ(verdict->body, "moved");
}

TEST("a body may be binary") {
  std::vector<std::uint8_t> bytes = encoded(R"([1, 2, 1, 200, [], 0])");
  bytes.pop_back();
  for (const int byte : {0xc4, 3, 0, 0xff, 10}) bytes.push_back(static_cast<std::uint8_t>(byte));
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK_EQ(verdict->body, std::string_view("\0\xff\n", 3));
}

TEST("a denial has a status, and a sentence or a body of its own") {
  const auto bytes = encoded(R"([1, 2, 2, 401, "no tenant", ["a", "b"], null])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->kind == VerdictKind::Deny);
  CHECK_EQ(verdict->detail, "no tenant");
  CHECK(!verdict->hasBody);
  const auto own = encoded(R"([1, 2, 2, 402, null, [], "pay"])");
  const auto withBody = decodeVerdict(own);
  REQUIRE(withBody.ok());
  CHECK(withBody->hasBody);
  CHECK_EQ(withBody->body, "pay");
}

TEST("a failure says how and whose") {
  const auto bytes = encoded(R"([1, 2, 3, 1, "tenant"])");
  const auto verdict = decodeVerdict(bytes);
  REQUIRE(verdict.ok());
  CHECK(verdict->failure == PolicyFailure::TimedOut);
  CHECK_EQ(verdict->policy, "tenant");
}

std::string longText(std::size_t size) { return std::string(size, 'a'); }

std::string manyFields(std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += i == 0 ? R"("a","b")" : R"(,"a","b")";
  return list;
}

TEST("what is not a verdict is refused") {
  const std::vector<std::string> refused = {
      "1",
      "[]",
      "[1, 2]",
      R"(["1", 2, 3, 0, "p"])",
      "[4294967296, 2, 3, 0, \"p\"]",
      "[1, -2, 3, 0, \"p\"]",
      "[1.5, 2, 3, 0, \"p\"]",
      "[1, 2, 4, 0, \"p\"]",
      "[1, 2, 3, 4, \"p\"]",
      "[1, 2, 3, 0]",
      "[1, 2, 3, 0, \"p\", 0]",
      "[1, 2, 3, 0, \"p\\n\"]",
      "[1, 2, 0, null, null, []]",
      "[1, 2, 0, 1, null, [], []]",
      "[1, 2, 0, \"a\\u0000\", null, [], []]",
      "[1, 2, 0, null, \"" + longText(257) + "\", [], []]",
      "[1, 2, 0, null, null, [0, \"a\"], []]",
      "[1, 2, 0, null, null, [3, \"a\", \"b\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", null], []]",
      "[1, 2, 0, null, null, [2, \"a\", \"b\"], []]",
      "[1, 2, 0, null, null, [0, \"\", \"b\"], []]",
      "[1, 2, 0, null, null, [0, \"a b\", \"b\"], []]",
      "[1, 2, 0, null, null, [0, \"a:\", \"b\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \"b\\r\\nc: d\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \"b\\n\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \"\\u0000\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \"\\u007f\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \" b\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \"b\\t\"], []]",
      "[1, 2, 0, null, null, [0, \"a\", \"" + longText(64 * 1024) + "\"], []]",
      "[1, 2, 1, 199, [], \"\"]",
      "[1, 2, 1, 600, [], \"\"]",
      "[1, 2, 1, 200, [], null]",
      "[1, 2, 1, 200, [" + manyFields(65) + "], \"\"]",
      "[1, 2, 1, 200, {}, \"\"]",
      "[1, 2, 2, 399, null, [], null]",
      "[1, 2, 2, 403, \"a\\nb\", [], null]",
      "[1, 2, 2, 403, \"" + longText(4097) + "\", [], null]",
      "[1, 2, 2, 403, null, [], 1]",
  };
  for (const std::string& json : refused) {
    const auto verdict = decodeVerdict(encoded(json));
    if (verdict.ok()) std::fprintf(stderr, "accepted: %s\n", json.substr(0, 120).c_str());
    CHECK(!verdict.ok());
  }
  CHECK(decodeVerdict(encoded("[1, 2, 1, 200, [" + manyFields(64) + "], \"\"]")).ok());
}

TEST("no policy touches fields that frame the message, speak for one hop or route it") {
  for (const char* name : {"Connection", "content-length", "Transfer-Encoding", "TE", "trailer",
                           "Upgrade", "keep-alive", "Proxy-Connection", "host", "expect"}) {
    const std::string field = std::string("\"") + name + "\", \"x\"";
    CHECK(!decodeVerdict(encoded("[1, 2, 0, null, null, [0, " + field + "], []]")).ok());
    CHECK(!decodeVerdict(encoded("[1, 2, 0, null, null, [], [1, " + field + "]]")).ok());
    CHECK(!decodeVerdict(encoded("[1, 2, 1, 200, [" + field + "], \"\"]")).ok());
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
  return {R"([1, 2, 0, "orders", null, [0, "x-a", "1", 2, "x-c", null], [1, "vary", "x"]])",
          R"([1, 2, 1, 302, ["location", "/a?b"], "moved"])",
          R"([1, 2, 2, 401, "no", ["a", "b"], null])", R"([1, 2, 3, 0, "p"])"};
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
    for (const VerdictEdits* edits :
         {&verdict->requestEdits, &verdict->responseEdits, &verdict->fields}) {
      edits->each([](const VerdictEdit& edit) {
        CHECK(isEditableField(edit.name));
        CHECK(isFieldText(edit.value));
      });
    }
  }
}

}  // namespace
}  // namespace tidegate
