#include "http2/hpack_encoder.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/ascii.h"
#include "http2/hpack_forms.h"
#include "http2/huffman.h"

namespace tidegate::http2 {

namespace {

// Texts whose length takes a byte, encoded or not.
constexpr std::size_t kShortText = 126;

// A field that takes more than this share of the table would push out what is of more use.
constexpr std::size_t kLargestShare = 2;

std::uint8_t* putNumber(std::uint8_t* out, HpackForm form, std::size_t value) {
  const std::size_t mask = (std::size_t{1} << form.prefix) - 1;
  if (value < mask) {
    *out++ = static_cast<std::uint8_t>(form.bits | value);
    return out;
  }
  *out++ = static_cast<std::uint8_t>(form.bits | mask);
  for (value -= mask; value >= 0x80; value >>= 7) *out++ = static_cast<std::uint8_t>(value | 0x80);
  *out++ = static_cast<std::uint8_t>(value);
  return out;
}

// Up to eight bytes as a number; the same one for the same bytes on this machine.
template <typename Word>
constexpr std::uint64_t load(const char* at) {
  if (!std::is_constant_evaluated()) {
    Word word{};
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < sizeof(Word); ++i)
    word |= std::uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  return word;
}

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

// `fold`: bits that are set in each byte, so that case does not matter.
constexpr std::uint64_t hashOf(std::uint64_t seed, std::string_view text, std::uint64_t fold) {
  std::uint64_t hash = mix(seed, text.size());
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left > 8; left -= 8, at += 8) hash = mix(hash, load<std::uint64_t>(at) | fold);
  if (left >= 4) {
    hash = mix(hash, (load<std::uint32_t>(at) | load<std::uint32_t>(at + left - 4) << 32) | fold);
  } else if (left > 0) {
    const std::uint64_t word = load<std::uint8_t>(at) | load<std::uint8_t>(at + left / 2) << 8 |
                               load<std::uint8_t>(at + left - 1) << 16;
    hash = mix(hash, word | fold);
  }
  return hash;
}

constexpr std::uint64_t hashOfName(std::string_view name) {
  return hashOf(0, name, 0x2020202020202020);
}

// Places by hash of the names of the static table: the first index of each, and how many entries of
// the name follow one another.
struct StaticNames {
  static constexpr std::size_t kPlaces = 128;
  struct Place {
    std::uint8_t index;
    std::uint8_t count;
  };
  std::array<Place, kPlaces> places{};

  constexpr StaticNames() {
    for (std::uint32_t i = 1; i <= kStaticFields; ++i) {
      const std::string_view name = staticField(i).name;
      if (i > 1 && staticField(i - 1).name == name) continue;
      std::uint32_t end = i + 1;
      while (end <= kStaticFields && staticField(end).name == name) ++end;
      std::size_t at = hashOfName(name) % kPlaces;
      while (places[at].index != 0) at = (at + 1) % kPlaces;
      places[at] = {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(end - i)};
    }
  }

