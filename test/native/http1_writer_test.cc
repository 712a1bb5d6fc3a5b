// HTTP/1 heads as they are written: every field as its name, ": " and its value, however it came.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/short_text.h"
#include "check.h"
#include "http1/parser.h"
#include "http1/writer.h"

namespace tidegate::http1 {
namespace {

// Everything that `output` holds.
std::string written(BufferPool& pool, Output& output) {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) != 0) return {};
  Transport transport((Socket(FileHandle(fds[0]))));
  const FileHandle reader(fds[1]);
  output.flush(pool, transport);
  std::string text(64 * 1024, '\0');
  const ssize_t size = read(reader.get(), text.data(), text.size());
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

std::string responseText(const HeadFields& source, std::span<const OutgoingField> extra = {}) {
  BufferPool pool;
  Output output;
  OutgoingResponse head;
  head.status = 200;
  head.fields = {&source, extra};
  writeResponseHead(output, pool, head, {});
  return written(pool, output);
}

std::string expectedText(const HeadFields& source, std::span<const OutgoingField> extra = {}) {
  std::string text = "HTTP/1.1 200 OK\r\n";
  const auto add = [&text](std::string_view name, std::string_view value) {
    text.append(name).append(": ").append(value).append("\r\n");
  };
  for (const Field& f : source.fields()) {
    const bool own = f.id == FieldId::Host || f.id == FieldId::ContentLength;
    if (!own && !f.dropped && !f.hopByHop) add(source.name(f), source.value(f));
  }
  for (const OutgoingField& f : extra) add(f.name, f.value);
  return text + "\r\n";
}

constexpr std::array<std::string_view, 10> kLines = {"A: 1\r\n",
                                                     "Empty:\r\n",
                                                     "Blank: \r\n",
                                                     "Tight:x\r\n",
                                                     "Tab:\tx\r\n",
                                                     "Wide:  x\r\n",
                                                     "Trailing: x \r\n",
                                                     "Both: x\t\r\n",
                                                     "Content-Length: 3\r\n",
                                                     "Date: Thu, 26 Nov 2026 17:00:00 GMT\r\n"};

TEST(
    "whatever stands around a value, and whichever fields are left out, each line is written "
    "well") {
  auto head = std::make_unique<ResponseHead>();
  // All orders of three lines, with each set of them left out.
  for (std::size_t choice = 0; choice < 10 * 10 * 10; ++choice) {
    std::string text = "HTTP/1.1 200 OK\r\n";
    for (std::size_t rest = choice, i = 0; i < 3; ++i, rest /= 10) {
      if (kLines[rest % 10].starts_with("Content-Length") &&
          text.find("Content-Length") != std::string::npos)
        continue;
      text.append(kLines[rest % 10]);
    }
    text.append("\r\n");
    REQUIRE(parseResponseHead(text, {}, Method::Get, *head).status == ParseStatus::Complete);
    const std::span<Field> fields = head->fields();
    for (unsigned left = 0; left < 1U << fields.size(); ++left) {
      for (std::size_t i = 0; i < fields.size(); ++i) fields[i].dropped = (left >> i & 1) != 0;
      REQUIRE(responseText(*head) == expectedText(*head));
    }
  }
}

TEST(
    "fields that were kept elsewhere, without the end of the last line, are written as they came") {
  const std::string text = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nLast: three\r\n\r\n";
  auto head = std::make_unique<ResponseHead>();
  REQUIRE(parseResponseHead(text, {}, Method::Get, *head).status == ParseStatus::Complete);
  // In memory that ends with the last value, where a sanitizer sees reads beyond it.
  const std::string_view needed = std::string_view(text).substr(0, text.size() - 4);
  const std::vector<char> bytes(needed.begin(), needed.end());
  std::array<Field, 3> table;
  HeadFields kept(table);
  kept.assign(*head, table.data(), bytes.data());
  CHECK_EQ(responseText(kept), "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nLast: three\r\n\r\n");
}

TEST("names and values that lie apart, as HTTP/2 leaves them, become lines") {
  const std::string_view bytes = "onetwo: three\r\nfour: five--six: seven";
  std::array<Field, 5> table;
  HeadFields head(table);
  head.rebase(bytes.data());
  const auto add = [&](std::string_view name, std::string_view value) {
    const auto sliceOf = [bytes](std::string_view text) {
      return Slice{static_cast<std::uint32_t>(bytes.find(text)),
                   static_cast<std::uint32_t>(text.size())};
    };
    Field field;
    field.name = sliceOf(name);
    field.value = sliceOf(value);
    head.add(field);
  };
  add("one", "two");    // beside each other
  add("two", "three");  // stands there as a line
  add("four", "five");  // as the next one
  add("six", "seven");  // as far behind it as a line would be, and is none
  add("four", "one");
  CHECK_EQ(responseText(head),
           "HTTP/1.1 200 OK\r\none: two\r\ntwo: three\r\nfour: five\r\nsix: seven\r\nfour: "
           "one\r\n\r\n");
}

TEST("added fields of all lengths follow those that came") {
  const std::string text = "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n";
  auto head = std::make_unique<ResponseHead>();
  REQUIRE(parseResponseHead(text, {}, Method::Get, *head).status == ParseStatus::Complete);
  const std::string letters(100, 'x');
  for (std::size_t size = 0; size <= letters.size(); ++size) {
    const std::array<OutgoingField, 2> extra = {
        {{"Name", std::string_view(letters).substr(0, size)}, {letters, "v"}}};
    REQUIRE(responseText(*head, extra) == expectedText(*head, extra));
  }
}

TEST("a text of any length is copied, and nothing beside it is touched") {
  for (std::size_t size = 0; size <= 80; ++size) {
    // In memory of exactly that size, where a sanitizer sees a byte too far.
    std::vector<char> from(size);
    for (std::size_t i = 0; i < size; ++i) from[i] = static_cast<char>('0' + i);
    std::vector<char> to(size);
    CHECK(copyText(to.data(), {from.data(), size}) == to.data() + size);
    CHECK(to == from);
  }
}

}  // namespace
}  // namespace tidegate::http1
