// A copy of fields whose bytes go away: trailers that cannot be passed on yet.
#pragma once

#include "http/message.h"
#include "io/buffer_pool.h"

namespace tidegate {

class KeptFields {
 public:
  void keep(BufferPool& pool, const HeadFields& fields);
  // Gives the memory back.
  void clear() { block_.release(); }
  // nullptr when none are kept.
  const HeadFields* get() const { return block_ ? &fields_ : nullptr; }

 private:
  Block block_;  // the table of fields, then their bytes
  HeadFields fields_{std::span<Field>{}};
};

}  // namespace tidegate
