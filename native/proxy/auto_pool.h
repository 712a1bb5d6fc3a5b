// The pool of an endpoint that says in the TLS handshake which HTTP it speaks (ALPN, RFC 7301): a
// connection goes to the pool of its protocol when that is known, and the exchanges that wait for
// it with it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "io/event_loop.h"
#include "proxy/http1_pool.h"
#include "proxy/http2_pool.h"

namespace tidegate {

class AutoPool;
class Negotiation;
struct NegotiationLink;  // of those of a pool
struct WaiterLink;       // of those that wait for one negotiation

// In place of the stream that an exchange will get.
class AwaitedStream final : public UpstreamStream, public ListNode<WaiterLink> {
 public:
  AwaitedStream(Negotiation& negotiation, UpstreamStreamEvents& events)
      : negotiation_(negotiation), events_(events) {}

  UpstreamStreamEvents& events() const { return events_; }

  // UpstreamStream: nothing is sent before onUpstreamMoved(), and the negotiation has its own
  // limit of time.
  void sendHead(const OutgoingRequest&) override {}
  void sendBody(std::string_view) override {}
  void finish(const HeadFields*) override {}
  void pauseBody() override {}
  void resumeBody() override {}
  void startTunnel() override {}
  void expectWithin(std::uint64_t) override {}
  void release() override;
  bool mayBeStale() const override { return false; }
  bool sawResponse() const override { return false; }

 private:
  Negotiation& negotiation_;
  UpstreamStreamEvents& events_;
};

// One connection whose handshake is under way.
class Negotiation final : public Pollable, public ListNode<NegotiationLink> {
 public:
  Negotiation(AutoPool& pool, Transport transport)
      : pool_(pool), transport_(std::move(transport)) {}
  ~Negotiation() = default;

  // False when the loop does not take it; it is closed then.
  bool start();
  AwaitedStream& add(UpstreamStreamEvents& events);
  void leave(AwaitedStream& waiter);
  void fail(StreamFailure failure);

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onDispose() override;

 private:
  friend class AutoPool;

  void onDeadline();
  // It is none of the pool's any more; those that wait are still there, and the transport.
  void end();

  AutoPool& pool_;
  Transport transport_;
  IntrusiveList<AwaitedStream, WaiterLink> waiters_;
  TimerFor<Negotiation, &Negotiation::onDeadline> timer_{*this};
  bool unwanted_ = false;  // nobody waits for it any more
  bool ended_ = false;
};

// Memory of all such pools of a thread.
struct AutoSlabs {
  Slab<Negotiation> negotiations;
  Slab<AwaitedStream> streams;

  void addTo(Reclaimer& memory) {
    memory.add(negotiations.cells());
    memory.add(streams.cells());
  }
};

class AutoPool final : public EndpointPool {
 public:
  AutoPool(http2::Context& context, tls::ThreadBuffers& tlsBuffers,
           std::shared_ptr<EndpointState> endpoint, Slab<http1::ClientConnection>& http1,
           Http2Slabs& http2, AutoSlabs& slabs);

  // EndpointPool
  void configure(const PoolSettings& settings) override;
  void retire() override;
  bool unused() const override;
  PoolLease acquire(UpstreamStreamEvents& events, bool fresh, bool probe) override;
  PoolLease acquireHttp1(UpstreamStreamEvents& events, bool fresh, bool probe) override;
  std::string_view http2Error() const override { return http2_.http2Error(); }
  void closeIdle() override;
  void closeAll() override;

 private:
  friend class Negotiation;

  PoolLease negotiate(UpstreamStreamEvents& events);
  // Whether it goes on, for whoever comes next.
  bool onUnwanted(Negotiation& negotiation);
  void onNegotiated(Negotiation& negotiation);
  void onFailed(Negotiation& negotiation, StreamFailure failure);
  void moveToHttp2(Negotiation& negotiation);
  // To a pool, where it is idle.
  void keepIdle(Negotiation& negotiation);
  // The exchange gets the stream of the lease, or hears that there is none.
  void move(AwaitedStream& waiter, const PoolLease& lease);
  void onDisposed(Negotiation& negotiation);

  AutoSlabs& slabs_;
  Http1Pool http1_;  // what it opens itself is offered HTTP/1.1 alone
  Http2Pool http2_;
  IntrusiveList<Negotiation, NegotiationLink> negotiations_;
  std::uint32_t unwanted_ = 0;  // of them
  // The last one that was agreed on: how many connections those that come at once will need.
  bool shares_ = true;
};

}  // namespace tidegate
