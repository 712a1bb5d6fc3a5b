#include "proxy/http2_pool.h"

#include <algorithm>

namespace tidegate {

namespace {

// What a new connection takes for the endpoint's limit of streams until it says what it is (RFC
// 9113 6.5.2 recommends that it be no smaller).
constexpr std::uint32_t kAssumedStreams = 100;

}  // namespace

Http2Pool::Http2Pool(http2::Context& context, tls::ThreadBuffers& tlsBuffers,
                     std::shared_ptr<EndpointState> endpoint, Http2Slabs& slabs)
    : EndpointPool(context.codec, tlsBuffers, std::move(endpoint)),
      http2_(context),
      slabs_(slabs),
      peerStreams_(kAssumedStreams) {}

void Http2Pool::configure(const PoolSettings& settings) {
  EndpointPool::configure(settings);
  connectionSettings_.responseLimits = settings.responseLimits;
  connectionSettings_.scheme = settings.tls == nullptr ? "http" : "https";
  connectionSettings_.maxStreams = settings.maxStreams;
  connectionSettings_.idleTimeout = settings.idleTimeout;
  connectionSettings_.pingInterval = settings.pingInterval;
  connectionSettings_.pingTimeout = settings.pingTimeout;
}

PoolLease Http2Pool::acquire(UpstreamStreamEvents& events, bool fresh, bool probe) {
  if (!fresh) {
    if (const PoolLease lease = reuse(events, probe); lease.stream != nullptr) return lease;
  }
  Connection* const connection = connectAnew();
  return connection == nullptr ? PoolLease{} : lease(*connection, events, false);
}

PoolLease Http2Pool::reuse(UpstreamStreamEvents& events, bool probe) {
  const PoolLease lease = join(events, probe);
  if (lease.stream != nullptr) context().counters.upstreamReuses.add();
  return lease;
}

PoolLease Http2Pool::join(UpstreamStreamEvents& events, bool probe) {
  Connection* const connection = find(probe);
  return connection == nullptr ? PoolLease{} : lease(*connection, events, true);
}

PoolLease Http2Pool::lease(Connection& connection, UpstreamStreamEvents& events, bool reused) {
  noteBusy(connection);
  http2::EndpointStream& stream = connection.open(events);
  return {&stream, connection.isConnected(), reused};
}

void Http2Pool::adopt(Transport transport) {
  Connection* const connection = begin(std::move(transport));
  if (connection == nullptr) return;
  connection->ListNode<http2::PoolLink>::unlink();
  open_.pushFront(connection);
}

Http2Pool::Connection* Http2Pool::find(bool probe) {
  for (Connection* connection = open_.front(); connection != nullptr;) {
    Connection* const next = open_.after(connection);
    if (!mayServeMore(connection->openedAtMillis(), connection->served())) {
      connection->drain();
    } else if (!connection->hasRoom()) {
      connection->ListNode<http2::PoolLink>::unlink();
      full_.pushBack(connection);
    } else if (!probe || connection->streams() > 0 || !connection->hasInput()) {
      return connection;
    }
    connection = next;
  }
  return nullptr;
}

Http2Pool::Connection* Http2Pool::connectAnew() {
  Transport transport = connect();
  if (!transport.open()) return nullptr;
  Connection* const connection = begin(std::move(transport));
  if (connection == nullptr) connected(false);
  return connection;
}

Http2Pool::Connection* Http2Pool::begin(Transport transport) {
  Connection* const connection =
      slabs_.connections.create(http2_, *this, std::move(transport), connectionSettings_,
                                slabs_.streams, std::max(peerStreams_, 1U));
  connectionBegins();
  open_.pushBack(connection);
  return connection->start(settings().connectTimeout) ? connection : nullptr;
}

void Http2Pool::noteBusy(Connection& connection) {
  if (!connection.isResting()) return;
  connection.wake();
  --idleCount_;
  context().counters.upstreamIdle.sub();
}

void Http2Pool::onStreamEnded(Connection& connection) {
  if (connection.isSettled()) peerStreams_ = connection.peerStreams();
  if (!mayServeMore(connection.openedAtMillis(), connection.served())) {
    connection.drain();
    return;
  }
  connection.ListNode<http2::PoolLink>::unlink();
  if (connection.streams() > 0) {
    open_.pushFront(&connection);
    return;
  }
  open_.pushBack(&connection);
  if (idleCount_ >= settings().maxIdle) {
    connection.drain();
    return;
  }
  ++idleCount_;
  context().counters.upstreamIdle.add();
  connection.rest();
}

void Http2Pool::onUnusable(Connection& connection) {
  noteBusy(connection);
  connection.ListNode<http2::PoolLink>::unlink();
  if (!connection.isClosed()) leaving_.pushBack(&connection);
}

void Http2Pool::onDisposed(Connection& connection) {
  slabs_.connections.destroy(&connection);
  connectionGone();
}

void Http2Pool::closeIdle() {
  for (Connection* connection = open_.front(); connection != nullptr;) {
    Connection* const next = open_.after(connection);
    if (connection->streams() == 0) connection->drain();
    connection = next;
  }
}

void Http2Pool::closeAll() {
  for (List* list : {&open_, &full_, &leaving_}) {
    while (Connection* connection = list->front()) connection->closeNow();
  }
}

}  // namespace tidegate
