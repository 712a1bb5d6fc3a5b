// HPACK (RFC 7541): the Huffman code, the tables, what is read and what is written.
#include <array>
#include <cctype>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "http2/hpack_decoder.h"
#include "http2/hpack_encoder.h"
#include "http2/huffman.h"

namespace tidegate::http2 {

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Pair {
  std::string name;
  std::string value;
  bool neverIndexed = false;
  bool operator==(const Pair&) const = default;
};

class Collected final : public HpackSink {
 public:
  void onField(std::string_view name, std::string_view value, bool neverIndexed) override {
    fields.push_back({std::string(name), std::string(value), neverIndexed});
  }
  std::string text() const {
    std::string all;
    for (const Pair& field : fields) all += field.name + ": " + field.value + "\n";
    return all;
  }
  std::vector<Pair> fields;
};

Bytes hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes bytes;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(digit(digits[i]) * 16 + digit(digits[i + 1])));
  return bytes;
}

HpackError decode(HpackDecoder& decoder, const Bytes& block, Collected& out) {
  std::array<char, 64 * 1024> room;
  return decoder.decode(block, room, out);
}

HpackError decode(const Bytes& block, std::size_t table = 4096) {
  HpackDecoder decoder(table);
  Collected out;
  return decode(decoder, block, out);
}

Bytes encode(HpackEncoder& encoder, const std::vector<Pair>& fields) {
  std::size_t room = HpackEncoder::kBeginBytes;
  for (const Pair& f : fields)
    room += f.name.size() + f.value.size() + HpackEncoder::kFieldOverhead;
  Bytes block(room);
  std::uint8_t* end = encoder.begin(block.data());
  for (const Pair& f : fields) end = encoder.add(end, f.name, f.value, f.neverIndexed);
  block.resize(static_cast<std::size_t>(end - block.data()));
  return block;
}

std::string huffmanRoundTrip(const std::string& text) {
  Bytes encoded(huffmanSize(text));
  huffmanEncode(text, encoded.data());
  std::string decoded(huffmanRoom(encoded.size()), '\0');
  const auto size = huffmanDecode(encoded, decoded.data());
  return size ? decoded.substr(0, *size) : "refused";
}

std::string randomText(std::mt19937& random, std::size_t limit, unsigned low, unsigned count) {
  std::string text(random() % limit, '\0');
  for (char& c : text) c = static_cast<char>(low + random() % count);
  return text;
}

}  // namespace

TEST("huffman: texts of RFC 7541 C.4") {
  Bytes encoded(huffmanSize("www.example.com"));
  huffmanEncode("www.example.com", encoded.data());
  CHECK(encoded == hex("f1e3c2e5f23a6ba0ab90f4ff"));
  encoded.resize(huffmanSize("no-cache"));
  huffmanEncode("no-cache", encoded.data());
  CHECK(encoded == hex("a8eb10649cbf"));
}

TEST("huffman: every byte, and random texts, come back") {
  for (unsigned c = 0; c < 256; ++c) {
    const std::string text(3, static_cast<char>(c));
    CHECK_EQ(huffmanRoundTrip(text), text);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::string text =
        i % 3 == 0 ? randomText(random, 60, 32, 95) : randomText(random, 60, 0, 256);
    CHECK_EQ(huffmanRoundTrip(text), text);
  }
}

TEST("huffman: the shorter of text and code, as it is without the comparison") {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const std::string text =
        "x" + (i % 2 == 0 ? randomText(random, 60, 32, 95) : randomText(random, 8, 0, 256));
    Bytes expected(huffmanSize(text));
    huffmanEncode(text, expected.data());
    Bytes encoded(text.size() + 3);
    encoded.resize(huffmanEncodeShorter(text, encoded.data()));
    CHECK(expected.size() < text.size() ? encoded == expected : encoded.empty());
  }
}

