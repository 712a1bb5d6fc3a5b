// native_tests: runs every test that is linked in, or prints what a part of the core makes of given
// bytes.
#include <string_view>

#include "check.h"
#include "http1_dump.h"

int main(int argumentCount, char** arguments) {
  if (argumentCount == 2 && std::string_view(arguments[1]) == "--dump-http1") {
    return tidegate::test::dumpHttp1();
  }
  return tidegate::test::runTests(argumentCount, arguments);
}
