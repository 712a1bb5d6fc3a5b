// The load's half of the loop: clients that ask, wait for the complete answer and ask again.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "../common/histogram.h"
#include "ring.h"

namespace tidegate::bench {

// What to do, as the command says it.
struct Run {
  int port = 0;
  std::uint32_t connections = 1;
  std::uint32_t fresh = 0;     // of these, how many are new for each request
  std::uint64_t duration = 0;  // nanoseconds; in `hold` mode the most that it may take
  std::uint64_t rate = 0;  // requests a second over all connections; 0 = as fast as answers come
  // Asked for once a second on one connection more, first after half of one; of what comes of it
  // failures count alone. Empty: nothing.
  std::string aside;
  std::size_t upload = 0;  // bytes of body of each request
  std::string path = "/";  // "{n}" in it becomes 0 .. paths-1 in turn
  std::uint32_t paths = 1;
  std::vector<std::string> headers;  // "name: value"; each request has one of them, in turn
  // Request n has `X-Tag: n` and asks for a body whose size follows from n; an answer that succeeds
  // must have that size and the same X-Tag, or else it belongs to another request. `path`, `paths`
  // and `headers` are not used then.
  bool tagged = false;
  bool hold = false;  // one request on each connection, which then stays open
  // The clients of wire_side.h, which know connections, duration and path alone:
  bool wire = false;
  bool encrypted = false;     // TLS 1.3
  bool http2 = false;         // HTTP/1 else
  bool grpc = false;          // unary calls
  std::uint32_t streams = 1;  // of HTTP/2: requests under way on a connection
};

struct Totals {
  std::uint64_t requests = 0;  // complete answers with a status under 400
  std::uint64_t bytes = 0;     // received, heads included
  std::uint64_t refused = 0;   // connections that nobody accepted
  std::uint64_t connect = 0;   // connections that failed otherwise
  std::uint64_t broken = 0;    // requests whose connection ended before the answer did
  std::uint64_t status = 0;    // answers with a status of 400 or more
  std::uint64_t limited = 0;   // of these, with 429
  std::uint64_t crossed = 0;   // answers that belong to another request
  std::uint64_t timeout = 0;   // requests unanswered for over 2 s when the run ended
  std::uint64_t elapsed = 0;   // nanoseconds
  std::uint64_t idle = 0;      // nanoseconds of these in which there was nothing to do
  Histogram latency;           // from when the request was due (at a rate) or sent
};

class ClientSide {
 public:
  explicit ClientSide(Ring& ring) : ring_(ring) {}

  // Starts at a tick, when everything of the run before is closed. Not while one is running.
  void begin(const Run& run);
  // Ends the run at the next tick.
  void stop() { deadline_ = 0; }
  // Closes what `hold` left open.
  void release();

  // Sends what is due. True once, when the run is over and its totals are complete.
  bool tick(std::uint64_t now);

  // Tells of a turn of the loop that found nothing to do.
  void onIdle(std::uint64_t nanoseconds) {
    if (phase_ == Phase::Running) totals_.idle += nanoseconds;
  }

  // A run goes on: the loop has to spin.
  bool running() const { return phase_ != Phase::Quiet; }
  const Totals& totals() const { return totals_; }

  void onConnect(std::uint32_t index, std::int32_t result, std::uint64_t now);
  void onSend(std::uint32_t index, std::int32_t result, std::uint64_t now);
  void onReceive(std::uint32_t index, std::int32_t result, std::uint32_t flags, std::uint64_t now);

 private:
  enum class Phase { Quiet, Starting, Running, Ending };
  enum class State { Closed, Connecting, Ready, Waiting, Closing };

  struct Client {
    State state = State::Closed;
    bool fresh = false;
    bool aside = false;
    bool sending = false;    // a send is with the kernel
    bool receiving = false;  // and so is a receive
    bool failed = false;     // closing because of an error: rests before the next attempt
    int fd = -1;
    std::uint64_t start = 0;   // when its request was due or sent
    std::size_t bodyLeft = 0;  // of an answer whose head is complete
    bool inBody = false;
    bool lastAnswer = false;  // the peer closes after it
    int status = 0;
    std::uint64_t number = 0;  // of its tagged request
    std::string request;       // its tagged request, which the kernel reads
    std::string head;          // an incomplete head; nearly always empty
  };
  struct Rest {
    std::uint64_t until;
    std::uint32_t client;
  };

  void start(std::uint64_t now);
  void open(std::uint32_t index);
  void request(std::uint32_t index, std::uint64_t start);
  void requestAside(std::uint64_t now);
  std::string_view nextRequest(Client& client);
  void ready(std::uint32_t index, std::uint64_t now);
  void consume(std::uint32_t index, std::string_view bytes, std::uint64_t now);
  void answered(std::uint32_t index, std::uint64_t now);
  void close(std::uint32_t index, bool failed, std::uint64_t now);
  void settle(std::uint32_t index, std::uint64_t now);
  void end(std::uint64_t now);

  Ring& ring_;
  Run run_;
  Phase phase_ = Phase::Quiet;
  sockaddr_in address_{};
  std::uint64_t begun_ = 0;
  std::uint64_t deadline_ = 0;
  std::uint64_t issued_ = 0;    // at a rate: requests sent so far
  std::uint64_t tags_ = 0;      // tagged requests sent so far
  std::uint64_t asideDue_ = 0;  // when the next one is
  std::string asideRequest_;
  std::uint32_t opened_ = 0;           // in `hold` mode: connections begun
  std::uint32_t alive_ = 0;            // descriptors open
  std::vector<std::string> requests_;  // on kept connections, then as many on fresh ones
  std::size_t nextRequest_ = 0;
  std::vector<Client> clients_;
  std::deque<std::uint32_t> idle_;  // at a rate: connections free for a request
  std::deque<Rest> resting_;
  Totals totals_;
};

}  // namespace tidegate::bench
