#include "http2/head_memo.h"

#include <algorithm>
#include <cstring>

namespace tidegate::http2 {

bool HeadMemo::isLast(std::span<const std::uint8_t> block, const Circumstances& now) const {
  return block.size() == blockSize_ && now == last_ &&
         std::memcmp(block.data(), block_.data(), blockSize_) == 0;
}

bool HeadMemo::recall(std::span<const std::uint8_t> block, const Circumstances& now,
                      ResponseHead& head, std::span<char> room) const {
  if (!known_ || !isLast(block, now)) return false;
  const Kept& kept = *kept_;
  head.clear();
  head.rebase(room.data());
  for (std::size_t i = 0; i < kept.fieldCount; ++i) head.add(kept.fields[i]);
  head.line = kept.line;
  head.size = kept.size;
  std::memcpy(room.data(), kept.text.data(), kept.size);
  return true;
}

void HeadMemo::keep(std::span<const std::uint8_t> block, const Circumstances& before,
                    const HpackDecoder::TableState& table, const ResponseHead& head) {
  // Where the table changes, what was known means something else now.
  if (table != before.table) {
    known_ = false;
    blockSize_ = 0;
    return;
  }
  if (block.empty() || block.size() > kBlockBytes) return;
  if (!isLast(block, before)) {
    known_ = false;
    last_ = before;
    blockSize_ = block.size();
    std::ranges::copy(block, block_.begin());
    return;
  }
  if (known_ || head.size > kTextBytes || head.fields().size() > kFields) return;
  if (kept_ == nullptr) kept_ = std::make_unique_for_overwrite<Kept>();
  kept_->line = head.line;
  kept_->size = head.size;
  kept_->fieldCount = head.fields().size();
  std::ranges::copy(head.fields(), kept_->fields.begin());
  std::memcpy(kept_->text.data(), head.base(), head.size);
  known_ = true;
}

void HeadMemo::rest() {
  known_ = false;
  blockSize_ = 0;
  kept_.reset();
}

}  // namespace tidegate::http2
