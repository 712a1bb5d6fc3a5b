// Heads as tables of fields.
#include "http/message.h"

#include <array>
#include <span>
#include <utility>

#include "check.h"

namespace tidegate {
namespace {

Field fieldOf(FieldId id) {
  Field field;
  field.id = id;
  return field;
}

TEST("a head knows of which ids it has fields, whatever is added, taken out or copied") {
  std::array<Field, 3> table;
  HeadFields head(table);
  constexpr FieldIds kVia = bitOf(FieldId::Via);
  constexpr FieldIds kDate = bitOf(FieldId::Date);
  constexpr FieldIds kOther = bitOf(FieldId::Other);
  CHECK(!head.has(kVia | kDate | kOther));
  CHECK(head.find(FieldId::Via) == nullptr);

  for (const FieldId id : {FieldId::Via, FieldId::Other, FieldId::Via}) head.add(fieldOf(id));
  CHECK(!head.add(fieldOf(FieldId::Date)));
  CHECK(head.has(kVia | kDate));
  CHECK(head.has(kOther));
  CHECK(!head.has(kDate));
  CHECK(head.find(FieldId::Via) == table.data());

  std::array<Field, 3> otherTable;
  HeadFields copy(std::span<Field>{});
  copy.assign(head, otherTable.data(), nullptr);
  CHECK(copy.has(kVia));
  CHECK(!copy.has(kDate));

  // One of two is left.
  bool first = true;
  head.removeIf(
      [&first](const Field& f) { return f.id == FieldId::Via && std::exchange(first, false); });
  CHECK(head.has(kVia));
  head.removeIf([](const Field& f) { return f.id == FieldId::Via; });
  CHECK(!head.has(kVia));
  CHECK(head.has(kOther));
  CHECK(copy.has(kVia));

  head.clear();
  CHECK(!head.has(kVia | kDate | kOther));
}

}  // namespace
}  // namespace tidegate
