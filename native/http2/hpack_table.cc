#include "http2/hpack_table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace tidegate::http2 {

namespace {

constexpr std::uint32_t kFirstSlots = 16;
constexpr std::uint32_t kFirstRoom = 1024;

void copy(char* to, std::string_view text) {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
}

}  // namespace

void DynamicTable::setLimit(std::size_t bytes) {
  assert(bytes <= capacity_);
  limit_ = bytes;
  while (size_ > limit_) dropOldest();
}

void DynamicTable::clear() {
  entries_.reset();
  texts_.reset();
  count_ = slots_ = room_ = end_ = 0;
  size_ = 0;
}

void DynamicTable::insert(std::string_view name, std::string_view value, FieldMark mark) {
  const std::size_t texts = name.size() + value.size();
  // A name may be that of an entry, whose place others take while room is made.
  std::unique_ptr<char[]> large;
  std::array<char, 256> small;
  if (const char* const own = texts_.get();
      own != nullptr && name.data() >= own && name.data() < own + room_) {
    char* copied = small.data();
    if (name.size() > small.size()) {
      large = std::make_unique_for_overwrite<char[]>(name.size());
      copied = large.get();
    }
    copy(copied, name);
    name = {copied, name.size()};
  }
  while (count_ > 0 && size_ + kOverhead + texts > limit_) dropOldest();
  if (kOverhead + texts > limit_) return;
  if (count_ == slots_) growRing();
  if (end_ + texts > room_) makeRoom(texts);
  char* const at = texts_.get() + end_;
  copy(at, name);
  copy(at + name.size(), value);
  ++inserted_;
  ++count_;
  entry(0) = {end_, static_cast<std::uint16_t>(name.size()),
              static_cast<std::uint16_t>(value.size()), mark};
  end_ += static_cast<std::uint32_t>(texts);
  size_ += kOverhead + texts;
}

// Moves the texts to the beginning; to more memory where they would take more than half of it, so
// that this is seldom.
void DynamicTable::makeRoom(std::size_t texts) {
  const std::uint32_t begin = count_ == 0 ? end_ : entry(count_ - 1).offset;
  const std::uint32_t used = end_ - begin;
  std::uint32_t room = std::max(room_, kFirstRoom);
  while (room < 2 * (used + texts)) room *= 2;
  if (room > room_) {
    auto larger = std::make_unique_for_overwrite<char[]>(room);
    copy(larger.get(), {texts_.get() + begin, used});
    texts_ = std::move(larger);
    room_ = room;
  } else if (used > 0) {
    std::memmove(texts_.get(), texts_.get() + begin, used);
  }
  for (std::uint32_t age = 0; age < count_; ++age) entry(age).offset -= begin;
  end_ = used;
}

void DynamicTable::growRing() {
  const std::uint32_t slots = slots_ == 0 ? kFirstSlots : slots_ * 2;
  auto larger = std::make_unique_for_overwrite<Entry[]>(slots);
  for (std::uint32_t age = 0; age < count_; ++age)
    larger[(inserted_ - 1 - age) & (slots - 1)] = entry(age);
  entries_ = std::move(larger);
  slots_ = slots;
}

void DynamicTable::dropOldest() {
  const Entry& oldest = entry(count_ - 1);
  size_ -= kOverhead + oldest.nameLength + oldest.valueLength;
  --count_;
}

}  // namespace tidegate::http2
