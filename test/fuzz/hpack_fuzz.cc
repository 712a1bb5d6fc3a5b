// Fuzzes HPACK: every input is decoded as the blocks of one connection; what comes of it is encoded
// and decoded again, and has to be the same.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "http2/hpack_decoder.h"
#include "http2/hpack_encoder.h"
#include "http2/huffman.h"

namespace tidegate::http2 {
namespace {

struct Field {
  std::string name;
  std::string value;
  bool neverIndexed;
  bool operator==(const Field&) const = default;
};

class Collected final : public HpackSink {
 public:
  void onField(std::string_view name, std::string_view value, bool neverIndexed) override {
    fields.push_back({std::string(name), std::string(value), neverIndexed});
  }
  std::vector<Field> fields;
};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

bool isLowerCase(const std::string& text) {
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') return false;
  }
  return true;
}

std::vector<std::uint8_t> encode(HpackEncoder& encoder, const std::vector<Field>& fields) {
  std::size_t room = HpackEncoder::kBeginBytes;
  for (const Field& f : fields)
    room += f.name.size() + f.value.size() + HpackEncoder::kFieldOverhead;
  std::vector<std::uint8_t> block(room);
  std::uint8_t* end = encoder.begin(block.data());
  for (const Field& f : fields) end = encoder.add(end, f.name, f.value, f.neverIndexed);
  block.resize(static_cast<std::size_t>(end - block.data()));
  return block;
}

bool hasUpperCase(const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    if (!isLowerCase(field.name)) return true;
  }
  return false;
}

bool isSecret(const std::string& name) {
  return name == "authorization" || name == "cookie" || name == "set-cookie" ||
         name == "proxy-authorization";
}

int run(const std::uint8_t* data, std::size_t size) {
  // The first byte of each block says how long it is.
  HpackDecoder decoder;
  HpackEncoder encoder;
  HpackDecoder back;
  std::array<char, 1024> room;
  std::array<char, 64 * 1024> largeRoom;
  while (size > 0) {
    const std::size_t length = std::min<std::size_t>(*data, size - 1);
    const std::span<const std::uint8_t> block(data + 1, length);
    data += 1 + length;
    size -= 1 + length;
    Collected read;
    if (decoder.decode(block, room, read) != HpackError::None) return 0;
    if (length > 0) encoder.setPeerLimit(std::uint32_t{block[0]} * 20);
    // Many fields of one byte each may name a large one: enough is enough.
    if (read.fields.size() > 64) read.fields.resize(64);
    Collected again;
    const std::vector<std::uint8_t> encoded = encode(encoder, read.fields);
    require(back.decode(encoded, largeRoom, again) == HpackError::None, "what was encoded");
    if (hasUpperCase(read.fields)) continue;
    for (Field& field : read.fields) field.neverIndexed |= isSecret(field.name);
    require(again.fields == read.fields, "the fields");
  }
  return 0;
}

}  // namespace
}  // namespace tidegate::http2

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return tidegate::http2::run(data, size);
}
