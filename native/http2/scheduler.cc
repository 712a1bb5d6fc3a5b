#include "http2/scheduler.h"

#include <bit>

namespace tidegate::http2 {

void Scheduler::add(ServerStream& stream) {
  if (stream.ListNode<ScheduleLink>::linked() || !stream.canWrite()) return;
  Level& level = all_[stream.priority().urgency];
  levels_ |= static_cast<std::uint8_t>(1U << stream.priority().urgency);
  if (stream.priority().incremental) {
    level.incremental.pushBack(&stream);
    return;
  }
  ServerStream* later = level.whole.front();
  while (later != nullptr && later->id() < stream.id()) later = level.whole.after(later);
  if (later == nullptr) {
    level.whole.pushBack(&stream);
  } else {
    level.whole.insertBefore(&stream, later);
  }
}

void Scheduler::remove(ServerStream& stream) {
  if (!stream.ListNode<ScheduleLink>::linked()) return;
  stream.ListNode<ScheduleLink>::unlink();
  const std::uint8_t urgency = stream.priority().urgency;
  if (all_[urgency].empty()) levels_ &= static_cast<std::uint8_t>(~(1U << urgency));
}

ServerStream* Scheduler::next() {
  if (levels_ == 0) return nullptr;
  Level& level = all_[static_cast<std::size_t>(std::countr_zero(levels_))];
  // Neither kind may starve the other.
  const bool whole = !level.whole.empty() && (level.incremental.empty() || !level.wholeHadTurn);
  level.wholeHadTurn = whole;
  return whole ? level.whole.front() : level.incremental.front();
}

void Scheduler::wrote(ServerStream& stream) {
  if (stream.canWrite() && !stream.priority().incremental) return;
  remove(stream);
  add(stream);
}

}  // namespace tidegate::http2
