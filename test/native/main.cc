// native_tests: runs every test that is linked in.
#include "check.h"

int main(int argumentCount, char** arguments) {
  return tidegate::test::runTests(argumentCount, arguments);
}
