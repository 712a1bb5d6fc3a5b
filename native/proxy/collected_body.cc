#include "proxy/collected_body.h"

#include <algorithm>
#include <cstring>
#include <new>
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
  trailerBlock_ = {};
}

void CollectedBody::keepTrailers(const HeadFields& trailers) {
  std::size_t size = 0;
  for (const Field& field : trailers.fields()) {
    size = std::max({size, std::size_t{field.name.offset} + field.name.length,
                     std::size_t{field.value.offset} + field.value.length});
  }
  const std::size_t table = trailers.fields().size_bytes();
  trailerBlock_ = pool_.acquire(table + size);
  char* const bytes = trailerBlock_.data() + table;
  if (size > 0) std::memcpy(bytes, trailers.base(), size);
  trailers_.assign(trailers, new (trailerBlock_.data()) Field[trailers.fields().size()], bytes);
}

}  // namespace tidegate
