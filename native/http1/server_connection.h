// The HTTP/1 codec on the client's side: one client connection, its requests one after the other
// (RFC 9112).
//
// Owned by the I/O thread that accepted it. It presents one ClientStream at a time, which is
// itself; pipelined requests wait in the socket until the one before them is answered.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/slab.h"
#include "http/codec_context.h"
#include "http/server_host.h"
#include "http1/parser.h"
#include "io/input.h"
#include "io/output.h"
#include "io/transport.h"

namespace tidegate::http1 {

// Limits and times of a listener, in bytes and milliseconds. Outlives its connections; may change
// between requests.
struct ServerSettings {
  HeadLimits head;
  std::uint64_t bodyBytes = 0;
  std::uint64_t headTimeout = 0;
  std::uint64_t bodyTimeout = 0;
  std::uint64_t idleTimeout = 0;
  std::uint64_t writeTimeout = 0;
  std::uint64_t maxRequests = 0;
  // What is spoken: a connection may be handed on, or its requests refused.
  bool http1 = true;
  bool http2 = false;
  std::uint32_t streams = 0;  // of an HTTP/2 connection, at a time
};

class ServerConnection final : public AcceptedConnection, public ClientStream {
 public:
  // Lives in `home`.
  ServerConnection(CodecContext& context, ServerHost& host, const ServerSettings& settings,
                   Transport transport, const PeerInfo& peer, Slab<ServerConnection>& home);
  ~ServerConnection() = default;

  enum class Start : std::uint8_t {
    Failed,   // the loop cannot watch the socket; the connection is closed
    Waiting,  // for the client's first bytes
    Read,     // they were here
  };
  // Registers with the loop. `readFirst`: looks for a request before that, and when a whole one is
  // there leaves the registering to later: a connection of one request may be over by then.
  Start start(bool readFirst);
  // In place of start(), for a transport that another connection handed over: `received` was read
  // of it already, and more may be there.
  void takeOver(const Received& received);

  // AcceptedConnection
  void drain() override;
  void closeNow() override;

  // ClientStream
  void resumeBody() override;
  void pauseBody() override;
  void sendInformational(const OutgoingResponse& head) override;
  void sendHead(const OutgoingResponse& head) override;
  bool sendBody(std::string_view bytes) override;
  void finish(const HeadFields* trailers) override;
  void startTunnel() override;
  void abort() override;
  const PeerInfo& peer() const override { return peer_; }
  void limitBody(std::uint64_t bytes) override;

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onFlush() override;
  void onReady() override;
  void onAddDue() override { watch(); }
  void onDispose() override;

 private:
  enum class Phase : std::uint8_t {
    Idle,       // between two requests, nothing received
    Head,       // a part of a head is here
    Active,     // an exchange is under way
    Tunnel,     // after a 101
    Lingering,  // everything is sent; what still comes is thrown away until the client closes
    Closed,
  };

  void pump();
  // Uses what it can of `bytes`; returns how many bytes were used.
  std::size_t process(std::string_view bytes);
  std::size_t processHead(std::string_view bytes);
  std::size_t processBody(std::string_view bytes);
  std::size_t processChunked(std::string_view bytes);
  void beginRequest(const RequestHead& head);
  void deliverBody(std::string_view bytes);
  void requestEnded(const HeadFields* trailers);
  void bodyFailed(Reason reason);
  void refuse(Reason reason);
  bool isHttp2(std::string_view bytes) const;
  void handOver(Protocol protocol, std::string_view received);

  bool wantsInput() const;
  bool awaitsBody() const { return phase_ == Phase::Active && !requestDone_ && !paused_; }
  void goOnWithHandshake();
  void noteConfirmed();
  void onReadEnd();
  void onDeadline();
  void responseFlushed();
  void nextRequest();
  void linger();
  // Whoever waits for an event of the socket calls it.
  void watch();
  void gone(Reason reason);
  void close();
  void setDeadline(std::uint64_t millisFromNow);
  void queueFlush();

  CodecContext& context_;
  ServerHost& host_;
  const ServerSettings& settings_;
  Slab<ServerConnection>& home_;
  Transport transport_;
  ClientStreamEvents* events_ = nullptr;
  Input in_;
  Output out_;
  LazyDeadline<ServerConnection, &ServerConnection::onDeadline> deadline_{*this};
  std::uint64_t bodyRemaining_ = 0;
  std::uint64_t bodyLimit_ = 0;
  std::uint64_t bodyBytesIn_ = 0;
  std::uint64_t served_ = 0;
  ChunkedDecoder decoder_;
  PeerInfo peer_;
  Phase phase_ = Phase::Idle;
  BodyKind requestBody_ = BodyKind::None;
  BodyKind responseBody_ = BodyKind::None;
  std::uint8_t minorVersion_ = 1;
  bool readable_ = false;    // the socket may have more to read
  bool peerEnding_ = false;  // an end or an error waits behind what is readable
  bool peerEnded_ = false;   // the client has sent all that it will
  bool paused_ = true;
  bool processing_ = false;
  bool requestDone_ = true;
  bool headSent_ = false;
  bool responseDone_ = false;
  bool blocked_ = false;
  bool halfClosed_ = false;  // a tunnel whose upstream has ended
  bool closeAfter_ = false;
  bool clientCloses_ = false;  // nothing follows this request, the client says
  bool watched_ = false;       // registered with the loop
  bool lost_ = false;          // it cannot be, or the client is gone: what is under way has to end
  bool draining_ = false;
  bool rested_ = true;  // idle, and the transport knows
  bool handedOver_ = false;
  bool early_;  // the transport's handshake is not complete, as far as the exchange knows
};

}  // namespace tidegate::http1
