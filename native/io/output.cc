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
  if (empty()) {
    clear();
    return {};
  }
  const IoResult io = borrowed_.empty() ? writeOwn(transport) : writeAll(transport);
  if (io.status == IoResult::Status::Failed) return {Status::Failed, io.error, 0};
  if (io.bytes == size()) {
    clear();
    return {Status::Done, 0, io.bytes};
  }
  // A short write means that the transport is full: the socket will report when it has room.
  consume(pool, io.bytes);
  return {Status::Blocked, 0, io.bytes};
}

IoResult Output::writeOwn(Transport& transport) const {
  const iovec own{block_.data() + begin_, end_ - begin_};
  return transport.write({&own, 1});
}

IoResult Output::writeAll(Transport& transport) const {
  std::array<iovec, 3> parts;
  std::size_t count = 0;
  const auto addPart = [&](char* data, std::size_t length) {
    if (length > 0) parts[count++] = {data, length};
  };
  if (block_) addPart(block_.data() + begin_, borrowedAt_ - begin_);
  addPart(const_cast<char*>(borrowed_.data()), borrowed_.size());
  if (block_) addPart(block_.data() + borrowedAt_, end_ - borrowedAt_);
  return transport.write({parts.data(), count});
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
