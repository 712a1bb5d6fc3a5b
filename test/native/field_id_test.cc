// Field names to ids and back, and methods.
#include "http/field_id.h"

#include <string>

#include "check.h"
#include "http/message.h"

namespace tidegate::test {
namespace {

constexpr auto kLastField = FieldId::XRequestId;

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
  }
  return out;
}

TEST("every known field is found by its name in any case") {
  for (int i = 1; i <= static_cast<int>(kLastField); ++i) {
    const auto id = static_cast<FieldId>(i);
    std::string mixed(fieldName(id));
    CHECK(!mixed.empty());
    CHECK_EQ(fieldIdOf(mixed), id);
    CHECK_EQ(fieldIdOf(upper(mixed)), id);
    mixed[0] = upper(mixed)[0];
    CHECK_EQ(fieldIdOf(mixed), id);
  }
  CHECK_EQ(fieldName(FieldId::Other), "");
}

TEST("a name that differs from a known one in any byte is another field") {
  for (int i = 1; i <= static_cast<int>(kLastField); ++i) {
    const std::string name(fieldName(static_cast<FieldId>(i)));
    CHECK_EQ(fieldIdOf(name + "x"), FieldId::Other);
    CHECK_EQ(fieldIdOf(name + " "), FieldId::Other);
    for (std::size_t at = 0; at < name.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = name;
        changed[at] = static_cast<char>(byte);
        const bool same = upper(changed) == upper(name);
        const bool known = fieldIdOf(changed) == static_cast<FieldId>(i);
        if (known != same) CHECK_EQ(changed, name);
      }
    }
  }
}

TEST("names of any length are looked up") {
  for (std::size_t length = 0; length < 40; ++length) {
    CHECK_EQ(fieldIdOf(std::string(length, 'x')), FieldId::Other);
  }
}

TEST("methods are known in capitals only") {
  constexpr struct {
    std::string_view token;
    Method method;
  } kMethods[] = {
      {"GET", Method::Get},         {"HEAD", Method::Head},      {"POST", Method::Post},
      {"PUT", Method::Put},         {"DELETE", Method::Delete},  {"PATCH", Method::Patch},
      {"OPTIONS", Method::Options}, {"TRACE", Method::Trace},    {"CONNECT", Method::Connect},
      {"get", Method::Other},       {"Head", Method::Other},     {"PUTS", Method::Other},
      {"PO", Method::Other},        {"", Method::Other},         {"PATCHY", Method::Other},
      {"DELETED", Method::Other},   {"PROPFIND", Method::Other},
  };
  for (const auto& row : kMethods) CHECK_EQ(methodOf(row.token), row.method);
}

TEST("methods that may be sent twice are those of RFC 9110 9.2.2") {
  for (const Method method :
       {Method::Get, Method::Head, Method::Put, Method::Delete, Method::Options, Method::Trace}) {
    CHECK(isIdempotent(method));
  }
  for (const Method method : {Method::Post, Method::Patch, Method::Connect, Method::Other}) {
    CHECK(!isIdempotent(method));
  }
}

}  // namespace
}  // namespace tidegate::test
