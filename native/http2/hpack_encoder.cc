#include "http2/hpack_encoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/ascii.h"
#include "base/short_text.h"
#include "http2/hpack_forms.h"
#include "http2/huffman.h"

namespace tidegate::http2 {

namespace {

// Texts whose length takes a byte, encoded or not.
constexpr std::size_t kShortText = 126;

// A field that takes more than this share of the table would push out what is of more use.
constexpr std::size_t kLargestShare = 2;

// So many texts that find no room are a reason to forget all of them.
constexpr std::uint32_t kMostRefused = 256;

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

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

// `fold`: bits that are set in each byte, so that case does not matter.
constexpr std::uint64_t hashOf(std::uint64_t seed, std::string_view text, std::uint64_t fold) {
  std::uint64_t hash = mix(seed, text.size());
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left > 8; left -= 8, at += 8) hash = mix(hash, loadWord<std::uint64_t>(at) | fold);
  return left > 0 ? mix(hash, gatherWord(at, left) | fold) : hash;
}

constexpr std::uint64_t hashOfName(std::string_view name) {
  return hashOf(0, name, 0x2020202020202020);
}

// The names of the static table by their hashes: the first index of each. Entries of one name
// follow one another.
class StaticNames {
 public:
  // Indices of entries of the same name.
  struct Run {
    std::uint8_t begin;
    std::uint8_t end;
  };

  constexpr StaticNames() {
    for (std::uint32_t i = 1; i <= kStaticFields;) {
      const std::string_view name = staticField(i).name;
      std::uint32_t end = i + 1;
      while (end <= kStaticFields && staticField(end).name == name) ++end;
      const auto first = static_cast<std::uint8_t>(i);
      std::size_t at = hashOfName(name) % kPlaces;
      while (places_[at] != 0) at = (at + 1) % kPlaces;
      places_[at] = first;
      for (; i < end; ++i) runs_[i] = {first, static_cast<std::uint8_t>(end)};
    }
  }

  // 0 where there is none.
  std::uint32_t find(std::uint64_t hash, std::string_view name) const {
    for (std::size_t at = hash % kPlaces; places_[at] != 0; at = (at + 1) % kPlaces) {
      if (equalsIgnoreCase(staticField(places_[at]).name, name)) return places_[at];
    }
    return 0;
  }

  // `index`: 1..kStaticFields.
  Run runOf(std::uint32_t index) const { return runs_[index]; }

 private:
  static constexpr std::size_t kPlaces = 128;

  std::array<std::uint8_t, kPlaces> places_{};
  std::array<Run, kStaticFields + 1> runs_{};
};

constexpr StaticNames kStaticNames;

// Fields that hold what lets one in, by their static index: authorization, cookie,
// proxy-authorization and set-cookie. A table would let others probe for their values
// (RFC 7541 7.1).
bool isSecret(std::uint32_t staticIndex) {
  return staticIndex == 23 || staticIndex == 32 || staticIndex == 49 || staticIndex == 55;
}

// A name in lower case; itself where it is.
class LowerCase {
 public:
  explicit LowerCase(std::string_view name) : text_(name) {
    if (std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; })) return;
    char* lower = small_.data();
    if (name.size() > small_.size()) {
      large_ = std::make_unique_for_overwrite<char[]>(name.size());
      lower = large_.get();
    }
    std::ranges::transform(name, lower, toLower);
    text_ = {lower, name.size()};
  }
  LowerCase(const LowerCase&) = delete;
  LowerCase& operator=(const LowerCase&) = delete;
  ~LowerCase() = default;

  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
  std::array<char, 64> small_;
  std::unique_ptr<char[]> large_;
};

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
  knownPlaces_ = 0;
  begun_ = false;
  if (table_.count() > 0) {
    lowestLimit_ = 0;
    limitChanged_ = true;
  }
  table_.clear();
}

std::uint8_t* HpackEncoder::begin(std::uint8_t* out) {
  place_ = 0;
  if (index_ == nullptr && std::exchange(begun_, true)) {
    index_ = std::make_unique<Index>();
    knownPlaces_ = kPlaces;
  }
  if (!limitChanged_) return out;
  // RFC 7541 4.2: the smallest one first, which says what the peer has to drop.
  if (lowestLimit_ < table_.limit()) out = putNumber(out, kTableSize, lowestLimit_);
  limitChanged_ = false;
  return putNumber(out, kTableSize, table_.limit());
}

std::uint8_t* HpackEncoder::addOther(std::uint8_t* out, std::uint32_t place, std::string_view name,
                                     std::string_view value, bool secret) {
  const Sent* const here = sentName(place, name);
  Known known = here != nullptr ? nameOf(here->entry) : knownName(name);
  // One that came as never indexed has to leave as that, whatever its value (RFC 7541 6.2.3).
  if (known.fixed != 0 && !secret) {
    const StaticNames::Run run = kStaticNames.runOf(known.fixed);
    for (; known.fixed < run.end; ++known.fixed) {
      // An empty value says that there is only a name.
      const std::string_view there = staticField(known.fixed).value;
      if (!there.empty() && there == value) return addIndexed(out, place, known, name, value);
    }
    known.fixed = known.named;
  }
  const std::size_t cost = DynamicTable::kOverhead + name.size() + value.size();
  const bool indexable = index_ != nullptr && cost <= table_.limit() / kLargestShare;
  HpackForm form = kWithoutIndexing;
  std::uint32_t key = 0;
  if (secret || isSecret(known.named)) {
    form = kNeverIndexed;
  } else if (indexable) {
    key = static_cast<std::uint32_t>(hashOf(known.key, value, 0) >> 16);
    const Known found{known.key, find(key, name, value), 0, known.named};
    if (wireIndex(found) != 0) return addIndexed(out, place, found, name, value);
    if (wasSeen(key)) form = kWithIndexing;
  }
  const std::uint32_t nameIndex = wireIndex(known);
  // With a value that nobody asks for again, so that the name is there.
  if (nameIndex == 0 && form.bits == kWithoutIndexing.bits && indexable && wasSeen(known.key))
    form = kWithIndexing;
  if (form.bits == kWithIndexing.bits) return insert(out, place, known, name, value, key);
  if (nameIndex == 0) return putLiteral(out, form, name, value);
  if (here == nullptr) rememberName(place, known, name);
  return putText(putNumber(out, form, nameIndex), value);
}

