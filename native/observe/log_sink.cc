// Opening and writing log sinks.
#include "observe/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

namespace tidegate {
namespace {

std::string openError(const std::string& what, int error) {
  return "cannot open " + what + ": " + std::generic_category().message(error);
}

}  // namespace

Result<LogSink, std::string> LogSink::open(const std::string& path) {
  if (path.empty()) return openStandardOutput();
  // Non-blocking matters where the path is a pipe or a terminal; a pipe without reader is an error.
  FileHandle file(::open(path.c_str(),
                         O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
  struct stat info;
  if (!file || ::fstat(file.get(), &info) != 0) return Failure{openError(path, errno)};
  return LogSink(std::move(file), Kind::File, info.st_dev, info.st_ino);
}

// Standard output is shared with whoever started us: O_NONBLOCK on it would be theirs too. A pipe
// or a terminal is therefore opened anew; where that is not allowed, it is written with care.
Result<LogSink, std::string> LogSink::openStandardOutput() {
  FileHandle file(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  struct stat info;
  if (!file || ::fstat(file.get(), &info) != 0) {
    return Failure{openError("standard output", errno)};
  }
  Kind kind = Kind::File;
  if (S_ISSOCK(info.st_mode)) {
    kind = Kind::Socket;
  } else if (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)) {
    FileHandle own(
        ::open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (own) {
      file = std::move(own);
    } else {
      kind = Kind::Shared;
    }
  }
  return LogSink(std::move(file), kind, info.st_dev, info.st_ino);
}

LogSink::Written LogSink::write(std::span<const iovec> parts) {
  ssize_t bytes = 0;
  do {
    if (kind_ == Kind::File) {
      bytes = ::writev(file_.get(), parts.data(), static_cast<int>(parts.size()));
    } else if (kind_ == Kind::Socket) {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(parts.data());
      message.msg_iovlen = parts.size();
      bytes = ::sendmsg(file_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      bytes = writeShared(parts.front());
    }
  } while (bytes < 0 && errno == EINTR);

  if (bytes >= 0) return {Status::Ok, static_cast<std::size_t>(bytes)};
  const bool full = errno == EAGAIN || errno == EWOULDBLOCK;
  return {full ? Status::WouldBlock : Status::Failed, 0};
}

// A pipe that poll() calls writable takes PIPE_BUF bytes without waiting.
ssize_t LogSink::writeShared(const iovec& part) {
  pollfd writable = {file_.get(), POLLOUT, 0};
  if (::poll(&writable, 1, 0) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(file_.get(), part.iov_base, std::min<std::size_t>(part.iov_len, PIPE_BUF));
}

bool LogSink::isSameFileAs(const LogSink& other) const {
  return file_ && other.file_ && device_ == other.device_ && inode_ == other.inode_;
}

}  // namespace tidegate
