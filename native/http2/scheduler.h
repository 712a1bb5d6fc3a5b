// Whose DATA goes next (RFC 9218 10): by urgency; among equals those that are of use only as a
// whole one after the other, in the order in which they were asked for, and the incremental ones by
// turns.
#pragma once

#include <array>
#include <cstdint>

#include "base/intrusive_list.h"
#include "http2/server_stream.h"

namespace tidegate::http2 {

class Scheduler {
 public:
  bool empty() const { return levels_ == 0; }

  // A stream that is in already, or that has nothing to write, stays where it is.
  void add(ServerStream& stream);
  void remove(ServerStream& stream);

  // nullptr when nobody wants to write. It stays in.
  ServerStream* next();
  // It had its turn, and may have more.
  void wrote(ServerStream& stream);

 private:
  using List = IntrusiveList<ServerStream, ScheduleLink>;
  struct Level {
    List whole;
    List incremental;
    bool wholeHadTurn = false;

    bool empty() const { return whole.empty() && incremental.empty(); }
  };

  std::array<Level, 8> all_;
  std::uint8_t levels_ = 0;  // a bit for each that is not empty
};

}  // namespace tidegate::http2
