// The native tests' framework: named tests, checks that print both values, one summary line.
//
//   TEST("reads as a claim about what a user sees") {
//     REQUIRE(parsed.ok());            // ends this test when false
//     CHECK(parsed.keepAlive);         // goes on when false
//     CHECK_EQ(parsed.status, 200);    // prints what came and what was expected
//   }
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tidegate::test {

using TestFunction = void (*)();

// Called before main, by TEST. `name` and `file` must live for ever (they are literals).
bool addTest(const char* name, const char* file, int line, TestFunction function);

// Marks the running test as failed and prints the message. Any thread that the running test owns.
void reportFailure(const char* file, int line, const std::string& message);

// `text` as a C++ string literal, so that CR, LF and other invisible bytes show.
std::string quoted(std::string_view text);

template <typename T>
concept Character = std::same_as<T, char> || std::same_as<T, char8_t>;

template <typename T>
concept PlainInteger = std::integral<T> && !std::same_as<T, bool> && !Character<T>;

template <typename T>
concept OptionalLike = requires(const T& value) {
  { value.has_value() } -> std::same_as<bool>;
  *value;
};

template <typename T>
concept RangeLike = requires(const T& value) {
  value.begin();
  value.end();
};

// How a value is written in a failure: text is quoted, enums are numbers, ranges are listed.
template <typename T>
std::string describe(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_null_pointer_v<T>) {
    return "nullptr";
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    if constexpr (std::is_pointer_v<T>) {
      if (value == nullptr) return "nullptr";
    }
    return quoted(value);
  } else if constexpr (Character<T>) {
    const char byte = static_cast<char>(value);
    return quoted(std::string_view(&byte, 1));
  } else if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (std::floating_point<T>) {
    char text[64];
    std::snprintf(text, sizeof text, "%.17g", static_cast<double>(value));
    return text;
  } else if constexpr (std::is_enum_v<T>) {
    // The `+` makes a number of a byte-sized underlying type.
    return std::to_string(+static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_pointer_v<T>) {
    char text[32];
    std::snprintf(text, sizeof text, "%p", reinterpret_cast<const void*>(value));
    return text;
  } else if constexpr (OptionalLike<T>) {
    return value.has_value() ? describe(*value) : "nothing";
  } else if constexpr (RangeLike<T>) {
    std::string text = "[";
    for (const auto& element : value) {
      if (text.size() > 1) text += ", ";
      text += describe(element);
    }
    return text + "]";
  } else {
    return "<" + std::to_string(sizeof(T)) + " bytes>";
  }
}

// Integers compare by value, whatever their signs and sizes are.
template <typename A, typename B>
bool equal(const A& a, const B& b) {
  if constexpr (PlainInteger<A> && PlainInteger<B>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

template <typename A, typename B>
bool checkEqual(const A& actual, const B& expected, const char* expression, const char* file,
                int line) {
  if (equal(actual, expected)) return true;
  reportFailure(file, line,
                std::string(expression) + "\n    is       " + describe(actual) + "\n    expected " +
                    describe(expected));
  return false;
}

// Of what a test stands on rather than tests: ends the program where it does not hold.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

// Runs the tests whose names contain any of the arguments, or all; returns the exit code.
// `--list` prints the names instead, `--verbose` prints each name before it runs.
int runTests(int argumentCount, char** arguments);

}  // namespace tidegate::test

#define TIDEGATE_JOIN2(a, b) a##b
#define TIDEGATE_JOIN(a, b) TIDEGATE_JOIN2(a, b)

#define TEST(name)                                                                         \
  static void TIDEGATE_JOIN(test, __LINE__)();                                             \
  [[maybe_unused]] static const bool TIDEGATE_JOIN(kAdded, __LINE__) =                     \
      ::tidegate::test::addTest(name, __FILE__, __LINE__, &TIDEGATE_JOIN(test, __LINE__)); \
  static void TIDEGATE_JOIN(test, __LINE__)()

#define CHECK(...)                                                       \
  do {                                                                   \
    if (!(__VA_ARGS__)) {                                                \
      ::tidegate::test::reportFailure(__FILE__, __LINE__, #__VA_ARGS__); \
    }                                                                    \
  } while (false)

#define REQUIRE(...)                                                     \
  do {                                                                   \
    if (!(__VA_ARGS__)) {                                                \
      ::tidegate::test::reportFailure(__FILE__, __LINE__, #__VA_ARGS__); \
      return;                                                            \
    }                                                                    \
  } while (false)

#define CHECK_EQ(actual, expected) \
  (void)::tidegate::test::checkEqual(actual, expected, #actual, __FILE__, __LINE__)

#define REQUIRE_EQ(actual, expected)                                                          \
  do {                                                                                        \
    if (!::tidegate::test::checkEqual(actual, expected, #actual, __FILE__, __LINE__)) return; \
  } while (false)
