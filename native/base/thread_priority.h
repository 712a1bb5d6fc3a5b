// How readily the kernel lets a thread run, beside others that want the same processor.
#pragma once

#include <cstdint>
#include <optional>

namespace tidegate {

struct ThreadPriority {
  // -20 to 19: how small its share is.
  int niceness = 0;
  // For how long it runs on before others are looked at, in nanoseconds, 100,000 to 100,000,000:
  // one with a shorter slice goes first, as long as it has not had its share. 0: the kernel
  // (before 6.12) has the same for all.
  std::uint64_t slice = 0;

  bool operator==(const ThreadPriority&) const = default;
};

// The kernel's number of the calling thread.
int currentThreadId();

// Of a thread of this process that has not ended; nullopt when it has a class of its own
// (real-time, idle).
std::optional<ThreadPriority> threadPriority(int threadId);

// The same thread. False when the kernel refuses: a lower niceness takes a right (CAP_SYS_NICE, or
// RLIMIT_NICE), a slice takes none.
bool setThreadPriority(int threadId, const ThreadPriority& priority);

// The calling thread waits, when it becomes ready, until whoever runs on its processor stops or has
// had its time; else the kernel may let it run at once (SCHED_BATCH). Its share stays the same.
// Takes no right.
void letOthersFinish();

// Whether a thread of ours could get back a niceness that it had before. Makes one to find out.
bool mayLowerNiceness();

}  // namespace tidegate
