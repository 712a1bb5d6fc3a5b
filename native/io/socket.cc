// The system calls of stream sockets.
#include "io/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/file_limit.h"

namespace tidegate {

namespace {

constexpr int kBacklog = 4096;

// How long a client may be silent before its connection is accepted all the same.
constexpr int kDeferSeconds = 1;

IoResult failed(int error) { return {.status = IoResult::Status::Failed, .error = error}; }

bool wouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

void setNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// The system calls themselves: the library's functions are points where a thread may be cancelled,
// which costs each of them two atomic operations more.
ssize_t receiveNow(int fd, std::span<char> into) {
  return syscall(SYS_recvfrom, fd, into.data(), into.size(), 0, nullptr, nullptr);
}
ssize_t sendNow(int fd, const iovec& part, int flags) {
  return syscall(SYS_sendto, fd, part.iov_base, part.iov_len, flags, nullptr, 0);
}

// A socket file that nobody listens on any more is in the way of a restart.
void removeStaleSocket(const SocketAddress& address) {
  struct stat info{};
  const std::string path = address.unixPath();
  if (stat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  FileHandle probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe) return;
  if (::connect(probe.get(), address.native(), address.nativeLength()) != 0 &&
      errno == ECONNREFUSED) {
    unlink(path.c_str());
  }
}

}  // namespace

void FileHandle::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

FileHandle FileHandle::duplicate() const { return FileHandle(fcntl(fd_, F_DUPFD_CLOEXEC, 0)); }

IoResult Socket::connect(const SocketAddress& address, Socket& out) {
  FileHandle file(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!file) return failed(errno);
  if (isKeptBack(file.get())) return failed(EMFILE);
  if (!address.isUnix()) setNoDelay(file.get());
  const int rc = ::connect(file.get(), address.native(), address.nativeLength());
  // A Unix socket whose queue is full answers EAGAIN and makes no attempt of its own later.
  if (rc != 0 && errno != EINPROGRESS) return failed(errno);
  out = Socket(std::move(file));
  return {};
}

IoResult Socket::read(std::span<char> into) {
  for (;;) {
    const ssize_t n = receiveNow(file_.get(), into);
    if (n > 0) {
      const auto bytes = static_cast<std::size_t>(n);
      return {.bytes = bytes, .drained = bytes < into.size()};
    }
    if (n == 0) return {.status = IoResult::Status::End};
    if (errno == EINTR) continue;
    if (wouldBlock(errno)) return {.status = IoResult::Status::WouldBlock};
    return failed(errno);
  }
}

IoResult Socket::write(std::span<const iovec> parts) {
  const int flags = MSG_NOSIGNAL | (ends_ ? MSG_MORE : 0);
  for (;;) {
    ssize_t n = 0;
    if (parts.size() == 1) {
      n = sendNow(file_.get(), parts[0], flags);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(parts.data());
      message.msg_iovlen = parts.size();
      n = sendmsg(file_.get(), &message, flags);
    }
    if (n >= 0) return {.bytes = static_cast<std::size_t>(n)};
    if (errno == EINTR) continue;
    if (wouldBlock(errno)) return {.status = IoResult::Status::WouldBlock};
    return failed(errno);
  }
}

int Socket::connectError() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(file_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

bool Socket::hasInput() const {
  char byte = 0;
  const ssize_t n = recv(file_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || !wouldBlock(errno);
}

void Socket::shutdownWrite() { shutdown(file_.get(), SHUT_WR); }

void Socket::close() {
  // Without this, close() would forget what waits where something of the peer's is unread.
  if (ends_) shutdownWrite();
  file_.reset();
}

void Socket::abort() {
  const linger reset{1, 0};
  setsockopt(file_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  file_.reset();
}

ListenResult listenOn(const SocketAddress& address, bool reusePort) {
  const auto failure = [&](const char* step) {
    ListenResult result;
    result.error = std::string(step) + " " + address.toString() + ": " + std::strerror(errno);
    return result;
  };
  FileHandle file(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!file) return failure("cannot create a socket for");
  const int on = 1;
  if (address.isUnix()) {
    removeStaleSocket(address);
  } else {
    setsockopt(file.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // The sockets that are accepted inherit it.
    setNoDelay(file.get());
    setsockopt(file.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &kDeferSeconds, sizeof kDeferSeconds);
    // "[::]" means IPv6 only here; IPv4 has its own listener. What one address means must not hang
    // on a sysctl.
    if (address.family() == AF_INET6) {
      setsockopt(file.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (reusePort && setsockopt(file.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
      return failure("cannot share the port of");
    }
  }
  if (bind(file.get(), address.native(), address.nativeLength()) != 0)
    return failure("cannot bind");
  if (listen(file.get(), kBacklog) != 0) return failure("cannot listen on");

  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(file.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return failure("cannot read the address of");
  }
  ListenResult result;
  result.file = std::move(file);
  result.address = SocketAddress::fromNative(reinterpret_cast<const sockaddr*>(&bound), length);
  return result;
}

}  // namespace tidegate
