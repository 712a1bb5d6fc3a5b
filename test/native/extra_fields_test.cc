// The fields that the gateway adds: all of them, in order, and those alone.
#include "proxy/extra_fields.h"

#include <string>
#include <vector>

#include "check.h"

namespace tidegate {
namespace {

std::string namesOf(const ExtraFields& fields) {
  std::string names;
  for (const OutgoingField& f : fields.all()) names.append(f.name).append(" ");
  return names;
}

TEST("added fields stay in order, also where there are more than there was room for") {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("x-" + std::to_string(i));
  ExtraFields fields;
  for (int round = 0; round < 2; ++round) {
    fields.clear();
    std::string expected;
    for (const std::string& name : names) {
      fields.add(name, "v");
      expected += name + " ";
      REQUIRE(namesOf(fields) == expected);
    }
  }
}

TEST("a name is taken out in whatever case, wherever it stands") {
  ExtraFields fields;
  fields.remove("Via");
  CHECK_EQ(namesOf(fields), "");
  for (const char* name : {"Via", "a", "VIA", "b", "via"}) fields.add(name, "v");
  fields.remove("vIa");
  CHECK_EQ(namesOf(fields), "a b ");
  fields.add("c", "v");
  CHECK_EQ(namesOf(fields), "a b c ");
}

}  // namespace
}  // namespace tidegate
