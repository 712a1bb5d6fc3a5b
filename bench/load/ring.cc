#include "ring.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "../common/sockets.h"

namespace tidegate::bench {
namespace {

void* mapRing(int fd, std::size_t size, std::uint64_t offset) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                    static_cast<off_t>(offset));
  if (at == MAP_FAILED) fail("mmap of a ring");
  return at;
}

std::uint32_t* word(std::byte* base, std::uint32_t offset) {
  return reinterpret_cast<std::uint32_t*>(base + offset);
}

}  // namespace

std::optional<Ring> Ring::open() {
  io_uring_params params{};
  // Completions are made only when this thread asks, and a flag says that there are some to make: a
  // busy loop then costs its peers no wake-up.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
  params.cq_entries = kEntries * 8;
  const auto fd = static_cast<int>(::syscall(SYS_io_uring_setup, kEntries, &params));
  if (fd < 0) return std::nullopt;

  Ring ring;
  ring.fd_ = fd;
  // Since 5.4 both rings are one mapping; 6.1, which DEFER_TASKRUN needs, always has it.
  ring.ringsSize_ =
      std::max<std::size_t>(params.sq_off.array + params.sq_entries * sizeof(std::uint32_t),
                            params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  ring.rings_ = static_cast<std::byte*>(mapRing(fd, ring.ringsSize_, IORING_OFF_SQ_RING));
  ring.sqes_ = static_cast<io_uring_sqe*>(
      mapRing(fd, params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
  ring.sqHead_ = word(ring.rings_, params.sq_off.head);
  ring.sqTail_ = word(ring.rings_, params.sq_off.tail);
  ring.sqFlags_ = word(ring.rings_, params.sq_off.flags);
  ring.sqMask_ = params.sq_entries - 1;
  ring.cqHead_ = word(ring.rings_, params.cq_off.head);
  ring.cqTail_ = word(ring.rings_, params.cq_off.tail);
  ring.cqes_ = reinterpret_cast<io_uring_cqe*>(ring.rings_ + params.cq_off.cqes);
  ring.cqMask_ = params.cq_entries - 1;
  std::uint32_t* order = word(ring.rings_, params.sq_off.array);
  for (std::uint32_t i = 0; i < params.sq_entries; ++i) order[i] = i;

  const std::size_t poolSize = kBuffers * sizeof(io_uring_buf);
  void* pool = ::mmap(nullptr, poolSize, PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
  if (pool == MAP_FAILED) fail("mmap of the buffer pool");
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(pool);
  registration.ring_entries = kBuffers;
  if (::syscall(SYS_io_uring_register, fd, IORING_REGISTER_PBUF_RING, &registration, 1) != 0) {
    fail("io_uring buffer pool");
  }
  ring.pool_ = static_cast<io_uring_buf_ring*>(pool);
  ring.buffers_.resize(std::size_t{kBuffers} * kBufferSize);
  for (std::uint32_t i = 0; i < kBuffers; ++i) ring.provide(static_cast<std::uint16_t>(i));
  return ring;
}

Ring::Ring(Ring&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      rings_(other.rings_),
      ringsSize_(other.ringsSize_),
      sqes_(other.sqes_),
      sqHead_(other.sqHead_),
      sqTail_(other.sqTail_),
      sqFlags_(other.sqFlags_),
      queued_(other.queued_),
      sqMask_(other.sqMask_),
      cqHead_(other.cqHead_),
      cqTail_(other.cqTail_),
      cqes_(other.cqes_),
      cqMask_(other.cqMask_),
      pool_(other.pool_),
      poolTail_(other.poolTail_),
      buffers_(std::move(other.buffers_)) {}

Ring::~Ring() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::munmap(sqes_, (sqMask_ + 1) * sizeof(io_uring_sqe));
  ::munmap(rings_, ringsSize_);
  ::munmap(pool_, kBuffers * sizeof(io_uring_buf));
}

io_uring_sqe& Ring::next() {
  if (queued_ - __atomic_load_n(sqHead_, __ATOMIC_ACQUIRE) > sqMask_) enter(0);
  io_uring_sqe& sqe = sqes_[queued_++ & sqMask_];
  std::memset(&sqe, 0, sizeof sqe);
  return sqe;
}

void Ring::accept(int listener, std::uint64_t tag) {
  io_uring_sqe& sqe = next();
  sqe.opcode = IORING_OP_ACCEPT;
  sqe.fd = listener;
  sqe.ioprio = IORING_ACCEPT_MULTISHOT;
  sqe.accept_flags = SOCK_CLOEXEC;
  sqe.user_data = tag;
}

void Ring::receive(int fd, bool multishot, std::uint64_t tag) {
  io_uring_sqe& sqe = next();
  sqe.opcode = IORING_OP_RECV;
  sqe.fd = fd;
  sqe.flags = IOSQE_BUFFER_SELECT;
  // There is nothing to read yet: an answer takes its time.
  sqe.ioprio = IORING_RECVSEND_POLL_FIRST | (multishot ? IORING_RECV_MULTISHOT : 0u);
  sqe.user_data = tag;
}

void Ring::send(int fd, std::string_view bytes, std::uint64_t tag) {
  io_uring_sqe& sqe = next();
  sqe.opcode = IORING_OP_SEND;
  sqe.fd = fd;
  sqe.addr = reinterpret_cast<std::uint64_t>(bytes.data());
  sqe.len = static_cast<std::uint32_t>(bytes.size());
  sqe.msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
  sqe.user_data = tag;
}

void Ring::connect(int fd, const void* address, std::uint32_t length, std::uint64_t tag) {
  io_uring_sqe& sqe = next();
  sqe.opcode = IORING_OP_CONNECT;
  sqe.fd = fd;
  sqe.addr = reinterpret_cast<std::uint64_t>(address);
  sqe.off = length;
  sqe.user_data = tag;
}

void Ring::read(int fd, std::span<char> into, std::uint64_t tag) {
  io_uring_sqe& sqe = next();
  sqe.opcode = IORING_OP_READ;
  sqe.fd = fd;
  sqe.addr = reinterpret_cast<std::uint64_t>(into.data());
  sqe.len = static_cast<std::uint32_t>(into.size());
  sqe.off = ~std::uint64_t{0};
  sqe.user_data = tag;
}

void Ring::close(int fd) {
  io_uring_sqe& sqe = next();
  sqe.opcode = IORING_OP_CLOSE;
  sqe.fd = fd;
  sqe.flags = IOSQE_CQE_SKIP_SUCCESS;
}

void Ring::turn(bool wait) {
  const bool ready = *cqHead_ != __atomic_load_n(cqTail_, __ATOMIC_ACQUIRE);
  const bool submits = queued_ != __atomic_load_n(sqHead_, __ATOMIC_ACQUIRE);
  const bool pending = (__atomic_load_n(sqFlags_, __ATOMIC_RELAXED) &
                        (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  if (submits || pending || (wait && !ready)) enter(wait && !ready ? 1 : 0);
}

void Ring::enter(std::uint32_t wait) {
  const std::uint32_t count = queued_ - __atomic_load_n(sqHead_, __ATOMIC_ACQUIRE);
  __atomic_store_n(sqTail_, queued_, __ATOMIC_RELEASE);
  if (::syscall(SYS_io_uring_enter, fd_, count, wait, IORING_ENTER_GETEVENTS, nullptr, 0) < 0 &&
      errno != EINTR && errno != EBUSY && errno != EAGAIN) {
    fail("io_uring_enter");
  }
}

std::string_view Ring::received(std::int32_t result, std::uint32_t flags) const {
  const std::size_t buffer = flags >> IORING_CQE_BUFFER_SHIFT;
  return {buffers_.data() + buffer * kBufferSize, static_cast<std::size_t>(result)};
}

void Ring::recycle(std::uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) == 0) return;
  provide(static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT));
}

void Ring::provide(std::uint16_t buffer) {
  // The pool's tail lies in the first entry's unused field, so an entry is written field by field.
  // As an array of entries, because in C++ the header's own array has another offset.
  io_uring_buf& entry = reinterpret_cast<io_uring_buf*>(pool_)[poolTail_ & (kBuffers - 1)];
  entry.addr = reinterpret_cast<std::uint64_t>(buffers_.data() + std::size_t{buffer} * kBufferSize);
  entry.len = kBufferSize;
  entry.bid = buffer;
  __atomic_store_n(&pool_->tail, ++poolTail_, __ATOMIC_RELEASE);
}

}  // namespace tidegate::bench
