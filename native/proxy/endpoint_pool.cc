// Idle connections are used last in, first out: the warm ones stay warm, and the surplus ages out.
#include "proxy/endpoint_pool.h"

#include <cerrno>

namespace tidegate {

using http1::ClientConnection;

namespace {

// We have no file, memory or port left for a connection: that says nothing about the endpoint.
bool isOurShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
         error == EADDRNOTAVAIL;
}

}  // namespace

EndpointPool::EndpointPool(CodecContext& context, std::shared_ptr<EndpointState> endpoint,
                           Slab<ClientConnection>& slab)
    : context_(context), endpoint_(std::move(endpoint)), slab_(slab) {}

EndpointPool::~EndpointPool() = default;

void EndpointPool::configure(const PoolSettings& settings) {
  settings_ = settings;
  retired_ = false;
}

void EndpointPool::retire() {
  retired_ = true;
  closeIdle();
}

PoolLease EndpointPool::acquire(UpstreamStreamEvents& events, bool fresh, bool probe) {
  while (!fresh && !idle_.empty()) {
    ClientConnection& connection = *idle_.front();
    removeIdle(connection);
    busy_.pushBack(&connection);
    if (connection.assign(events, settings_.responseLimits, probe)) {
      context_.counters.upstreamReuses.add();
      return {&connection, true, true};
    }
  }
  return open(events);
}

PoolLease EndpointPool::open(UpstreamStreamEvents& events) {
  context_.counters.upstreamConnects.add();
  Socket socket;
  const IoResult result = Socket::connect(endpoint_->address, socket);
  if (result.status != IoResult::Status::Ok) {
    context_.counters.upstreamConnectFailures.add();
    if (!isOurShortage(result.error)) recordFailure();
    return {};
  }
  ClientConnection* connection =
      slab_.create(context_, *this, Transport(std::move(socket)), settings_.responseLimits);
  ++connections_;
  busy_.pushBack(connection);
  if (!connection->start(events, settings_.connectTimeout)) {
    onConnected(false);
    return {};
  }
  return {connection, false, false};
}

void EndpointPool::recordFailure() {
  endpoint_->recordFailure(context_.loop.nowMillis(), settings_.passiveFailures,
                           settings_.passiveDownFor);
}

void EndpointPool::onConnected(bool success) {
  // A connection alone does not make an endpoint healthy again: a response does.
  if (success) return;
  context_.counters.upstreamConnectFailures.add();
  recordFailure();
}

void EndpointPool::onReusable(ClientConnection& connection) {
  const bool old = context_.loop.nowMillis() - connection.openedAtMillis() >= settings_.maxAge;
  if (retired_ || old || idleCount_ >= settings_.maxIdle ||
      connection.served() >= settings_.maxRequests) {
    connection.closeIdle();
    return;
  }
  connection.ListNode<http1::PoolLink>::unlink();
  idle_.pushFront(&connection);
  ++idleCount_;
  context_.counters.upstreamIdle.add();
  connection.keepIdleFor(settings_.idleTimeout);
}

void EndpointPool::removeIdle(ClientConnection& connection) {
  connection.ListNode<http1::PoolLink>::unlink();
  --idleCount_;
  context_.counters.upstreamIdle.sub();
}

void EndpointPool::onConnectionClosed(ClientConnection& connection) {
  if (connection.isIdle()) {
    removeIdle(connection);
  } else {
    connection.ListNode<http1::PoolLink>::unlink();
  }
}

void EndpointPool::onDisposed(ClientConnection& connection) {
  slab_.destroy(&connection);
  --connections_;
}

void EndpointPool::closeIdle() {
  while (ClientConnection* connection = idle_.front()) connection->closeIdle();
}

void EndpointPool::closeAll() {
  closeIdle();
  while (ClientConnection* connection = busy_.front()) connection->closeNow();
}

}  // namespace tidegate
