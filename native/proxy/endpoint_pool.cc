#include "proxy/endpoint_pool.h"

#include <cerrno>
#include <utility>

namespace tidegate {

namespace {

// We have no file, memory or port left for a connection: that says nothing about the endpoint.
bool isOurShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
         error == EADDRNOTAVAIL;
}

}  // namespace

EndpointPool::EndpointPool(CodecContext& context, tls::ThreadBuffers& tlsBuffers,
                           std::shared_ptr<EndpointState> endpoint)
    : context_(context), endpoint_(std::move(endpoint)), connector_(tlsBuffers) {}

void EndpointPool::configure(const PoolSettings& settings) {
  settings_ = settings;
  connector_.configure(settings.tls, settings.serverName);
  retired_ = false;
}

void EndpointPool::retire() {
  retired_ = true;
  closeIdle();
}

Transport EndpointPool::connect(tls::Offer offer) {
  context_.counters.upstreamConnects.add();
  Socket socket;
  const IoResult result = Socket::connect(endpoint_->address, socket);
  if (result.status != IoResult::Status::Ok) {
    context_.counters.upstreamConnectFailures.add();
    if (!isOurShortage(result.error)) recordFailure();
    return {};
  }
  std::unique_ptr<TransportLayer> layer;
  if (!connector_.layerFor(layer, offer)) return {};
  return Transport(std::move(socket), std::move(layer));
}

void EndpointPool::connected(bool success) {
  // A connection alone does not make an endpoint healthy again: a response does.
  if (success) return;
  context_.counters.upstreamConnectFailures.add();
  recordFailure();
}

void EndpointPool::recordFailure() {
  endpoint_->recordFailure(context_.loop.nowMillis(), settings_.passiveFailures,
                           settings_.passiveDownFor);
}

bool EndpointPool::mayServeMore(std::uint64_t openedAtMillis, std::uint64_t served) const {
  return !retired_ && context_.loop.nowMillis() - openedAtMillis < settings_.maxAge &&
         served < settings_.maxRequests;
}

}  // namespace tidegate
