// A flood from a bounded number of connections at a bounded rate of bytes. A connection that is
// thrown out comes again at once.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "kinds.h"

namespace tidegate::bench {

struct Flood {
  Kind kind = Kind::RapidReset;
  std::uint16_t port = 0;
  std::uint32_t connections = 1;
  std::uint64_t rate = 1;      // bytes a second in all, of one that holds nothing
  std::uint64_t duration = 0;  // nanoseconds
};

struct FloodTotals {
  std::uint64_t opened = 0;  // connections
  std::uint64_t ended = 0;   // of these, by the peer
  std::uint64_t failed = 0;  // connections that could not be made
  std::uint64_t bytes = 0;   // sent
  std::uint64_t elapsed = 0;
  std::uint64_t idle = 0;  // nanoseconds in which there was nothing to do
};

class Flooder {
 public:
  // Its sockets are watched by `epoll`, with the index of their connection in the event's data.
  Flooder(int epoll, const Flood& flood, std::uint64_t now);
  Flooder(const Flooder&) = delete;
  Flooder& operator=(const Flooder&) = delete;
  ~Flooder();

  void stop() { deadline_ = 0; }
  void onEvent(const epoll_event& event, std::uint64_t now);
  // Sends what is due. True when the flood is over and its totals are complete.
  bool tick(std::uint64_t now);
  // When there is something to do without an event.
  std::uint64_t nextDue() const;

  void onIdle(std::uint64_t nanoseconds) { totals_.idle += nanoseconds; }
  const FloodTotals& totals() const { return totals_; }

 private:
  struct Sender {
    explicit Sender(const Script& script) : script(script) {}

    int fd = -1;
    bool connected = false;
    bool queued = false;           // in `ready_`
    std::uint32_t generation = 0;  // of its connection: events of an earlier one are void
    std::uint32_t open = 0;        // streams that it holds
    Script script;
    std::string out;       // what the socket has not taken yet
    std::string received;  // an incomplete frame
  };

  void open(std::uint32_t index, std::uint64_t now);
  void close(std::uint32_t index);
  void lost(std::uint32_t index, std::uint64_t now);
  void send(std::uint32_t index, std::string_view bytes);
  bool flush(Sender& sender);
  bool receive(Sender& sender);
  bool readFrames(Sender& sender, std::string_view bytes);
  void makeReady(std::uint32_t index);

  int epoll_;
  Flood flood_;
  std::uint32_t held_;
  std::vector<Sender> senders_;
  std::deque<std::uint32_t> ready_;    // those that may send, in turn
  std::deque<std::uint32_t> resting_;  // that could not connect
  std::uint64_t restUntil_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t deadline_ = 0;
  std::uint64_t due_ = 0;
  FloodTotals totals_;
};

}  // namespace tidegate::bench
