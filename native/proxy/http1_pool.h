// The pool of an endpoint that speaks HTTP/1: a connection serves one exchange after the other, and
// waits here in between.
#pragma once

#include <cstdint>
#include <memory>

#include "base/slab.h"
#include "http1/client_connection.h"
#include "proxy/endpoint_pool.h"

namespace tidegate {

class Http1Pool final : public EndpointPool, public http1::ClientHost {
 public:
  using Connection = http1::ClientConnection;

  Http1Pool(CodecContext& context, tls::ThreadBuffers& tlsBuffers,
            std::shared_ptr<EndpointState> endpoint, Slab<Connection>& slab,
            tls::Offer offer = tls::Offer::All);

  // As acquire(), but for a new connection: no stream where it would take one.
  PoolLease reuse(UpstreamStreamEvents& events, bool probe);
  // A connection that another pool has begun. Its handshake is complete.
  PoolLease adopt(Transport transport, UpstreamStreamEvents& events);

  // EndpointPool
  PoolLease acquire(UpstreamStreamEvents& events, bool fresh, bool probe) override;
  void closeIdle() override;
  void closeAll() override;

  // http1::ClientHost
  bool onUnwanted(Connection& connection) override;
  void onReusable(Connection& connection) override;
  void onConnectionClosed(Connection& connection) override;
  void onDisposed(Connection& connection) override;
  void onConnected(bool success) override { connected(success); }
  void onTlsFailed(std::string_view why) override { tlsFailed(why); }

 private:
  using List = IntrusiveList<Connection, http1::PoolLink>;

  // No stream where the loop does not take it.
  PoolLease begin(Transport transport, UpstreamStreamEvents& events);
  void removeIdle(Connection& connection);

  Slab<Connection>& slab_;
  const tls::Offer offer_;  // with TLS
  List idle_;               // the last one used comes first
  List busy_;
  std::uint32_t idleCount_ = 0;
  std::uint32_t unwanted_ = 0;  // connecting, for nobody any more
};

}  // namespace tidegate
