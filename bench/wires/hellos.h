// A flood of TLS handshakes that costs those who make it little: each connection sends the same
// first message and is given up when the answer has come, for which the server has made a key pair,
// agreed on a secret and signed.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <string>
#include <vector>

#include "run.h"

namespace tidegate::bench {

class Hellos {
 public:
  // Its sockets are watched by `epoll`, with their index in the event's data.
  explicit Hellos(int epoll) : epoll_(epoll) {}

  void begin(const Run& run, std::uint64_t now);
  void stop() { deadline_ = 0; }
  void onEvent(const epoll_event& event);
  // Begins what is due, as long as fewer than the most are under way; what cannot begin is left
  // out. True once, when the run is over.
  bool tick(std::uint64_t now);
  std::uint64_t nextDue() const;

  bool running() const { return running_; }
  void onIdle(std::uint64_t nanoseconds) { totals_.idle += nanoseconds; }
  const Totals& totals() const { return totals_; }

 private:
  struct Attempt {
    int fd = -1;
    bool sent = false;
    std::uint32_t generation = 0;  // events of an earlier connection are void
  };

  bool open(std::uint32_t index);
  void close(std::uint32_t index);

  int epoll_;
  bool running_ = false;
  Run run_;
  std::string hello_;
  std::vector<Attempt> attempts_;
  std::vector<std::uint32_t> free_;
  std::uint64_t begun_ = 0;
  std::uint64_t deadline_ = 0;
  std::uint64_t due_ = 0;  // the next one
  Totals totals_;
};

}  // namespace tidegate::bench