TEST("huffman: what is no whole code is refused") {
  const auto refused = [](std::string_view text) {
    const Bytes bytes = hex(text);
    std::array<char, 64> out;
    return !huffmanDecode(bytes, out.data()).has_value();
  };
  CHECK(refused("ff"));        // eight bits of padding
  CHECK(refused("ffffffff"));  // EOS
  CHECK(refused("1fff"));      // more than seven bits of padding
  CHECK(refused("18"));        // padding of zeros
  CHECK(refused("f1e3c2e5f23a6ba0ab90f4ffff"));
  CHECK(!refused("1f"));
  CHECK(!refused(""));
}

TEST("hpack decoder: requests of RFC 7541 C.3, without Huffman") {
  HpackDecoder decoder;
  Collected out;
  CHECK(decode(decoder, hex("828684410f7777772e6578616d706c652e636f6d"), out) == HpackError::None);
  CHECK(decode(decoder, hex("828684be58086e6f2d6361636865"), out) == HpackError::None);
  CHECK(decode(decoder, hex("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"), out) ==
        HpackError::None);
  CHECK_EQ(out.text(),
           ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
           ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
           "cache-control: no-cache\n"
           ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
           "custom-key: custom-value\n");
}

TEST("hpack decoder: requests of RFC 7541 C.4, with Huffman") {
  HpackDecoder decoder;
  Collected out;
  CHECK(decode(decoder, hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"), out) == HpackError::None);
  CHECK(decode(decoder, hex("828684be5886a8eb10649cbf"), out) == HpackError::None);
  CHECK(decode(decoder, hex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"), out) ==
        HpackError::None);
  CHECK_EQ(out.fields.size(), std::size_t{14});
  CHECK(out.fields[13] == Pair({"custom-key", "custom-value", false}));
}

TEST("hpack decoder: responses of RFC 7541 C.5 and C.6, whose table is small") {
  const std::string expected =
      ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
      "location: https://www.example.com\n"
      ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
      "location: https://www.example.com\n"
      ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n"
      "location: https://www.example.com\ncontent-encoding: gzip\n"
      "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n";
  {
    HpackDecoder decoder(256);
    Collected out;
    CHECK(decode(decoder,
                 hex("4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a3133"
                     "3a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d"),
                 out) == HpackError::None);
    CHECK(decode(decoder, hex("4803333037c1c0bf"), out) == HpackError::None);
    CHECK(decode(decoder,
                 hex("88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a"
                     "69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d"
                     "61782d6167653d333630303b2076657273696f6e3d31"),
                 out) == HpackError::None);
    CHECK_EQ(out.text(), expected);
  }
  HpackDecoder decoder(256);
  Collected out;
  for (const std::string_view block :
       {"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
        "0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
        "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"})
    CHECK(decode(decoder, hex(block), out) == HpackError::None);
  CHECK_EQ(out.text(), expected);
}

TEST("hpack decoder: fields that shall never be in a table are told apart") {
  HpackDecoder decoder;
  Collected out;
  CHECK(decode(decoder, hex("100870617373776f726406736563726574 040c2f73616d706c652f70617468"),
               out) == HpackError::None);
  CHECK(out.fields[0] == Pair({"password", "secret", true}));
  CHECK(out.fields[1] == Pair({":path", "/sample/path", false}));
}

TEST("hpack decoder: what is refused") {
  CHECK(decode(hex("80")) == HpackError::BadIndex);      // index 0
  CHECK(decode(hex("be")) == HpackError::BadIndex);      // 62 of an empty table
  CHECK(decode(hex("7f0000")) == HpackError::BadIndex);  // a name beyond the tables
  CHECK(decode(hex("ffffffffffff")) == HpackError::BadNumber);
  CHECK(decode(hex("ff80808080808000")) == HpackError::BadNumber);
  CHECK(decode(hex("ff")) == HpackError::Truncated);
  CHECK(decode(hex("40")) == HpackError::Truncated);
  CHECK(decode(hex("400a6375")) == HpackError::Truncated);
  CHECK(decode(hex("400161")) == HpackError::Truncated);  // no value
  CHECK(decode(hex("40016181ff")) == HpackError::BadText);
  CHECK(decode(hex("8220")) == HpackError::BadLimit);    // a size behind a field
  CHECK(decode(hex("3fe21f")) == HpackError::BadLimit);  // 4097
  CHECK(decode(hex("3fe11f")) == HpackError::None);      // 4096
  CHECK(decode(hex("203fe11f82")) == HpackError::None);  // none, then 4096
  CHECK(decode({}) == HpackError::None);
}

TEST("hpack decoder: a table size update drops what does not fit") {
  HpackDecoder decoder;
  Collected out;
  CHECK(decode(decoder, hex("400a637573746f6d2d6b65790c637573746f6d2d76616c7565"), out) ==
        HpackError::None);
  CHECK(decode(decoder, hex("be"), out) == HpackError::None);
  CHECK(decode(decoder, hex("203fe11fbe"), out) == HpackError::BadIndex);
}

TEST("hpack decoder: the static table's names have the ids that they have elsewhere") {
  class Marks final : public HpackSink {
   public:
    void onField(std::string_view, std::string_view, bool) override { CHECK(false); }
    void onMarkedField(std::string_view name, std::string_view, FieldMark& mark) override {
      CHECK_EQ(mark.id, fieldIdOf(name));
      CHECK_EQ(mark.goodName, !name.starts_with(':'));
      ++count;
    }
    std::uint32_t count = 0;
  };
  HpackDecoder decoder;
  Marks marks;
  Bytes block;
  for (std::uint32_t i = 1; i <= kStaticFields; ++i)
    block.push_back(static_cast<std::uint8_t>(0x80 | i));
  std::array<char, 64> room;
  CHECK(decoder.decode(block, room, marks) == HpackError::None);
  CHECK_EQ(marks.count, kStaticFields);
}

TEST("hpack decoder: what a sink finds out about an entry stays with it, and with its name") {
  class Marks final : public HpackSink {
   public:
    void onField(std::string_view, std::string_view, bool) override { CHECK(false); }
    void onMarkedField(std::string_view, std::string_view value, FieldMark& mark) override {
      seen += mark.goodName ? 'n' : '-';
      seen += mark.goodValue ? 'v' : '-';
      mark.goodName = mark.goodValue = value != "bad";
    }
    std::string seen;
  };
  HpackDecoder decoder;
  Marks marks;
  std::array<char, 64> room;
  // Inserted; by its index; its name with a value, inserted and not; and by their indices.
  for (const std::string_view block :
       {"4001610162", "be", "7e0163", "0f2f0162", "be", "bf", "400164 03626164", "be", "be", "c0"})
    CHECK(decoder.decode(hex(block), room, marks) == HpackError::None);
  CHECK_EQ(marks.seen, "--nvn-n-nvnv------nv");
}

TEST("dynamic table: as a model has it, also where names are its own") {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    DynamicTable table(600);
    std::deque<std::pair<std::string, std::string>> model;
    std::size_t size = 0;
    std::size_t limit = 600;
    const auto dropTo = [&](std::size_t most) {
      while (size > most) {
        size -= 32 + model.back().first.size() + model.back().second.size();
        model.pop_back();
      }
    };
    for (int step = 0; step < 300; ++step) {
      std::string name = randomText(random, 400 / (1 + random() % 12), 'a', 26);
      const std::string value = randomText(random, 200, 'A', 26);
      if (random() % 50 == 0) {
        limit = random() % 601;
        table.setLimit(limit);
        dropTo(limit);
      }
      if (table.count() > 0 && random() % 4 == 0) {
        const std::string_view own = table.at(random() % table.count()).name;
        name = own;
        table.insert(own, value);
      } else {
        table.insert(name, value);
      }
      const std::size_t cost = 32 + name.size() + value.size();
      while (!model.empty() && size + cost > limit) dropTo(size - 1);
      if (cost <= limit) {
        model.emplace_front(name, value);
        size += cost;
      }
      CHECK_EQ(table.count(), model.size());
      CHECK_EQ(table.size(), size);
      for (std::uint32_t age = 0; age < table.count(); ++age) {
        CHECK(table.at(age).name == model[age].first);
        CHECK(table.at(age).value == model[age].second);
      }
    }
  }
}

TEST("hpack encoder: a steady stream of like heads costs a byte a field") {
  HpackEncoder encoder;
  const std::vector<Pair> head = {
      {":status", "200"},          {"Content-Type", "application/json; charset=utf-8"},
      {"x-frame-options", "DENY"}, {"date", "Thu, 26 Nov 2026 07:00:00 GMT"},
      {"content-length", "64"},
  };
  for (int i = 0; i < 3; ++i) encode(encoder, head);
  CHECK_EQ(encode(encoder, head).size(), head.size());
}

TEST("hpack encoder: of a field whose value differs each time the name is in the table, once") {
  HpackEncoder encoder;
  std::mt19937 random(5);
  HpackDecoder decoder;
  for (int i = 0; i < 100; ++i) {
    const std::vector<Pair> head = {{":status", "200"}, {"x-request-id", std::to_string(random())}};
    Collected out;
    const Bytes block = encode(encoder, head);
    CHECK_EQ(block[1], i < 2    ? 0x00
                       : i == 2 ? 0x40
                                : 0x0f);     // indexed when it is known to come again
    if (i > 2) CHECK_EQ(block[2], 62 - 15);  // its name is the only entry's
    CHECK(decode(decoder, block, out) == HpackError::None);
    CHECK(out.fields == head);
  }
}

TEST("hpack encoder: secrets are never in a table") {
  HpackEncoder encoder;
  for (int i = 0; i < 3; ++i) {
    for (const char* name : {"authorization", "Cookie", "set-cookie", "proxy-authorization"}) {
      HpackDecoder decoder;
      Collected out;
      CHECK(decode(decoder, encode(encoder, {{name, "abc"}}), out) == HpackError::None);
      CHECK(out.fields[0].neverIndexed);
    }
    HpackDecoder decoder;
    Collected out;
    CHECK(decode(decoder, encode(encoder, {{"x-key", "abc", true}}), out) == HpackError::None);
    CHECK(out.fields[0] == Pair({"x-key", "abc", true}));
    // Also where the static table has all of it.
    CHECK(decode(decoder, encode(encoder, {{":path", "/", true}}), out) == HpackError::None);
    CHECK(out.fields.back() == Pair({":path", "/", true}));
  }
}

TEST("hpack encoder: the static table is used") {
  HpackEncoder encoder;
  CHECK(encode(encoder, {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}) ==
        hex("828784"));
  CHECK(encode(encoder, {{":status", "404"}}) == hex("8d"));
  for (std::uint32_t i = 1; i <= kStaticFields; ++i) {
    const HpackField& field = staticField(i);
    if (field.value.empty()) continue;
    CHECK(encode(encoder, {{std::string(field.name), std::string(field.value)}}) ==
          Bytes{static_cast<std::uint8_t>(0x80 | i)});
  }
}

TEST("hpack encoder: one that rested says so, and begins anew") {
  HpackEncoder encoder;
  HpackDecoder decoder;
  const std::vector<Pair> head = {{":status", "200"}, {"server", "one"}, {"x-name", "value"}};
  const auto send = [&] {
    Collected out;
    const Bytes block = encode(encoder, head);
    CHECK(decode(decoder, block, out) == HpackError::None);
    CHECK(out.fields == head);
    return block;
  };
  encoder.rest();
  CHECK_EQ(send()[0], 0x88);  // nothing to forget
  send();
  send();
  CHECK_EQ(send().size(), std::size_t{3});
  encoder.rest();
  encoder.rest();
  const Bytes anew = send();
  CHECK(Bytes(anew.begin(), anew.begin() + 4) == hex("203fe11f"));
  send();
  send();
  CHECK_EQ(send().size(), std::size_t{3});
}

TEST("hpack encoder: says what the peer's table size has been between two blocks") {
  HpackEncoder encoder;
  encoder.setPeerLimit(65'536);
  CHECK(encode(encoder, {}).empty());  // 4096 is what it was
  encoder.setPeerLimit(0);
  encoder.setPeerLimit(4096);
  CHECK(encode(encoder, {}) == hex("203fe11f"));
  encoder.setPeerLimit(100);
  CHECK(encode(encoder, {}) == hex("3f45"));
  CHECK(encode(encoder, {}).empty());
}

TEST("hpack encoder: what it writes is what a decoder reads, whatever the sizes") {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    HpackEncoder encoder;
    HpackDecoder decoder;
    std::vector<Pair> known;
    for (int i = 0; i < 24; ++i) {
      std::string name = "x-" + randomText(random, i % 8 == 0 ? 200 : 12, 'a', 26);
      known.push_back({name, randomText(random, i % 5 == 0 ? 900 : 30, 32, 95), i % 9 == 0});
    }
    for (int block = 0; block < 60; ++block) {
      if (random() % 10 == 0) encoder.setPeerLimit(random() % 4200);
      if (random() % 12 == 0) encoder.rest();
      std::vector<Pair> head;
      for (std::size_t count = random() % 20; count > 0; --count) {
        head.push_back(known[random() % known.size()]);
        if (random() % 6 == 0) head.back().value = randomText(random, 40, 0, 256);
      }
      Collected out;
      CHECK(decode(decoder, encode(encoder, head), out) == HpackError::None);
      CHECK(out.fields == head);
    }
  }
}

TEST("hpack encoder: what is like the head before and what is not, in any case of its names") {
  std::mt19937 random(13);
  for (int round = 0; round < 40; ++round) {
    HpackEncoder encoder(kDefaultTableBytes,
                         round % 2 == 0 ? HpackTexts::Plain : HpackTexts::Shortest);
    HpackDecoder decoder;
    std::vector<Pair> head = {{":method", "GET"}, {":path", "/"}};
    for (int block = 0; block < 200; ++block) {
      switch (random() % 12) {
        case 0:
          head.insert(head.begin() + static_cast<int>(random() % (head.size() + 1)),
                      {"X-" + randomText(random, 20, 'a', 4), randomText(random, 120, 32, 95)});
          break;
        case 1:
          if (head.size() > 2) head.erase(head.begin() + static_cast<int>(random() % head.size()));
          break;
        case 2:
          if (random() % 4 == 0) encoder.setPeerLimit(random() % 4200);
          break;
        case 3:
          if (random() % 8 == 0) encoder.rest();
          break;
        default: {
          Pair& changed = head[random() % head.size()];
          if (random() % 2 == 0) {
            changed.value = randomText(random, 40, 'a', 3);
          } else {
            for (char& c : changed.name) c = static_cast<char>(random() % 2 == 0 ? toupper(c) : c);
          }
          break;
        }
      }
      std::vector<Pair> expected = head;
      for (Pair& field : expected) {
        for (char& c : field.name) c = static_cast<char>(tolower(c));
      }
      for (int again = 0; again < 3; ++again) {
        Collected out;
        CHECK(decode(decoder, encode(encoder, head), out) == HpackError::None);
        CHECK(out.fields == expected);
      }
    }
  }
}

TEST("hpack encoder: a place whose value was another is no place with an empty one") {
  HpackEncoder encoder;
  HpackDecoder decoder;
  for (const char* value : {"1", "2", "3", "4", "", "5", "", "", ""}) {
    const std::vector<Pair> head = {{":path", "/"}, {"x-request-id", value}};
    Collected out;
    CHECK(decode(decoder, encode(encoder, head), out) == HpackError::None);
    CHECK(out.fields == head);
  }
}

TEST("hpack encoder: names are sent in lower case and found in any") {
  HpackEncoder encoder;
  HpackDecoder decoder;
  Collected out;
  for (const char* name : {"X-Custom-Name", "x-custom-name", "X-CUSTOM-NAME"})
    CHECK(decode(decoder, encode(encoder, {{name, "one"}}), out) == HpackError::None);
  for (const Pair& field : out.fields) CHECK_EQ(field.name, "x-custom-name");
  CHECK_EQ(encode(encoder, {{"X-Custom-NAME", "one"}}).size(), std::size_t{1});
}

}  // namespace tidegate::http2
