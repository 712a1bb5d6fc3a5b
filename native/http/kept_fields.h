// A copy of fields whose bytes go away: trailers that cannot be passed on yet.
#pragma once

#include "http/message.h"
#include "io/buffer_pool.h"

namespace tidegate {

class KeptFields {
 public:
  explicit operator bool() const { return static_cast<bool>(block_); }
  // Only when there are any.
  const HeadFields& fields() const { return fields_; }
  // nullptr when there are none.
  const HeadFields* get() const { return block_ ? &fields_ : nullptr; }

  void keep(BufferPool& pool, const HeadFields& fields);
  // Gives the memory back.
  void clear() { block_.release(); }

 private:
  Block block_;  // the table of fields, then their bytes
  HeadFields fields_{std::span<Field>{}};
};

}  // namespace tidegate
