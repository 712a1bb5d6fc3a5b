// Trailers that wait behind a body.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>

#include "http/message.h"
#include "io/buffer_pool.h"

namespace tidegate::http2 {

class KeptFields {
 public:
  explicit operator bool() const { return static_cast<bool>(block_); }
  // Only when there are any.
  const HeadFields& fields() const { return fields_; }

  // Once.
  void keep(BufferPool& pool, const HeadFields& from) {
    std::size_t size = 0;
    for (const Field& field : from.fields()) {
      size = std::max({size, std::size_t{field.name.offset} + field.name.length,
                       std::size_t{field.value.offset} + field.value.length});
    }
    const std::size_t table = from.fields().size_bytes();
    block_ = pool.acquire(table + size);
    char* const bytes = block_.data() + table;
    if (size > 0) std::memcpy(bytes, from.base(), size);
    fields_.assign(from, new (block_.data()) Field[from.fields().size()], bytes);
  }

 private:
  Block block_;  // the table, then the bytes
  HeadFields fields_{std::span<Field>{}};
};

}  // namespace tidegate::http2
