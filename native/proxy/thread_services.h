// What the exchanges of one I/O thread use of their thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "http/codec_context.h"
#include "http2/context.h"
#include "observe/access_log.h"
#include "observe/stats.h"
#include "policy/calls.h"
#include "policy/decisions.h"
#include "policy/verdict_store.h"
#include "proxy/auto_pool.h"
#include "proxy/charging.h"
#include "proxy/collected_body.h"
#include "proxy/endpoint_pool.h"
#include "proxy/extra_fields.h"
#include "proxy/fetch_stream.h"
#include "proxy/held_response.h"
#include "proxy/http1_pool.h"
#include "proxy/http2_pool.h"
#include "proxy/text_arena.h"
#include "shared/counter_table.h"
#include "tls/layer.h"

namespace tidegate {

class Exchange;

// 128-bit request ids in hexadecimal: unique, and not to be guessed from others' well enough to
// matter (they are no secret).
class RequestIds {
 public:
  static constexpr std::size_t kLength = 32;

  RequestIds();           // seeds from the kernel
  void write(char* out);  // kLength bytes

 private:
  std::uint64_t next();
  std::array<std::uint64_t, 4> state_{};
};

// The Date field (RFC 9110 6.6.1), formatted once a second.
class DateCache {
 public:
  std::string_view at(std::uint64_t wallMillis);

 private:
  std::uint64_t second_ = ~std::uint64_t{0};
  std::array<char, 32> text_{};
};

struct ThreadServices {
  ThreadServices(std::size_t index, EventLoop& loop, BufferPool& pool, ThreadStats& stats,
                 AccessLog& log, CounterTable& limits, std::size_t replayBytes)
      : threadIndex(index),
        loop(loop),
        pool(pool),
        stats(stats),
        log(log),
        codec{loop, pool, stats.counters, {}, {}, {}, {}},
        tls{loop, pool, stats.counters, {}, 0, {}, {}},
        arena(pool),
        limits(limits),
        policies(loop, stats.counters),
        verdicts(replayBytes),
        decisions(loop, pool, stats.counters, policies, verdicts) {}

  void addTo(Reclaimer& memory) {
    memory.add(exchangeCharges.cells());
    memory.add(collectedBodies.cells());
    memory.add(heldResponses.cells());
    memory.add(fetches.cells());
    memory.add(http1Upstreams.cells());
    http2Upstreams.addTo(memory);
    autoUpstreams.addTo(memory);
    verdicts.addTo(memory);
    decisions.addTo(memory);
  }

  const std::size_t threadIndex;
  EventLoop& loop;
  BufferPool& pool;
  ThreadStats& stats;
  AccessLog& log;
  CodecContext codec;
  tls::ThreadBuffers tls;
  http2::Context http2{codec};
  TextArena arena;
  CounterTable& limits;
  PolicyCalls policies;
  VerdictStore verdicts;
  Decisions decisions;
  Charging charging;  // of the verdict being carried out
  Slab<ExchangeCharges> exchangeCharges;
  Slab<CollectedBody> collectedBodies;
  Slab<HeldResponse> heldResponses;
  Slab<FetchStream> fetches;
  ExtraFields fields;  // of the head being composed
  RequestIds requestIds;
  DateCache date;
  Slab<http1::ClientConnection> http1Upstreams;
  Http2Slabs http2Upstreams;
  AutoSlabs autoUpstreams;
  // By EndpointState::id; places of endpoints that are gone are empty.
  std::vector<std::unique_ptr<EndpointPool>> pools;
  Slab<Exchange>* exchanges = nullptr;
  std::array<char, kMaxAccessLine> logLine;
};

}  // namespace tidegate
