// Order on the wire: block[begin_, borrowedAt_), borrowed_, block[borrowedAt_, end_).
#include "io/output.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tidegate {

void Output::grow(BufferPool& pool, std::size_t bytes) {
  const std::size_t used = end_ - begin_;
  Block larger = pool.acquire(used + bytes);
  if (used > 0) std::memcpy(larger.data(), block_.data() + begin_, used);
  borrowedAt_ = borrowedAt_ > begin_ ? borrowedAt_ - begin_ : 0;
  begin_ = 0;
  end_ = static_cast<std::uint32_t>(used);
  block_ = std::move(larger);
}

void Output::append(BufferPool& pool, std::string_view bytes) {
  std::memcpy(reserve(pool, bytes.size()), bytes.data(), bytes.size());
  commit(bytes.size());
}

void Output::appendBorrowed(BufferPool& pool, std::string_view bytes) {
  if (bytes.size() < kCopyBelow || !borrowed_.empty()) {
    append(pool, bytes);
    return;
  }
  borrowed_ = bytes;
  borrowedAt_ = end_;
}

Output::FlushResult Output::flush(BufferPool& pool, Transport& transport) {
  FlushResult result;
  while (!empty()) {
    std::array<iovec, 3> parts{};
    std::size_t count = 0;
    std::size_t total = 0;
    const auto addPart = [&](char* data, std::size_t length) {
      if (length == 0) return;
      parts[count++] = {data, length};
      total += length;
    };
    if (borrowed_.empty()) {
      addPart(block_.data() + begin_, end_ - begin_);
    } else {
      if (block_) addPart(block_.data() + begin_, borrowedAt_ - begin_);
      addPart(const_cast<char*>(borrowed_.data()), borrowed_.size());
      if (block_) addPart(block_.data() + borrowedAt_, end_ - borrowedAt_);
    }
    const IoResult io = transport.write({parts.data(), count});
    if (io.status == IoResult::Status::Failed) return {Status::Failed, io.error, result.bytes};
    result.bytes += io.bytes;
    if (io.bytes == total) break;
    consume(pool, io.bytes);
    // A short write means that the transport is full: the socket will report when it has room.
    result.status = Status::Blocked;
    return result;
  }
  clear();
  return result;
}

void Output::consume(BufferPool& pool, std::size_t bytes) {
  if (borrowed_.empty()) {
    begin_ += static_cast<std::uint32_t>(bytes);
    return;
  }
  const std::size_t before = borrowedAt_ - begin_;
  const std::size_t fromBlock = std::min(bytes, before);
  const std::size_t fromBorrowed = std::min(bytes - fromBlock, borrowed_.size());
  const std::size_t fromTail = bytes - fromBlock - fromBorrowed;
  const std::string_view head(block_ ? block_.data() + begin_ + fromBlock : nullptr,
                              before - fromBlock);
  const std::string_view body = borrowed_.substr(fromBorrowed);
  const std::string_view tail(block_ ? block_.data() + borrowedAt_ + fromTail : nullptr,
                              end_ - borrowedAt_ - fromTail);
  Block rest = pool.acquire(head.size() + body.size() + tail.size());
  char* out = rest.data();
  for (const std::string_view part : {head, body, tail}) {
    if (part.empty()) continue;
    std::memcpy(out, part.data(), part.size());
    out += part.size();
  }
  begin_ = 0;
  end_ = static_cast<std::uint32_t>(out - rest.data());
  borrowed_ = {};
  borrowedAt_ = 0;
  block_ = std::move(rest);
}

void Output::clear() {
  block_.release();
  begin_ = end_ = borrowedAt_ = 0;
  borrowed_ = {};
}

}  // namespace tidegate
