#include "proxy/held_response.h"

#include <cstddef>
#include <cstring>
#include <new>

namespace tidegate {

void HeldResponse::keepHead(const ResponseHead& head) {
  const std::size_t table = head.fields().size_bytes();
  head_ = pool_.acquire(table + head.size);
  char* const bytes = head_.data() + table;
  std::memcpy(bytes, head.base(), head.size);
  fields.assign(head, new (head_.data()) Field[head.fields().size()], bytes);
  line = head.line;
}

void HeldResponse::release() {
  head_ = {};
  body.clear();
}

}  // namespace tidegate
