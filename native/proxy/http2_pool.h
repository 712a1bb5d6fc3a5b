// The pool of an endpoint that speaks HTTP/2: few connections, each of which carries as many
// exchanges as the endpoint lets it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/slab.h"
#include "http2/client_connection.h"
#include "proxy/endpoint_pool.h"

namespace tidegate {

// Memory of all HTTP/2 pools of a thread.
struct Http2Slabs {
  Slab<http2::ClientConnection> connections;
  Slab<http2::EndpointStream> streams;

  void addTo(Reclaimer& memory) {
    memory.add(connections.cells());
    memory.add(streams.cells());
  }
};

class Http2Pool final : public EndpointPool, public http2::ClientHost {
 public:
  using Connection = http2::ClientConnection;

  Http2Pool(http2::Context& context, tls::ThreadBuffers& tlsBuffers,
            std::shared_ptr<EndpointState> endpoint, Http2Slabs& slabs);

  // As acquire(), but for a new connection: no stream where it would take one.
  PoolLease reuse(UpstreamStreamEvents& events, bool probe);
  // A connection that another pool has begun, the next to be taken. Its handshake is complete.
  void adopt(Transport transport);
  // A stream on a connection that is there, which counts as no reuse of it.
  PoolLease join(UpstreamStreamEvents& events, bool probe);

  // EndpointPool
  void configure(const PoolSettings& settings) override;
  PoolLease acquire(UpstreamStreamEvents& events, bool fresh, bool probe) override;
  void closeIdle() override;
  void closeAll() override;

  std::string_view http2Error() const override { return http2Error_; }

  // http2::ClientHost
  void onConnected(bool success) override { connected(success); }
  void onTlsFailed(std::string_view why) override { tlsFailed(why); }
  void onRulesBroken(std::string_view error) override { http2Error_ = error; }
  void onStreamEnded(Connection& connection) override;
  void onUnusable(Connection& connection) override;
  void onDisposed(Connection& connection) override;

 private:
  using List = IntrusiveList<Connection, http2::PoolLink>;

  // Of those that are there, the first with room; nullptr when there is none.
  Connection* find(bool probe);
  Connection* connectAnew();
  // nullptr where the loop does not take it.
  Connection* begin(Transport transport);
  PoolLease lease(Connection& connection, UpstreamStreamEvents& events, bool reused);
  // It leaves the idle ones, if it was one.
  void noteBusy(Connection& connection);

  http2::Context& http2_;
  Http2Slabs& slabs_;
  http2::ClientSettings connectionSettings_;
  // The fullest comes first, so that the surplus becomes idle and goes.
  List open_;
  List full_;
  List leaving_;  // take no more streams
  std::uint32_t idleCount_ = 0;
  std::string_view http2Error_;
  // What the endpoint said last of how many streams may be open at a time.
  std::uint32_t peerStreams_;
};

}  // namespace tidegate