// `key`: of name and value.
std::uint8_t* HpackEncoder::insert(std::uint8_t* out, std::uint32_t place, const Known& known,
                                   std::string_view name, std::string_view value,
                                   std::uint32_t key) {
  if (const std::uint32_t nameIndex = wireIndex(known); nameIndex != 0) {
    out = putText(putNumber(out, kWithIndexing, nameIndex), value);
    table_.insert(fieldOf(known).name, value);
  } else {
    const LowerCase lower(name);
    out = putLiteral(out, kWithIndexing, lower.text(), value);
    table_.insert(lower.text(), value);
  }
  note(key);
  if (known.named == 0) note(known.key);
  // Serials begin anew: no older one may be taken for one that is to come.
  if (table_.inserted() == 0) forgetSent();
  rememberSent(place, {known.key, table_.inserted(), 0, known.named}, name, value);
  return out;
}

// With the name as a text.
std::uint8_t* HpackEncoder::putLiteral(std::uint8_t* out, HpackForm form, std::string_view name,
                                       std::string_view value) const {
  const LowerCase lower(name);
  return putText(putText(putNumber(out, form, 0), lower.text()), value);
}

std::uint8_t* HpackEncoder::addIndexed(std::uint8_t* out, std::uint32_t place, const Known& known,
                                       std::string_view name, std::string_view value) {
  rememberSent(place, known, name, value);
  return putIndex(out, wireIndex(known));
}

std::uint8_t* HpackEncoder::putIndex(std::uint8_t* out, std::uint32_t index) {
  return putNumber(out, kIndexed, index);
}

// The place's field in the last head, where it has that name and an entry that is there.
const HpackEncoder::Sent* HpackEncoder::sentName(std::uint32_t place, std::string_view name) const {
  if (place >= knownPlaces_) return nullptr;
  const Sent& sent = index_->sent[place];
  const std::string_view there(index_->texts.data() + sent.offset, sent.nameLength);
  return wireIndex(sent.entry) != 0 && sameText(there, name) ? &sent : nullptr;
}

HpackEncoder::Known HpackEncoder::knownName(std::string_view name) const {
  const std::uint64_t hash = hashOfName(name);
  const auto key = static_cast<std::uint32_t>(hash >> 16);
  const std::uint32_t named = kStaticNames.find(hash, name);
  return {key, named != 0 ? none() : findName(key, name), named, named};
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

void HpackEncoder::rememberName(std::uint32_t place, const Known& known, std::string_view name) {
  if (place >= knownPlaces_) return;
  rememberSent(place, known, name, {});
  index_->sent[place].valueLength = kNoValue;
}

void HpackEncoder::rememberSent(std::uint32_t place, const Known& known, std::string_view name,
                                std::string_view value) {
  if (place >= knownPlaces_) return;
  Index& all = *index_;
  Sent& sent = all.sent[place];
  const std::size_t size = name.size() + value.size();
  if (size > sent.room) {
    // Room that is not used any more is found again when many have asked for some.
    if (all.textsEnd + size > all.texts.size() && ++all.refused % kMostRefused == 0) forgetSent();
    if (all.textsEnd + size > all.texts.size()) {
      sent = {};
      return;
    }
    sent.offset = static_cast<std::uint16_t>(all.textsEnd);
    sent.room = static_cast<std::uint16_t>(size);
    all.textsEnd += static_cast<std::uint32_t>(size);
  }
  sent.entry = known;
  sent.nameLength = static_cast<std::uint16_t>(name.size());
  sent.valueLength = static_cast<std::uint32_t>(value.size());
  copyText(copyText(all.texts.data() + sent.offset, name), value);
}

void HpackEncoder::forgetSent() {
  index_->sent.fill({});
  index_->textsEnd = 0;
}

std::uint32_t HpackEncoder::find(std::uint32_t hash, std::string_view name,
                                 std::string_view value) const {
  const std::size_t first = hash % index_->slots.size();
  for (const std::size_t at : {first, first ^ 1}) {
    const Slot& slot = index_->slots[at];
    const std::uint32_t age = table_.inserted() - slot.serial;
    if (slot.hash != hash || age >= table_.count()) continue;
    const HpackField field = table_.at(age);
    if (field.value == value && equalsIgnoreCase(field.name, name)) return slot.serial;
  }
  return none();
}

std::uint32_t HpackEncoder::findName(std::uint32_t hash, std::string_view name) const {
  if (index_ == nullptr) return none();
  const std::size_t first = hash % index_->slots.size();
  for (const std::size_t at : {first, first ^ 1}) {
    const Slot& slot = index_->slots[at];
    const std::uint32_t age = table_.inserted() - slot.serial;
    if (slot.hash != hash || age >= table_.count()) continue;
    if (equalsIgnoreCase(table_.at(age).name, name)) return slot.serial;
  }
  return none();
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
  // It goes to the front, and those before it move on.
  std::uint32_t next = hash;
  for (std::uint32_t& each : place) {
    std::swap(each, next);
    if (next == hash) return true;
  }
  return false;
}

}  // namespace tidegate::http2
