// The HTTP/1 codec on the upstream's side: one connection to an endpoint, its exchanges one after
// the other.
//
// Owned by the pool of the I/O thread that opened it. It presents one UpstreamStream at a time,
// which is itself.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "http/codec_context.h"
#include "http/stream.h"
#include "http1/parser.h"
#include "io/input.h"
#include "io/output.h"
#include "io/transport.h"

namespace tidegate::http1 {

class ClientConnection;
struct PoolLink;

// Who owns the connections: the pool of an endpoint.
class ClientHost {
 public:
  // The exchange that wanted it is over before it was there. True: it goes on connecting, and
  // onReusable() or onConnectionClosed() follows.
  virtual bool onUnwanted(ClientConnection& connection) = 0;
  // The exchange is over and the connection can serve another: the host keeps it or calls
  // closeIdle().
  virtual void onReusable(ClientConnection& connection) = 0;
  // The connection is closed (also one that was idle); memory is given back later, by onDisposed().
  virtual void onConnectionClosed(ClientConnection& connection) = 0;
  virtual void onDisposed(ClientConnection& connection) = 0;
  // Facts for passive health: whether a connect succeeded, and whether an exchange got a response
  // head.
  virtual void onConnected(bool success) = 0;
  // Before onConnected(false), where the connection is there and TLS failed on it: why, in words
  // that live for ever.
  virtual void onTlsFailed(std::string_view why) = 0;

 protected:
  ~ClientHost() = default;
};

class ClientConnection final : public Pollable, public UpstreamStream, public ListNode<PoolLink> {
 public:
  ClientConnection(CodecContext& context, ClientHost& host, Transport transport,
                   const HeadLimits& limits);
  ~ClientConnection() = default;

  // Registers with the loop and waits for the connection at most `connectMillis`. False when
  // registering fails.
  bool start(UpstreamStreamEvents& events, std::uint64_t connectMillis);

  // A pooled connection gets its next exchange. False when the peer has closed it or sent something
  // meanwhile (looked at only when `probe`); it is closed then.
  bool assign(UpstreamStreamEvents& events, const HeadLimits& limits, bool probe);

  // A pooled connection: closes when nothing happens within `millis`.
  void keepIdleFor(std::uint64_t millis);
  void closeIdle() { close(); }
  // Breaks off whatever is under way, with onUpstreamFailure(Closed).
  void closeNow() { fail(StreamFailure::Closed); }

  // In the pool; also still true while onConnectionClosed() tells of a pooled one.
  bool isIdle() const { return pooled_; }
  // Whether onUnwanted() has kept it, which is over with this call.
  bool takeUnwanted() { return std::exchange(unwanted_, false); }
  std::uint64_t served() const { return served_; }
  std::uint64_t openedAtMillis() const { return openedAt_; }
  ClientHost& host() const { return host_; }

  // UpstreamStream
  void sendHead(const OutgoingRequest& head) override;
  void sendBody(std::string_view bytes) override;
  void finish(const HeadFields* trailers) override;
  void pauseBody() override { paused_ = true; }
  void resumeBody() override;
  void startTunnel() override;
  void expectWithin(std::uint64_t millis) override;
  void release() override;
  bool sawResponse() const override { return responseSeen_; }
  bool mayBeStale() const override { return wasPooled_ && !responseSeen_; }

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onFlush() override;
  void onReady() override { pump(); }
  void onDispose() override { host_.onDisposed(*this); }

 private:
  enum class Phase : std::uint8_t { Connecting, Idle, Head, Body, Done, Tunnel, Closed };

  void establish();
  void pump();
  std::size_t process(std::string_view bytes);
  std::size_t processHead(std::string_view bytes);
  std::size_t processBody(std::string_view bytes);
  std::size_t processChunked(std::string_view bytes);
  void responseEnded(const HeadFields* trailers);
  void onReadEnd();
  void onDeadline();
  bool wantsInput() const;
  void fail(StreamFailure failure);
  void close();

  CodecContext& context_;
  ClientHost& host_;
  Transport transport_;
  HeadLimits limits_;
  UpstreamStreamEvents* events_ = nullptr;
  Input in_;
  Output out_;
  LazyDeadline<ClientConnection, &ClientConnection::onDeadline> deadline_{*this};
  std::uint64_t openedAt_;
  std::uint64_t served_ = 0;
  std::uint64_t bodyRemaining_ = 0;
  // Milliseconds in the pool that are left when the transport rests; 0: it has, or will not.
  std::uint64_t idleLeft_ = 0;
  ChunkedDecoder decoder_;
  const HeadFields* endTrailers_ = nullptr;  // borrowed between the end of a response and its event
  Phase phase_ = Phase::Connecting;
  Method method_ = Method::Other;
  BodyKind requestBody_ = BodyKind::None;
  BodyKind responseBody_ = BodyKind::None;
  bool unwanted_ = false;
  bool wasPooled_ = false;
  bool readable_ = false;
  bool peerEnding_ = false;
  bool paused_ = false;
  bool requestDone_ = false;
  bool responseSeen_ = false;
  bool keepAlive_ = true;
  bool blocked_ = false;
  bool writeBroken_ = false;  // the peer takes no more; a response may still be there to read
  bool shutdownAfterFlush_ = false;
  bool processing_ = false;
  bool pooled_ = false;
};

}  // namespace tidegate::http1