  Place find(std::uint64_t hash, std::string_view name) const {
    for (std::size_t at = hash % kPlaces; places[at].index != 0; at = (at + 1) % kPlaces) {
      if (equalsIgnoreCase(staticField(places[at].index).name, name)) return places[at];
    }
    return {};
  }
};

constexpr StaticNames kStaticNames;

// Fields that hold what lets one in, by their static index: authorization, cookie,
// proxy-authorization and set-cookie. A table would let others probe for their values
// (RFC 7541 7.1).
bool isSecret(std::uint32_t staticIndex) {
  return staticIndex == 23 || staticIndex == 32 || staticIndex == 49 || staticIndex == 55;
}

bool isLowerCase(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

void HpackEncoder::setPeerLimit(std::uint32_t bytes) {
  const std::size_t limit = std::min<std::size_t>(bytes, table_.capacity());
  if (limit == table_.limit() && !limitChanged_) return;
  lowestLimit_ = limitChanged_ ? std::min(lowestLimit_, limit) : limit;
  limitChanged_ = true;
  table_.setLimit(limit);
}

void HpackEncoder::rest() {
  index_.reset();
  begun_ = false;
  if (table_.count() > 0) {
    lowestLimit_ = 0;
    limitChanged_ = true;
  }
  table_.clear();
}

std::uint8_t* HpackEncoder::begin(std::uint8_t* out) {
  place_ = 0;
  if (index_ == nullptr && std::exchange(begun_, true)) index_ = std::make_unique<Index>();
  if (!limitChanged_) return out;
  // RFC 7541 4.2: the smallest one first, which says what the peer has to drop.
  if (lowestLimit_ < table_.limit()) out = putNumber(out, kTableSize, lowestLimit_);
  limitChanged_ = false;
  return putNumber(out, kTableSize, table_.limit());
}

std::uint8_t* HpackEncoder::add(std::uint8_t* out, std::string_view name, std::string_view value,
                                bool secret) {
  const std::uint32_t place = place_++;
  if (!secret) {
    if (const std::uint32_t sent = sentAt(place, name, value); sent != 0)
      return putNumber(out, kIndexed, sent);
  }
  const std::uint64_t nameHash = hashOfName(name);
  const StaticNames::Place known = kStaticNames.find(nameHash, name);
  for (std::uint32_t i = 0; i < known.count; ++i) {
    // An empty value says that there is only a name.
    const std::string_view there = staticField(known.index + i).value;
    if (there == value && !there.empty()) {
      rememberSent(place, {known.index + i, 0});
      return putNumber(out, kIndexed, known.index + i);
    }
  }
  const auto nameKey = static_cast<std::uint32_t>(nameHash >> 16);
  const std::size_t cost = DynamicTable::kOverhead + name.size() + value.size();
  HpackForm form = kWithoutIndexing;
  std::uint32_t key = 0;
  if (secret || isSecret(known.index)) {
    form = kNeverIndexed;
  } else if (index_ != nullptr && cost <= table_.limit() / kLargestShare) {
    key = static_cast<std::uint32_t>(hashOf(nameHash, value, 0) >> 16);
    if (const std::uint32_t found = find(key, name, value); found != 0) {
      rememberSent(place, {0, table_.inserted() - (found - kStaticFields - 1)});
      return putNumber(out, kIndexed, found);
    }
    if (wasSeen(key)) form = kWithIndexing;
  }
  const std::uint32_t nameIndex = known.index != 0 ? known.index : findName(nameKey, name);
  // With a value that nobody asks for again, so that the name is there.
  if (nameIndex == 0 && key != 0 && wasSeen(nameKey)) form = kWithIndexing;
  out = putNumber(out, form, nameIndex);
  std::array<char, 64> folded;
  std::unique_ptr<char[]> large;
  if (nameIndex == 0 || form.bits == kWithIndexing.bits) {
    if (!isLowerCase(name)) {
      char* lower = folded.data();
      if (name.size() > folded.size()) {
        large = std::make_unique_for_overwrite<char[]>(name.size());
        lower = large.get();
      }
      std::ranges::transform(name, lower, toLower);
      name = {lower, name.size()};
    }
    if (nameIndex == 0) out = putText(out, name);
  }
  out = putText(out, value);
  if (form.bits == kWithIndexing.bits) {
    table_.insert(name, value);
    note(key);
    if (known.index == 0) note(nameKey);
    rememberSent(place, {0, table_.inserted()});
  }
  return out;
}

std::uint8_t* HpackEncoder::putText(std::uint8_t* out, std::string_view text) const {
  if (texts_ == HpackTexts::Shortest && text.size() > 1) {
    if (text.size() <= kShortText) {
      const std::size_t size = huffmanEncodeShorter(text, out + 1);
      if (size > 0) {
        *out = static_cast<std::uint8_t>(kHuffmanText.bits | size);
        return out + 1 + size;
      }
    } else if (const std::size_t size = huffmanSize(text); size < text.size()) {
      out = putNumber(out, kHuffmanText, size);
      huffmanEncode(text, out);
      return out + size;
    }
  }
  out = putNumber(out, kPlainText, text.size());
  if (!text.empty()) std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

std::uint32_t HpackEncoder::sentAt(std::uint32_t place, std::string_view name,
                                   std::string_view value) const {
  if (index_ == nullptr || place >= index_->sent.size()) return 0;
  const Sent& sent = index_->sent[place];
  const std::uint32_t age = table_.inserted() - sent.serial;
  if (sent.fixed == 0 && age >= table_.count()) return 0;
  const HpackField field = sent.fixed == 0 ? table_.at(age) : staticField(sent.fixed);
  if (field.value != value || !equalsIgnoreCase(field.name, name)) return 0;
  return sent.fixed == 0 ? kStaticFields + 1 + age : sent.fixed;
}

void HpackEncoder::rememberSent(std::uint32_t place, Sent sent) {
  if (index_ != nullptr && place < index_->sent.size()) index_->sent[place] = sent;
}

std::uint32_t HpackEncoder::find(std::uint32_t hash, std::string_view name,
                                 std::string_view value) const {
  const std::size_t first = hash % index_->slots.size();
  for (const std::size_t at : {first, first ^ 1}) {
    const Slot& slot = index_->slots[at];
    const std::uint32_t age = table_.inserted() - slot.serial;
    if (slot.hash != hash || age >= table_.count()) continue;
    const HpackField field = table_.at(age);
    if (field.value == value && equalsIgnoreCase(field.name, name)) return kStaticFields + 1 + age;
  }
  return 0;
}

std::uint32_t HpackEncoder::findName(std::uint32_t hash, std::string_view name) const {
  if (index_ == nullptr) return 0;
  const std::size_t first = hash % index_->slots.size();
  for (const std::size_t at : {first, first ^ 1}) {
    const Slot& slot = index_->slots[at];
    const std::uint32_t age = table_.inserted() - slot.serial;
    if (slot.hash != hash || age >= table_.count()) continue;
    if (equalsIgnoreCase(table_.at(age).name, name)) return kStaticFields + 1 + age;
  }
  return 0;
}

// The newest entry has that hash.
void HpackEncoder::note(std::uint32_t hash) {
  Index& all = *index_;
  const std::size_t first = hash % all.slots.size();
  const auto isFree = [&](std::size_t at) {
    return all.slots[at].hash == hash || table_.inserted() - all.slots[at].serial >= table_.count();
  };
  const std::size_t at = isFree(first) || !isFree(first ^ 1) ? first : first ^ 1;
  all.slots[at] = {hash, table_.inserted()};
}

bool HpackEncoder::wasSeen(std::uint32_t hash) {
  std::array<std::uint32_t, 4>& place = index_->seen[hash % index_->seen.size()];
  const auto found = std::ranges::find(place, hash);
  const bool again = found != place.end();
  std::move_backward(place.begin(), again ? found : place.end() - 1,
                     again ? found + 1 : place.end());
  place.front() = hash;
  return again;
}

}  // namespace tidegate::http2
