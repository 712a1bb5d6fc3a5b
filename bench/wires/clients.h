// Clients that ask over TLS and HTTP/2: on a new connection for each request, at a rate on
// connections that stay, or once on each of many that stay open.
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "answers.h"
#include "connection.h"
#include "run.h"

namespace tidegate::bench {

class Clients {
 public:
  // Its sockets are watched by `epoll`, with the index of their client in the event's data.
  explicit Clients(int epoll) : epoll_(epoll) {}

  // What was held before is given back.
  void begin(const Run& run, std::uint64_t now);
  void stop() { deadline_ = 0; }
  void release();

  void onEvent(const epoll_event& event, std::uint64_t now);
  // Does what is due. True once, when the run is over and its totals are complete.
  bool tick(std::uint64_t now);
  // When there is something to do without an event.
  std::uint64_t nextDue() const;

  bool running() const { return phase_ != Phase::Quiet; }
  void onIdle(std::uint64_t nanoseconds) { totals_.idle += nanoseconds; }
  const Totals& totals() const { return totals_; }

 private:
  enum class Phase : std::uint8_t {
    Quiet,
    First,       // one connection gets the session that all others resume
    Connecting,  // those that stay are made; not part of the run's time
    Running,
  };
  enum class State : std::uint8_t { Closed, Establishing, Ready, Waiting };

  struct Client {
    State state = State::Closed;
    std::uint32_t generation = 0;  // of its connection: events of an earlier one are void
    std::uint32_t stream = 1;      // of its next request
    std::uint64_t start = 0;       // when its request was due, or its connection begun
    Connection connection;
    Answers answers;
  };

  static int keepSession(SSL* ssl, SSL_SESSION* session);
  bool stays() const { return run_.task != Task::Handshakes; }
  void start(std::uint64_t now);
  void open(std::uint32_t index, std::uint64_t now);
  void established(std::uint32_t index, std::uint64_t now);
  void ask(std::uint32_t index);
  void read(std::uint32_t index, std::uint64_t now);
  void answered(std::uint32_t index, bool good, std::uint64_t now);
  void failed(std::uint32_t index, std::uint64_t& counter, std::uint64_t now);
  void settle(std::uint32_t index, std::uint64_t now);
  void end(std::uint64_t now);
  std::uint64_t dueAt(std::uint64_t number) const;

  int epoll_;
  Run run_;
  Phase phase_ = Phase::Quiet;
  ContextPointer context_;
  SessionPointer session_;
  std::string request_;   // of HTTP/1
  std::string block_;     // of HTTP/2
  std::string greeting_;  // of HTTP/2
  std::vector<Client> clients_;
  std::deque<std::uint32_t> free_;     // at a rate: those that wait for a request to be due
  std::deque<std::uint32_t> resting_;  // whose last connection failed, until the next tick
  std::uint64_t restUntil_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t deadline_ = 0;
  std::uint64_t issued_ = 0;   // at a rate: requests sent
  std::uint32_t opened_ = 0;   // of those that stay: connections begun
  std::uint32_t settled_ = 0;  // and of these, ready or failed
  Totals totals_;
};

}  // namespace tidegate::bench
