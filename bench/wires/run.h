// What bench_wires is told to do, and what it answers.
#pragma once

#include <cstdint>
#include <string>

#include "../common/histogram.h"

namespace tidegate::bench {

enum class Task : std::uint8_t {
  Handshakes,  // a connection for each request, as fast as they come
  Requests,    // on connections that stay, at a rate
  Hold,        // one request on each connection, which then stays open
  Hellos,      // TLS handshakes that only begin, at a rate
};

struct Run {
  Task task = Task::Handshakes;
  std::uint16_t port = 0;
  std::uint32_t connections = 1;  // the most at a time
  std::uint64_t duration = 0;     // nanoseconds; to hold: the most that it may take
  std::uint64_t rate = 0;         // requests, or first messages, a second
  std::string path = "/";
  bool encrypted = false;  // TLS 1.3
  bool http2 = false;
  bool resumed = false;  // each handshake resumes one session, or else each is full
};

struct Totals {
  std::uint64_t requests = 0;  // complete answers with 200; of `Hellos`, first messages answered
  std::uint64_t bytes = 0;
  std::uint64_t refused = 0;  // connections that nobody accepted
  std::uint64_t connect =
      0;  // connections or handshakes that failed otherwise, or were not the ones meant
  std::uint64_t broken = 0;   // requests whose connection ended before the answer did
  std::uint64_t status = 0;   // answers with another status
  std::uint64_t timeout = 0;  // requests unanswered for over 2 s when the run ended
  std::uint64_t elapsed = 0;  // nanoseconds
  std::uint64_t idle = 0;     // nanoseconds of these in which there was nothing to do
  Histogram latency;          // from when a request was due, or its connection begun
};

}  // namespace tidegate::bench
