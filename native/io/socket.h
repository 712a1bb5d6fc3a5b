// One connected, non-blocking stream socket (TCP or Unix).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "io/socket_address.h"

namespace tidegate {

// Owns a file descriptor.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~FileHandle() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();
  // Another descriptor of the same file, close-on-exec; empty when there is none left.
  FileHandle duplicate() const;

 private:
  int fd_ = -1;
};

struct IoResult {
  enum class Status : std::uint8_t {
    Ok,          // `bytes` were moved (reading: > 0)
    WouldBlock,  // nothing more now
    End,         // reading: the peer has sent all that it will
    Failed,      // the connection is broken; `error` is the errno
  };
  Status status = Status::Ok;
  int error = 0;
  std::size_t bytes = 0;
  // Reading: no more is there for now, unless an end or an error waits behind it.
  bool drained = false;
};

class Socket {
 public:
  Socket() = default;
  explicit Socket(FileHandle file) : file_(std::move(file)) {}

  // Begins a connection; the socket becomes writable when it is there (connectError()). A Failed
  // result names the errno.
  static IoResult connect(const SocketAddress& address, Socket& out);

  bool open() const { return static_cast<bool>(file_); }
  int fd() const { return file_.get(); }

  IoResult read(std::span<char> into);
  // Writes the parts in order as one call; may write less than all.
  IoResult write(std::span<const iovec> parts);

  // The pending error of a connect(): 0 when the connection is made.
  int connectError() const;
  // Whether bytes or an end wait to be read, without taking them.
  bool hasInput() const;

  // The peer reads an end once it has read what was written.
  void shutdownWrite();
  // What is written from now on is all that there is to say: it may wait in the kernel for
  // shutdownWrite() or close(), which are to follow, so that the end goes out in the same segment.
  void expectEnd() { ends_ = true; }
  // Ends with a reset instead of an orderly close: what the peer has must not look complete.
  void abort();
  void close();

 private:
  FileHandle file_;
  bool ends_ = false;  // see expectEnd()
};

// Creates, binds and listens. Non-blocking, close-on-exec, SO_REUSEADDR, TCP_NODELAY, which
// accepted sockets inherit; `reusePort` for one socket a thread. Over TCP a client is accepted when
// it has said something, or after a second or so. The error text names address and cause.
struct ListenResult {
  FileHandle file;
  SocketAddress address;  // with the real port
  std::string error;
};
ListenResult listenOn(const SocketAddress& address, bool reusePort);

}  // namespace tidegate
