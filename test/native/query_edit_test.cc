// Edits of a query: what is not named stays byte for byte, what is added is encoded.
#include "proxy/query_edit.h"

#include <string>
#include <vector>

#include "check.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

std::string edited(const std::string& query, const std::string& edits) {
  const std::vector<std::uint8_t> bytes = test::encodeJson(
      "[1, 2, 0, [null, [], 0, 0, [], []], null, null, null, [" + edits + "], [], []]");
  VerdictDecoder decoder;
  const auto verdict = decoder.decode(bytes);
  if (!verdict.ok()) return std::string(verdict.error().message);
  BufferPool pool;
  TextArena arena(pool);
  return std::string(editQuery(query, verdict->queryEdits, arena));
}

TEST("parameters that no edit names stay as they were sent") {
  CHECK_EQ(edited("a=%7E&&b=1+2&c", ""), "a=%7E&&b=1+2&c");
  CHECK_EQ(edited("a=%7E&x=1&b=1+2&c", R"(2, "x", null)"), "a=%7E&b=1+2&c");
  CHECK_EQ(edited("a=1", R"(2, "b", null)"), "a=1");
}

TEST("a parameter is known by its decoded name, wherever it stands") {
  CHECK_EQ(edited("%78=1&a=2&x=3&x", R"(2, "x", null)"), "a=2");
  CHECK_EQ(edited("a+b=1&c=2", R"(2, "a b", null)"), "c=2");
  CHECK_EQ(edited("x=1", R"(2, "x", null)"), "");
}

TEST("set stands for every one of that name, add beside them") {
  CHECK_EQ(edited("x=1&a=2&x=3", R"(0, "x", "9")"), "a=2&x=9");
  CHECK_EQ(edited("x=1", R"(1, "x", "9")"), "x=1&x=9");
  CHECK_EQ(edited("", R"(1, "x", "9", 1, "y", "")"), "x=9&y=");
}

TEST("what is added cannot end its parameter, the query or the line") {
  CHECK_EQ(edited("", R"(0, "a&b=", "1&2#3 ä\r\n%")"), "a%26b%3D=1%262%233%20%C3%A4%0D%0A%25");
  CHECK_EQ(edited("", R"(0, "A-z_0.9~", "A-z_0.9~")"), "A-z_0.9~=A-z_0.9~");
}

}  // namespace
}  // namespace tidegate
