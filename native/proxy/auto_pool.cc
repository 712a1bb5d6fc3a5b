// Order of this file: the awaited stream, a negotiation, the pool.
#include "proxy/auto_pool.h"

#include <sys/epoll.h>

#include <utility>

namespace tidegate {

namespace {

// The pools of both protocols live in this one, which has the endpoint.
std::shared_ptr<EndpointState> borrowed(EndpointState& endpoint) {
  return {std::shared_ptr<EndpointState>(), &endpoint};
}

// In place of an exchange, for a connection that nobody waits for.
class Nobody final : public UpstreamStreamEvents {
 public:
  void onUpstreamMoved(UpstreamStream&) override {}
  void onUpstreamReady() override {}
  void onUpstreamInformational(ResponseHead&) override {}
  void onUpstreamHead(ResponseHead&) override {}
  void onUpstreamBody(std::string_view) override {}
  void onUpstreamEnd(const HeadFields*) override {}
  void onUpstreamFailure(StreamFailure) override {}
  void onUpstreamBlocked() override {}
  void onUpstreamDrained() override {}
};

}  // namespace

void AwaitedStream::release() { negotiation_.leave(*this); }

// A negotiation

bool Negotiation::start() {
  EventLoop& loop = pool_.context().loop;
  if (!loop.add(transport_.fd(), *this)) return false;
  const std::uint64_t limit = pool_.settings().connectTimeout;
  if (limit != kForever) loop.timers().schedule(timer_, loop.nowMillis() + limit);
  return true;
}

AwaitedStream& Negotiation::add(UpstreamStreamEvents& events) {
  AwaitedStream* const waiter = pool_.slabs_.streams.create(*this, events);
  waiters_.pushBack(waiter);
  if (std::exchange(unwanted_, false)) --pool_.unwanted_;
  return *waiter;
}

void Negotiation::leave(AwaitedStream& waiter) {
  waiter.ListNode<WaiterLink>::unlink();
  pool_.slabs_.streams.destroy(&waiter);
  if (!waiters_.empty() || ended_ || pool_.onUnwanted(*this)) return;
  end();
  transport_.close();
}

void Negotiation::onEvents(std::uint32_t events) {
  if (ended_ || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
  switch (transport_.establish().status) {
    case IoResult::Status::WouldBlock:
      return;
    case IoResult::Status::Ok:
      pool_.onNegotiated(*this);
      return;
    case IoResult::Status::End:
    case IoResult::Status::Failed:
      fail(transport_.failure().empty() ? StreamFailure::ConnectRefused : StreamFailure::TlsFailed);
      return;
  }
}

void Negotiation::onDeadline() {
  fail(StreamFailure::ConnectTimeout);
  pool_.context().loop.flushNow();
}

void Negotiation::fail(StreamFailure failure) { pool_.onFailed(*this, failure); }

void Negotiation::end() {
  ended_ = true;
  if (std::exchange(unwanted_, false)) --pool_.unwanted_;
  timer_.unlink();
  ListNode<NegotiationLink>::unlink();
  EventLoop::forget(*this);
  pool_.context().loop.disposeLater(*this);
}

void Negotiation::onDispose() { pool_.onDisposed(*this); }

// The pool

AutoPool::AutoPool(http2::Context& context, tls::ThreadBuffers& tlsBuffers,
                   std::shared_ptr<EndpointState> endpoint, Slab<http1::ClientConnection>& http1,
                   Http2Slabs& http2, AutoSlabs& slabs)
    : EndpointPool(context.codec, tlsBuffers, std::move(endpoint)),
      slabs_(slabs),
      http1_(context.codec, tlsBuffers, borrowed(this->endpoint()), http1, tls::Offer::Http1),
      http2_(context, tlsBuffers, borrowed(this->endpoint()), http2) {}

void AutoPool::configure(const PoolSettings& settings) {
  EndpointPool::configure(settings);
  // An endpoint that does not speak it at all is none the worse for that.
  PoolSettings http1 = settings;
  http1.passiveFailures = 0;
  http1_.configure(http1);
  http2_.configure(settings);
}

void AutoPool::retire() {
  EndpointPool::retire();
  http1_.retire();
  http2_.retire();
}

bool AutoPool::unused() const {
  return EndpointPool::unused() && http1_.unused() && http2_.unused();
}

PoolLease AutoPool::acquire(UpstreamStreamEvents& events, bool fresh, bool probe) {
  if (!fresh) {
    if (const PoolLease lease = http2_.reuse(events, probe); lease.stream != nullptr) return lease;
    if (const PoolLease lease = http1_.reuse(events, probe); lease.stream != nullptr) return lease;
    // Until it is known better, one connection is taken to serve all that wait for it.
    if (Negotiation* const under = negotiations_.front(); shares_ && under != nullptr)
      return {&under->add(events), false, false};
  }
  return negotiate(events);
}

PoolLease AutoPool::acquireHttp1(UpstreamStreamEvents& events, bool fresh, bool probe) {
  return http1_.acquire(events, fresh, probe);
}

PoolLease AutoPool::negotiate(UpstreamStreamEvents& events) {
  Transport transport = connect();
  if (!transport.open()) return {};
  Negotiation* const negotiation = slabs_.negotiations.create(*this, std::move(transport));
  connectionBegins();
  negotiations_.pushBack(negotiation);
  if (negotiation->start()) return {&negotiation->add(events), false, false};
  negotiation->end();
  negotiation->transport_.close();
  connected(false);
  return {};
}

// As Http1Pool::onUnwanted(). One without a limit of time would never make room for another.
bool AutoPool::onUnwanted(Negotiation& negotiation) {
  if (settings().connectTimeout == kForever || unwanted_ >= settings().maxIdle) return false;
  ++unwanted_;
  negotiation.unwanted_ = true;
  return true;
}

void AutoPool::onNegotiated(Negotiation& negotiation) {
  connected(true);
  negotiation.end();
  context().loop.remove(negotiation.transport_.fd());
  shares_ = negotiation.transport_.protocol() == "h2";
  if (negotiation.waiters_.empty()) {
    keepIdle(negotiation);
  } else if (shares_) {
    moveToHttp2(negotiation);
  } else if (AwaitedStream* const first = negotiation.waiters_.popFront()) {
    move(*first, http1_.adopt(std::move(negotiation.transport_), first->events()));
  }
  // Those for whom it has no room.
  while (AwaitedStream* const waiter = negotiation.waiters_.popFront())
    move(*waiter, negotiate(waiter->events()));
}

void AutoPool::moveToHttp2(Negotiation& negotiation) {
  http2_.adopt(std::move(negotiation.transport_));
  while (AwaitedStream* const waiter = negotiation.waiters_.front()) {
    const PoolLease lease = http2_.join(waiter->events(), false);
    if (lease.stream == nullptr) return;
    waiter->ListNode<WaiterLink>::unlink();
    move(*waiter, lease);
  }
}

void AutoPool::keepIdle(Negotiation& negotiation) {
  Nobody nobody;
  PoolLease lease;
  if (shares_) {
    http2_.adopt(std::move(negotiation.transport_));
    lease = http2_.join(nobody, false);
  } else {
    lease = http1_.adopt(std::move(negotiation.transport_), nobody);
  }
  if (lease.stream != nullptr) lease.stream->release();
}

void AutoPool::move(AwaitedStream& waiter, const PoolLease& lease) {
  UpstreamStreamEvents& events = waiter.events();
  if (lease.stream == nullptr) {
    events.onUpstreamFailure(StreamFailure::ConnectRefused);
  } else {
    events.onUpstreamMoved(*lease.stream);
  }
  slabs_.streams.destroy(&waiter);
  if (lease.ready) events.onUpstreamReady();
}

void AutoPool::onFailed(Negotiation& negotiation, StreamFailure failure) {
  if (failure == StreamFailure::TlsFailed) tlsFailed(negotiation.transport_.failure());
  if (failure != StreamFailure::Closed) connected(false);
  negotiation.end();
  negotiation.transport_.close();
  while (AwaitedStream* const waiter = negotiation.waiters_.popFront()) {
    waiter->events().onUpstreamFailure(failure);
    slabs_.streams.destroy(waiter);
  }
}

void AutoPool::onDisposed(Negotiation& negotiation) {
  slabs_.negotiations.destroy(&negotiation);
  connectionGone();
}

void AutoPool::closeIdle() {
  http1_.closeIdle();
  http2_.closeIdle();
}

void AutoPool::closeAll() {
  while (Negotiation* const negotiation = negotiations_.front())
    negotiation->fail(StreamFailure::Closed);
  http1_.closeAll();
  http2_.closeAll();
}

}  // namespace tidegate
