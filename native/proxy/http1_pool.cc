// Idle connections are used last in, first out: the warm ones stay warm, and the surplus ages out.
#include "proxy/http1_pool.h"

namespace tidegate {

Http1Pool::Http1Pool(CodecContext& context, tls::ThreadBuffers& tlsBuffers,
                     std::shared_ptr<EndpointState> endpoint, Slab<Connection>& slab,
                     tls::Offer offer)
    : EndpointPool(context, tlsBuffers, std::move(endpoint)), slab_(slab), offer_(offer) {}

PoolLease Http1Pool::acquire(UpstreamStreamEvents& events, bool fresh, bool probe) {
  if (!fresh) {
    if (const PoolLease lease = reuse(events, probe); lease.stream != nullptr) return lease;
  }
  Transport transport = connect(offer_);
  if (!transport.open()) return {};
  const PoolLease lease = begin(std::move(transport), events);
  if (lease.stream == nullptr) connected(false);
  return lease;
}

PoolLease Http1Pool::reuse(UpstreamStreamEvents& events, bool probe) {
  while (!idle_.empty()) {
    Connection& connection = *idle_.front();
    removeIdle(connection);
    busy_.pushBack(&connection);
    if (connection.assign(events, settings().responseLimits, probe)) {
      context().counters.upstreamReuses.add();
      return {&connection, true, true};
    }
  }
  return {};
}

PoolLease Http1Pool::adopt(Transport transport, UpstreamStreamEvents& events) {
  return begin(std::move(transport), events);
}

PoolLease Http1Pool::begin(Transport transport, UpstreamStreamEvents& events) {
  Connection* connection =
      slab_.create(context(), *this, std::move(transport), settings().responseLimits);
  connectionBegins();
  busy_.pushBack(connection);
  if (!connection->start(events, settings().connectTimeout)) return {};
  return {connection, false, false};
}

// A client that does not wait as long as a handshake takes would never get a connection, and each
// of its attempts would cost the endpoint a handshake.
bool Http1Pool::onUnwanted(Connection& connection) {
  if (!mayServeMore(connection.openedAtMillis(), connection.served()) ||
      idleCount_ + unwanted_ >= settings().maxIdle)
    return false;
  ++unwanted_;
  return true;
}

void Http1Pool::onReusable(Connection& connection) {
  if (connection.takeUnwanted()) --unwanted_;
  if (!mayServeMore(connection.openedAtMillis(), connection.served()) ||
      idleCount_ >= settings().maxIdle) {
    connection.closeIdle();
    return;
  }
  connection.ListNode<http1::PoolLink>::unlink();
  idle_.pushFront(&connection);
  ++idleCount_;
  context().counters.upstreamIdle.add();
  connection.keepIdleFor(settings().idleTimeout);
}

void Http1Pool::removeIdle(Connection& connection) {
  connection.ListNode<http1::PoolLink>::unlink();
  --idleCount_;
  context().counters.upstreamIdle.sub();
}

void Http1Pool::onConnectionClosed(Connection& connection) {
  if (connection.takeUnwanted()) --unwanted_;
  if (connection.isIdle()) {
    removeIdle(connection);
  } else {
    connection.ListNode<http1::PoolLink>::unlink();
  }
}

void Http1Pool::onDisposed(Connection& connection) {
  slab_.destroy(&connection);
  connectionGone();
}

void Http1Pool::closeIdle() {
  while (Connection* connection = idle_.front()) connection->closeIdle();
}

void Http1Pool::closeAll() {
  closeIdle();
  while (Connection* connection = busy_.front()) connection->closeNow();
}

}  // namespace tidegate
