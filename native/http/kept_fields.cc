#include "http/kept_fields.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace tidegate {

void KeptFields::keep(BufferPool& pool, const HeadFields& fields) {
  std::size_t size = 0;
  for (const Field& field : fields.fields()) {
    size = std::max({size, std::size_t{field.name.offset} + field.name.length,
                     std::size_t{field.value.offset} + field.value.length});
  }
  const std::size_t table = fields.fields().size_bytes();
  block_ = pool.acquire(table + size);
  char* const bytes = block_.data() + table;
  if (size > 0) std::memcpy(bytes, fields.base(), size);
  fields_.assign(fields, new (block_.data()) Field[fields.fields().size()], bytes);
}

}  // namespace tidegate
