// Descriptors: the values of a request as a policy worker gets them.
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/msgpack.h"
#include "check.h"
#include "policy/descriptor.h"

namespace tidegate {
namespace {

// A head made of these lines, and what else a request has.
class Request {
 public:
  explicit Request(const std::vector<std::pair<std::string, std::string>>& lines) {
    for (const auto& [name, value] : lines) {
      Field field;
      field.name = {static_cast<std::uint32_t>(bytes_.size()),
                    static_cast<std::uint32_t>(name.size())};
      field.id = fieldIdOf(name);
      bytes_ += name;
      field.value = {static_cast<std::uint32_t>(bytes_.size()),
                     static_cast<std::uint32_t>(value.size())};
      bytes_ += value;
      fields_.add(field);
    }
    fields_.rebase(bytes_.data());
    source.fields = &fields_;
    source.match = &match;
  }

  std::vector<std::byte> describe(const std::vector<PolicyInput>& inputs,
                                  std::size_t room = 4096) const {
    std::vector<std::byte> values(room);
    values.resize(writeInputs(3, inputs, source, values));
    if (values.empty()) return {};
    std::vector<std::byte> out(room);
    out.resize(writeDescriptor(1, 2, inputs.size(), values, out));
    return out;
  }

  // Of one input; nullopt is nil.
  std::optional<std::string> value(InputKind kind, const std::string& name = "") const {
    const std::vector<std::byte> bytes = describe({{kind, name, fieldIdOf(name), {}}});
    MsgpackReader reader({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    std::uint32_t count = 0;
    CHECK(reader.array(count) && count == 4);
    for (std::uint64_t expected = 1; expected <= 3; ++expected) {
      std::uint64_t number = 0;
      CHECK(reader.unsignedInteger(number) && number == expected);
    }
    if (reader.nil()) return std::nullopt;
    std::string_view text;
    CHECK(reader.text(text));
    CHECK_EQ(reader.remaining(), 0);
    return std::string(text);
  }

  InputSource source;
  RouteResult match;

 private:
  std::string bytes_;
  FieldTable fields_;
};

TEST("a header's lines are joined, in any case of its name") {
  const Request request({{"X-A", "1"}, {"b", "2"}, {"x-a", "3"}, {"Accept", "*/*"}});
  CHECK_EQ(request.value(InputKind::Header, "x-a").value_or("nil"), "1, 3");
  CHECK_EQ(request.value(InputKind::Header, "accept").value_or("nil"), "*/*");
  CHECK(!request.value(InputKind::Header, "x-none"));
}

TEST("bytes of a header above ASCII are Latin-1, and become UTF-8") {
  const Request request({{"x-a", "caf\xe9"}, {"x-a", "\xff"}});
  CHECK_EQ(request.value(InputKind::Header, "x-a").value_or("nil"), "café, ÿ");
}

TEST("a review reads the response beside the request") {
  Request request({{"x-a", "asked"}, {"content-type", "text/plain"}});
  const Request response({{"X-A", "answered"}, {"Content-Type", "application/problem+json"}});
  CHECK(!request.value(InputKind::ResponseHeader, "x-a"));
  CHECK(!request.value(InputKind::Consumer));
  request.source.responseFields = response.source.fields;
  request.source.consumer = "ann";
  request.source.responseBody = "{}";
  CHECK_EQ(request.value(InputKind::ResponseHeader, "x-a").value_or("nil"), "answered");
  CHECK_EQ(request.value(InputKind::Header, "x-a").value_or("nil"), "asked");
  CHECK_EQ(request.value(InputKind::Consumer).value_or("nil"), "ann");

  const auto bodyFor = [&](const std::string& type) {
    const std::vector<std::byte> bytes =
        request.describe({{InputKind::ResponseBody, "", FieldId::Other, {"text/x-none", type}}});
    MsgpackReader reader({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    std::uint32_t count = 0;
    std::uint64_t number = 0;
    CHECK(reader.array(count));
    for (int i = 0; i < 3; ++i) CHECK(reader.unsignedInteger(number));
    std::string_view body = "nil";
    CHECK(reader.nil() || reader.binary(body));
    return std::string(body);
  };
  CHECK_EQ(bodyFor("application/*+json"), "{}");
  CHECK_EQ(bodyFor("application/json"), "nil");
  request.source.responseBody.reset();
  CHECK_EQ(bodyFor("application/*+json"), "nil");
}

TEST("each line of a header can be had by itself") {
  const Request request({{"x-a", "1"}, {"x-a", "\xe9"}});
  const std::vector<std::byte> bytes =
      request.describe({{InputKind::Headers, "x-a", FieldId::Other, {}},
                        {InputKind::Headers, "x-b", FieldId::Other, {}}});
  MsgpackReader reader({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  std::uint32_t count = 0;
  std::uint64_t number = 0;
  REQUIRE(reader.array(count));
  for (int i = 0; i < 3; ++i) REQUIRE(reader.unsignedInteger(number));
  std::string_view text;
  REQUIRE(reader.array(count) && count == 2);
  CHECK(reader.text(text) && text == "1");
  CHECK(reader.text(text) && text == "é");
  CHECK(reader.array(count) && count == 0);
  CHECK_EQ(reader.remaining(), 0);
}

TEST("a cookie is the first of its name over all lines, without its quotes") {
  const Request request({{"Cookie", "xa=0; a=1;b = \"two\" ;c"}, {"cookie", "a=2; d=\"; e="}});
  CHECK_EQ(request.value(InputKind::Cookie, "a").value_or("nil"), "1");
  CHECK_EQ(request.value(InputKind::Cookie, "b").value_or("nil"), "two");
  CHECK_EQ(request.value(InputKind::Cookie, "d").value_or("nil"), "\"");
  CHECK_EQ(request.value(InputKind::Cookie, "e").value_or("nil"), "");
  CHECK(!request.value(InputKind::Cookie, "c"));
  CHECK(!request.value(InputKind::Cookie, "f"));
}

TEST("a query parameter is the first of its name, decoded") {
  Request request({});
  request.source.query = "a=1&a=2&b+c=d+%C3%A9&e=%zz%4&f&g=%ff";
  CHECK_EQ(request.value(InputKind::Query, "a").value_or("nil"), "1");
  CHECK_EQ(request.value(InputKind::Query, "b c").value_or("nil"), "d é");
  CHECK_EQ(request.value(InputKind::Query, "e").value_or("nil"), "%zz%4");
  CHECK_EQ(request.value(InputKind::Query, "f").value_or("nil"), "");
  CHECK_EQ(request.value(InputKind::Query, "g").value_or("nil"), "ÿ");
  CHECK(!request.value(InputKind::Query, "h"));
}

TEST("the rest of a request is as the gateway has it") {
  Request request({});
  request.source.path = "/a/b";
  request.source.method = "GET";
  request.source.clientAddress = "10.0.0.1";
  request.source.host = "api.example";
  request.source.scheme = "https";
  request.source.routeName = "orders";
  request.match.paramCount = 1;
  request.match.params[0] = {"id", "7"};
  CHECK_EQ(request.value(InputKind::Path).value_or("nil"), "/a/b");
  CHECK_EQ(request.value(InputKind::Method).value_or("nil"), "GET");
  CHECK_EQ(request.value(InputKind::ClientAddress).value_or("nil"), "10.0.0.1");
  CHECK_EQ(request.value(InputKind::Host).value_or("nil"), "api.example");
  CHECK_EQ(request.value(InputKind::Scheme).value_or("nil"), "https");
  CHECK_EQ(request.value(InputKind::RouteName).value_or("nil"), "orders");
  CHECK_EQ(request.value(InputKind::Param, "id").value_or("nil"), "7");
  CHECK(!request.value(InputKind::Param, "other"));
}

TEST(
    "a body is bytes as they came, none at all where it is empty, and nil where it was not "
    "collected") {
  Request request({});
  const auto body = [&]() -> std::optional<std::string> {
    const std::vector<std::byte> bytes =
        request.describe({{InputKind::Body, "", FieldId::Other, {}}});
    MsgpackReader reader({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    std::uint32_t count = 0;
    std::uint64_t number = 0;
    CHECK(reader.array(count) && count == 4);
    for (int i = 0; i < 3; ++i) CHECK(reader.unsignedInteger(number));
    if (reader.nil()) return std::nullopt;
    std::string_view value;
    CHECK(reader.binary(value));
    CHECK_EQ(reader.remaining(), 0);
    return std::string(value);
  };
  CHECK(!body());
  request.source.body = "";
  CHECK_EQ(body().value_or("nil"), "");
  request.source.body = std::string_view("\0\xff{}", 4);
  CHECK_EQ(body().value_or("nil"), std::string("\0\xff{}", 4));
}

TEST("texts that are UTF-8 already stay, others are Latin-1") {
  Request request({});
  request.source.path = "/caf\xc3\xa9";
  CHECK_EQ(request.value(InputKind::Path).value_or("nil"), "/café");
  request.source.path = "/caf\xe9";
  CHECK_EQ(request.value(InputKind::Path).value_or("nil"), "/café");
}

TEST("a descriptor that does not fit is not written") {
  const Request request({{"x-a", std::string(100, 'a')}, {"x-b", "\xe9"}});
  std::vector<PolicyInput> inputs(20, {InputKind::Path, "", FieldId::Other, {}});
  inputs.push_back({InputKind::Header, "x-a", FieldId::Other, {}});
  inputs.push_back({InputKind::Header, "x-b", FieldId::Other, {}});
  const std::size_t whole = request.describe(inputs).size();
  CHECK(whole > 120);
  for (std::size_t room = 0; room < whole; ++room) CHECK(request.describe(inputs, room).empty());
  CHECK_EQ(request.describe(inputs, whole).size(), whole);
}

TEST("numbers of any size, long lists and long texts come through") {
  const Request request({{"x-a", std::string(40, 'a')}});
  const std::vector<PolicyInput> inputs(20, {InputKind::Header, "x-a", FieldId::Other, {}});
  std::vector<std::byte> values(4096);
  values.resize(writeInputs(70'000, inputs, request.source, values));
  std::vector<std::byte> bytes(4096);
  bytes.resize(writeDescriptor(0xffff'ffff, 128, inputs.size(), values, bytes));
  MsgpackReader reader({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  std::uint32_t count = 0;
  REQUIRE(reader.array(count));
  CHECK_EQ(count, 23);
  for (const std::uint64_t expected :
       {std::uint64_t{0xffff'ffff}, std::uint64_t{128}, std::uint64_t{70'000}}) {
    std::uint64_t number = 0;
    REQUIRE(reader.unsignedInteger(number));
    CHECK_EQ(number, expected);
  }
  for (int i = 0; i < 20; ++i) {
    std::string_view text;
    REQUIRE(reader.text(text));
    CHECK_EQ(text, std::string(40, 'a'));
  }
  CHECK_EQ(reader.remaining(), 0);
}

}  // namespace
}  // namespace tidegate
