// The pool seam: a stream to an endpoint, over an idle connection or a new one. One a thread and
// endpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "balance/endpoint_state.h"
#include "base/slab.h"
#include "http1/client_connection.h"

namespace tidegate {

// Of the upstream; times in milliseconds.
struct PoolSettings {
  http1::HeadLimits responseLimits;
  std::uint64_t connectTimeout = 0;
  std::uint64_t idleTimeout = 0;
  std::uint64_t maxAge = 0;
  std::uint64_t maxRequests = 0;
  std::uint32_t maxIdle = 0;
  std::uint32_t passiveFailures = 0;
  std::uint64_t passiveDownFor = 0;
};

struct PoolLease {
  UpstreamStream* stream = nullptr;  // nullptr: no connection could even be begun
  bool ready = false;  // the head may be sent now; otherwise onUpstreamReady() follows
  bool reused = false;
};

class EndpointPool final : public http1::ClientHost {
 public:
  EndpointPool(CodecContext& context, std::shared_ptr<EndpointState> endpoint,
               Slab<http1::ClientConnection>& slab);
  ~EndpointPool();

  // `settings` outlives the pool or the next configure(); false `wanted`: no snapshot names the
  // endpoint any more.
  void configure(const PoolSettings& settings);
  void retire();
  // No snapshot names the endpoint, no connection is left, and no exchange of an older snapshot can
  // open one.
  bool unused() const { return retired_ && connections_ == 0 && endpoint_.use_count() == 1; }

  // `fresh`: a new connection even when one is idle. `probe`: look whether the idle one was closed
  // by the endpoint (for requests that must not be sent twice).
  PoolLease acquire(UpstreamStreamEvents& events, bool fresh, bool probe);

  // What an exchange saw of the endpoint, for passive health.
  void recordSuccess() { endpoint_->recordSuccess(); }
  void recordFailure();

  EndpointState& endpoint() { return *endpoint_; }
  // Closes what is idle, or everything.
  void closeIdle();
  void closeAll();

  // http1::ClientHost
  void onReusable(http1::ClientConnection& connection) override;
  void onConnectionClosed(http1::ClientConnection& connection) override;
  void onDisposed(http1::ClientConnection& connection) override;
  void onConnected(bool success) override;

 private:
  PoolLease open(UpstreamStreamEvents& events);
  void removeIdle(http1::ClientConnection& connection);

  CodecContext& context_;
  std::shared_ptr<EndpointState> endpoint_;
  Slab<http1::ClientConnection>& slab_;
  PoolSettings settings_;
  using List = IntrusiveList<http1::ClientConnection, http1::PoolLink>;
  List idle_;  // the last one used comes first
  List busy_;
  std::uint32_t idleCount_ = 0;
  std::uint32_t connections_ = 0;
  bool retired_ = false;
};

}  // namespace tidegate
