#include "proxy/collected_body.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tidegate {

void CollectedBody::append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (size_ + bytes.size() > block_.capacity()) {
    Block larger = pool_.acquire(std::max(size_ + bytes.size(), 2 * size_));
    if (size_ > 0) std::memcpy(larger.data(), block_.data(), size_);
    block_ = std::move(larger);
  }
  std::memcpy(block_.data() + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

void CollectedBody::clear() {
  block_ = {};
  size_ = 0;
  trailers_.clear();
}

}  // namespace tidegate
