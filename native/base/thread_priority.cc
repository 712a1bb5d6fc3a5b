#include "base/thread_priority.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

namespace tidegate {

namespace {

constexpr int kHighestNiceness = 19;
constexpr std::uint64_t kResetOnFork = 1;

// struct sched_attr as the kernel first had it; C libraries have none, or one of their own.
struct Attributes {
  std::uint32_t size = sizeof(Attributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t niceness = 0;
  std::uint32_t realTimePriority = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

std::optional<Attributes> attributesOf(int threadId) {
  Attributes attributes;
  if (syscall(SYS_sched_getattr, threadId, &attributes, sizeof attributes, 0) != 0 ||
      (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH))
    return std::nullopt;
  return attributes;
}

bool setAttributes(int threadId, Attributes attributes) {
  attributes.size = sizeof(Attributes);
  attributes.flags &= kResetOnFork;  // to take it off needs a right
  return syscall(SYS_sched_setattr, threadId, &attributes, 0) == 0;
}

}  // namespace

int currentThreadId() { return static_cast<int>(syscall(SYS_gettid)); }

std::optional<ThreadPriority> threadPriority(int threadId) {
  const auto attributes = attributesOf(threadId);
  if (!attributes) return std::nullopt;
  return ThreadPriority{attributes->niceness, attributes->runtime};
}

bool setThreadPriority(int threadId, const ThreadPriority& priority) {
  auto attributes = attributesOf(threadId);
  if (!attributes) return false;
  attributes->niceness = priority.niceness;
  attributes->runtime = priority.slice;
  return setAttributes(threadId, *attributes);
}

void letOthersFinish() {
  auto attributes = attributesOf(0);
  if (!attributes) return;
  attributes->policy = SCHED_BATCH;
  setAttributes(0, *attributes);
}

bool mayLowerNiceness() {
  bool may = false;
  std::thread([&] {
    const int self = currentThreadId();
    const auto own = threadPriority(self);
    if (!own || own->niceness == kHighestNiceness) return;
    may = setThreadPriority(self, {own->niceness + 1, own->slice}) && setThreadPriority(self, *own);
  }).join();
  return may;
}

}  // namespace tidegate
