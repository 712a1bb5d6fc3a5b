// The body of a message that policies read: whole, in memory.
#pragma once

#include <cstddef>
#include <string_view>

#include "http/kept_fields.h"
#include "http/message.h"
#include "io/buffer_pool.h"

namespace tidegate {

// One I/O thread owns it. It grows with what comes, and not with what the client announces.
class CollectedBody {
 public:
  explicit CollectedBody(BufferPool& pool) : pool_(pool) {}

  void append(std::string_view bytes);
  // Once, at the end of the message.
  void keepTrailers(const HeadFields& trailers) { trailers_.keep(pool_, trailers); }
  // Gives the memory back.
  void clear();

  std::size_t size() const { return size_; }
  // Valid until the next append().
  std::string_view bytes() const {
    return size_ == 0 ? std::string_view{} : std::string_view{block_.data(), size_};
  }
  // nullptr when there are none.
  const HeadFields* trailers() const { return trailers_.get(); }

 private:
  BufferPool& pool_;
  Block block_;
  std::size_t size_ = 0;
  KeptFields trailers_;
};

}  // namespace tidegate
