// The pool seam: a stream to an endpoint, over a connection that is there or a new one, whatever
// the protocol. One a thread and endpoint; this is what the pools of all protocols share.
#pragma once

#include <cstdint>
#include <memory>

#include "balance/endpoint_state.h"
#include "http/codec_context.h"
#include "http/stream.h"
#include "http1/parser.h"
#include "io/transport.h"
#include "tls/connector.h"

namespace tidegate {

// Of the upstream; times in milliseconds.
struct PoolSettings {
  http1::HeadLimits responseLimits;
  std::uint64_t connectTimeout = 0;
  std::uint64_t idleTimeout = 0;
  std::uint64_t maxAge = 0;
  std::uint64_t maxRequests = 0;
  std::uint32_t maxIdle = 0;
  std::uint32_t maxStreams = 0;  // of a connection; HTTP/2, as the next two
  std::uint64_t pingInterval = 0;
  std::uint64_t pingTimeout = 0;
  std::uint32_t passiveFailures = 0;
  std::uint64_t passiveDownFor = 0;
  std::shared_ptr<const tls::ClientContext> tls;  // nullptr: in the clear
  std::string serverName;                         // of this endpoint, with TLS
};

struct PoolLease {
  UpstreamStream* stream = nullptr;  // nullptr: no connection could even be begun
  bool ready = false;  // the head may be sent now; otherwise onUpstreamReady() follows
  bool reused = false;
};

class EndpointPool {
 public:
  EndpointPool(const EndpointPool&) = delete;
  EndpointPool& operator=(const EndpointPool&) = delete;
  virtual ~EndpointPool() = default;

  // `settings` are those of the latest snapshot that names the endpoint; retire(): none does any
  // more.
  virtual void configure(const PoolSettings& settings);
  virtual void retire();
  // No snapshot names the endpoint, no connection is left, and no exchange of an older snapshot can
  // open one.
  virtual bool unused() const {
    return retired_ && connections_ == 0 && endpoint_.use_count() <= 1;
  }

  // `fresh`: a new connection even where there is one. `probe`: look whether an idle one was closed
  // by the endpoint (for requests that must not be sent twice).
  virtual PoolLease acquire(UpstreamStreamEvents& events, bool fresh, bool probe) = 0;
  // The same over HTTP/1.1 alone, for an upgrade that HTTP/2 does not take. No stream where the
  // endpoint is not one that chooses its protocol.
  virtual PoolLease acquireHttp1(UpstreamStreamEvents&, bool, bool) { return {}; }
  // Closes what is idle, or everything.
  virtual void closeIdle() = 0;
  virtual void closeAll() = 0;

  // What an exchange saw of the endpoint, for passive health.
  void recordSuccess() { endpoint_->recordSuccess(); }
  void recordFailure();

  // Why the last TLS handshake with it failed, in words that live for ever.
  std::string_view tlsFailure() const { return tlsFailure_; }
  // How the endpoint broke the rules of HTTP/2 the last time, as the RFC names it; lives for ever.
  virtual std::string_view http2Error() const { return {}; }

 protected:
  EndpointPool(CodecContext& context, tls::ThreadBuffers& tlsBuffers,
               std::shared_ptr<EndpointState> endpoint);

  // Begins a connection; not open when that failed at once, which has been recorded.
  Transport connect(tls::Offer offer = tls::Offer::All);
  // Of a connection that connect() began: whether it was made.
  void connected(bool success);
  void tlsFailed(std::string_view why) { tlsFailure_ = why; }
  // A connection of the pool lives from the first to the second of them.
  void connectionBegins() { ++connections_; }
  void connectionGone() { --connections_; }

  // Whether a connection of that age and past may serve more exchanges.
  bool mayServeMore(std::uint64_t openedAtMillis, std::uint64_t served) const;

  EndpointState& endpoint() const { return *endpoint_; }
  CodecContext& context() const { return context_; }
  const PoolSettings& settings() const { return settings_; }

 private:
  CodecContext& context_;
  std::shared_ptr<EndpointState> endpoint_;
  PoolSettings settings_;
  tls::Connector connector_;
  std::string_view tlsFailure_;
  std::uint32_t connections_ = 0;
  bool retired_ = false;
};

}  // namespace tidegate
