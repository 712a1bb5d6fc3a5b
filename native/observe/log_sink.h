// Where log lines go: a file, a pipe, a terminal or a socket, written without waiting for a reader.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "io/socket.h"

namespace tidegate {

// One thread at a time. A default-made sink is none; only open() gives one that can be written.
class LogSink {
 public:
  enum class Status : std::uint8_t {
    Ok,          // `bytes` were taken, maybe fewer than there are
    WouldBlock,  // full: wait until fd() is writable
    Failed,      // ENOSPC, EPIPE, EIO and the like; may work again later
  };
  struct Written {
    Status status = Status::Ok;
    std::size_t bytes = 0;
  };

  LogSink() = default;

  // Opens `path` for appending, created with 0640; an empty path is standard output. The error is
  // text that names both.
  static Result<LogSink, std::string> open(const std::string& path);

  explicit operator bool() const { return static_cast<bool>(file_); }
  int fd() const { return file_.get(); }

  // The calling thread has SIGPIPE blocked. At most IOV_MAX parts.
  Written write(std::span<const iovec> parts);

  // Whether what is written to either ends up in one file.
  bool isSameFileAs(const LogSink& other) const;

 private:
  enum class Kind : std::uint8_t {
    File,    // our own open file: it never waits (non-blocking), or it waits for a disk only
    Socket,  // send() takes "do not wait" as a flag
    Shared,  // somebody else's open file, whose blocking mode is not ours to change
  };

  LogSink(FileHandle file, Kind kind, dev_t device, ino_t inode)
      : file_(std::move(file)), kind_(kind), device_(device), inode_(inode) {}

  static Result<LogSink, std::string> openStandardOutput();
  ssize_t writeShared(const iovec& part);

  FileHandle file_;
  Kind kind_ = Kind::File;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace tidegate
