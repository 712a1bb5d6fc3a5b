// The HTTP/1 codec on the client's side: one client connection, its requests one after the other
// (RFC 9112).
//
// Owned by the I/O thread that accepted it. It presents one ClientStream at a time, which is
// itself; pipelined requests wait in the socket until the one before them is answered.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/stream.h"
#include "http1/context.h"
#include "http1/parser.h"
#include "io/input.h"
#include "io/output.h"
#include "io/socket.h"

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
};

class ServerConnection;
struct ConnectionLink;

// Who takes the requests.
class ServerHost {
 public:
  // A complete head. The returned exchange gets the stream's events from now on. `head` is borrowed
  // for the call; never nullptr.
  virtual ClientStreamEvents& onRequest(ServerConnection& connection, RequestHead& head) = 0;
  // A head that is refused or did not come in time: the exchange shall answer with the reason's
  // status and close.
  virtual ClientStreamEvents& onRefused(ServerConnection& connection, Reason reason,
                                        ParseError error) = 0;
  // The connection is closed; the host gives back its memory.
  virtual void onClosed(ServerConnection& connection) = 0;

 protected:
  ~ServerHost() = default;
};

class ServerConnection final : public Pollable,
                               public ClientStream,
                               public ListNode<ConnectionLink> {
 public:
  ServerConnection(Context& context, ServerHost& host, const ServerSettings& settings,
                   Socket socket, const PeerInfo& peer, void* hostData);
  ~ServerConnection() = default;

  // Registers with the loop. False when that fails; the connection is then closed.
  bool start();

  // No further request: closes now when none is under way, else after it.
  void drain();
  // Closes at once, whatever is under way.
  void closeNow();

  void* hostData() const { return hostData_; }
  std::uint64_t bodyBytesIn() const { return bodyBytesIn_; }
  bool isIdle() const { return phase_ == Phase::Idle; }

  // ClientStream
  void resumeBody() override;
  void pauseBody() override;
  void sendInformational(const OutgoingResponse& head) override;
  void sendHead(const OutgoingResponse& head) override;
  void sendBody(std::string_view bytes) override;
  void finish(const HeadFields* trailers) override;
  void startTunnel() override;
  void abort() override;
  const PeerInfo& peer() const override { return peer_; }
  void limitBody(std::uint64_t bytes) override;

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onFlush() override;
  void onReady() override { pump(); }
  void onDispose() override { host_.onClosed(*this); }

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
  void refuse(Reason reason, ParseError error);

  bool wantsInput() const;
  bool awaitsBody() const { return phase_ == Phase::Active && !requestDone_ && !paused_; }
  void onReadEnd();
  void onDeadline();
  void responseFlushed();
  void nextRequest();
  void linger();
  void gone(Reason reason);
  void close();
  void setDeadline(std::uint64_t millisFromNow);
  void queueFlush();

  Context& context_;
  ServerHost& host_;
  const ServerSettings& settings_;
  void* hostData_;
  Socket socket_;
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
  bool draining_ = false;
};

}  // namespace tidegate::http1
