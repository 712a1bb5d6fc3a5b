// The registry and the runner behind check.h.
#include "check.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

namespace tidegate::test {
namespace {

struct Test {
  const char* name;
  const char* file;
  int line;
  TestFunction function;
};

// Built before main by initialisers of other files, so it is made at its first use.
std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

std::atomic<int> failuresOfTest{0};
const char* runningTest = "";

bool selected(const Test& test, const std::vector<const char*>& filters) {
  return filters.empty() || std::ranges::any_of(filters, [&](const char* filter) {
           return std::strstr(test.name, filter) != nullptr;
         });
}

}  // namespace

bool addTest(const char* name, const char* file, int line, TestFunction function) {
  tests().push_back({name, file, line, function});
  return true;
}

void reportFailure(const char* file, int line, const std::string& message) {
  const bool first = failuresOfTest.fetch_add(1) == 0;
  // One call, so that threads do not mix their lines.
  std::fprintf(stderr, "%s%s%s  %s:%d: %s\n", first ? "FAILED " : "", first ? runningTest : "",
               first ? "\n" : "", file, line, message.c_str());
}

std::string quoted(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '\r') {
      result += "\\r";
    } else if (character == '\n') {
      result += "\\n";
    } else if (character == '\t') {
      result += "\\t";
    } else if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (byte < 0x20 || byte >= 0x7f) {
      result += "\\x";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    } else {
      result += character;
    }
  }
  return result + "\"";
}

int runTests(int argumentCount, char** arguments) {
  bool list = false;
  bool verbose = false;
  std::vector<const char*> filters;
  for (int i = 1; i < argumentCount; ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--list") {
      list = true;
    } else if (argument == "--verbose") {
      verbose = true;
    } else {
      filters.push_back(arguments[i]);
    }
  }

  int passed = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    if (!selected(test, filters)) continue;
    if (list) {
      std::printf("%s (%s:%d)\n", test.name, test.file, test.line);
      continue;
    }
    runningTest = test.name;
    failuresOfTest = 0;
    if (verbose) {
      std::printf("%s\n", test.name);
      std::fflush(stdout);
    }
    test.function();
    ++(failuresOfTest.load() == 0 ? passed : failed);
  }
  if (list) return 0;

  const bool nothingMatched = !filters.empty() && passed + failed == 0;
  if (nothingMatched) std::fprintf(stderr, "no test's name contains what was asked for\n");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && !nothingMatched ? 0 : 1;
}

}  // namespace tidegate::test
