// Asks the kernel for the number that comes next.
#include "io/file_limit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>

namespace tidegate {

namespace {

// Of the limit: an eighth, and at most this many.
constexpr int kMostKeptBack = 64;
// So many files below what is kept back, nobody looks: more than all threads open between two
// looks of one.
constexpr int kFar = 1024;

// The lowest number that is kept back.
std::atomic<int> firstKeptBack{INT_MAX};

}  // namespace

void raiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  // The soft limit is a default for programs that use select(); we do not.
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  const int files = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT_MAX));
  firstKeptBack.store(files - std::min(kMostKeptBack, files / 8), std::memory_order_relaxed);
}

bool isKeptBack(int fd) { return fd >= firstKeptBack.load(std::memory_order_relaxed); }

bool mayOpenFile(int open, int lastNumber) {
  if (lastNumber < firstKeptBack.load(std::memory_order_relaxed) - kFar) return true;
  const int next = fcntl(open, F_DUPFD_CLOEXEC, 0);
  if (next < 0) return false;
  close(next);
  return !isKeptBack(next);
}

}  // namespace tidegate
