// The load's half of the loop over TLS and HTTP/2: clients on connections that stay, each with as
// many requests under way as it may have.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "asking.h"
#include "client_side.h"
#include "ring.h"
#include "tls_client.h"

namespace tidegate::bench {

class WireSide {
 public:
  explicit WireSide(Ring& ring) : ring_(ring) {}

  // As fast as answers come. Not while one is running.
  void begin(const Run& run, std::uint64_t now);
  // Ends the run at the next tick.
  void stop() { deadline_ = 0; }
  // True once, when the run is over and its totals are complete.
  bool tick(std::uint64_t now);
  void onIdle(std::uint64_t nanoseconds) {
    if (running()) totals_.idle += nanoseconds;
  }
  bool running() const { return phase_ != Phase::Quiet; }
  const Totals& totals() const { return totals_; }

  void onConnect(std::uint32_t index, std::int32_t result, std::uint64_t now);
  void onSend(std::uint32_t index, std::int32_t result);
  void onReceive(std::uint32_t index, std::int32_t result, std::uint32_t flags, std::uint64_t now);

 private:
  enum class Phase { Quiet, Running, Ending };

  struct Client {
    int fd = -1;
    bool connecting = false;
    bool sending = false;    // `batch` is with the kernel
    bool receiving = false;  // and so is a receive
    bool closing = false;
    bool asked = false;  // as many as it may have under way
    std::uint32_t underWay = 0;
    std::unique_ptr<TlsClient> tls;
    std::unique_ptr<Asking> asking;
    std::string batch;
    std::string plain;
  };

  void open(std::uint32_t index);
  void take(std::uint32_t index, std::string_view bytes, std::uint64_t now);
  void goOn(std::uint32_t index, std::uint64_t now);
  void send(std::uint32_t index);
  void count(const Answer& answer, std::uint64_t now);
  void close(std::uint32_t index);
  void settle(std::uint32_t index);

  Ring& ring_;
  Run run_;
  Question question_;
  sockaddr_in address_{};
  Phase phase_ = Phase::Quiet;
  std::uint64_t begun_ = 0;
  std::uint64_t deadline_ = 0;
  std::uint32_t alive_ = 0;  // descriptors open
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::uint32_t> closed_;
  Totals totals_;
};

}  // namespace tidegate::bench
