// The stream seam: one request or one response as a codec presents it, whichever HTTP version is on
// the wire. An exchange joins two streams: the client's and the upstream's.
//
// All calls come from the I/O thread that owns the connection. Views are borrowed for the call. A
// command never calls an event of the same stream back before it returns, but for resumeBody(),
// which may deliver body that was kept.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/ip_address.h"
#include "http/message.h"
#include "http/reason.h"
#include "http/tls_facts.h"

namespace tidegate {

struct OutgoingField {
  std::string_view name;
  std::string_view value;
};

// The fields of a head that is sent on: those of the head that came in, without the dropped and the
// hop-by-hop ones, then the extra ones.
struct OutgoingFields {
  const HeadFields* source = nullptr;  // nullptr: extra fields alone
  std::span<const OutgoingField> extra;
};

struct OutgoingRequest {
  std::string_view method;
  std::string_view path;  // normalised, rewritten
  std::string_view query;
  bool hasQuery = false;
  std::string_view host;  // value of Host (or :authority)
  OutgoingFields
      fields;  // Host and Content-Length of the source are left out: the codec writes its own
  BodyKind body = BodyKind::None;
  std::uint64_t contentLength = 0;
  std::string_view upgrade;  // empty: none is asked for
  bool teTrailers = false;
};

struct OutgoingResponse {
  std::uint16_t status = 0;
  std::string_view reason;  // empty: the codec's own phrase
  OutgoingFields fields;    // Content-Length of the source is left out: the codec writes its own
  BodyKind body = BodyKind::None;
  std::uint64_t contentLength = 0;
  // Write Content-Length though no body follows (HEAD, 304).
  bool announceLength = false;
  std::string_view upgrade;  // with 101 only
  // The connection ends after this response.
  bool close = false;
};

struct PeerInfo {
  IpAddress address;
  std::uint16_t port = 0;
  bool isUnix = false;
  // Owned by the connection's transport; nullptr where the connection is in the clear.
  const TlsFacts* tls = nullptr;

  std::string_view scheme() const { return tls == nullptr ? "http" : "https"; }
};

// How the codec saw an upstream's stream fail; the exchange makes a Reason and a retry of it.
enum class StreamFailure : std::uint8_t {
  ConnectRefused,  // refused, unreachable, reset while connecting
  ConnectTimeout,
  TlsFailed,  // in the handshake
  Closed,     // the peer closed or reset the connection
  // The peer says that it has not acted on the request (HTTP/2 only): it may be sent again,
  // whatever the method.
  Unprocessed,
  // The request asks for an upgrade that the peer does not take (HTTP/2 only).
  UpgradeUnsupported,
  Malformed,  // a head, chunk or trailer that no rule allows
  HeadTooLarge,
  Timeout,  // the deadline set by expectWithin() passed
  WriteFailed,
  RulesBroken,  // by the peer, those of the connection, which has been closed for it (HTTP/2 only)
};

// What the exchange is told by the client's stream.
class ClientStreamEvents {
 public:
  // What came together with the head has been read and did not take it back: from now on the
  // request may cost something. Once; before it only onClientGone() and onClientConfirmed() can
  // come. Not for a stream that was refused.
  virtual void onClientBegin() = 0;
  virtual void onClientBody(std::string_view bytes) = 0;
  // The request is complete. `trailers` is nullptr when there are none.
  virtual void onClientEnd(const HeadFields* trailers) = 0;
  // The request's body cannot be completed (a bad chunk, too large, too slow). The stream can still
  // carry a response: the exchange answers and closes, or aborts.
  virtual void onClientBodyFailure(Reason reason) = 0;
  // The client went away or stopped reading. The stream is gone and must not be used any more.
  virtual void onClientGone(Reason reason) = 0;
  // More was sent than the connection takes: stop reading the other side. onClientDrained() says go
  // on.
  virtual void onClientBlocked() = 0;
  virtual void onClientDrained() = 0;
  // peer().tls->early was true when the request began, and is not any more.
  virtual void onClientConfirmed() = 0;
  // The response has been handed over completely (to the kernel) and the request has been read: the
  // stream is done and must not be used any more.
  virtual void onClientDone() = 0;

 protected:
  ~ClientStreamEvents() = default;
};

class ClientStream {
 public:
  // Body is held back until this is first called; pauseBody() holds it again.
  virtual void resumeBody() = 0;
  virtual void pauseBody() = 0;
  // 1xx; left out for clients that do not understand it (HTTP/1.0).
  virtual void sendInformational(const OutgoingResponse& head) = 0;
  virtual void sendHead(const OutgoingResponse& head) = 0;
  // All of it is taken. False: more waits now than the client takes, as onClientBlocked() says it
  // later where that is not known yet; either way onClientDrained() follows.
  virtual bool sendBody(std::string_view bytes) = 0;
  // The response is complete; onClientDone() follows.
  virtual void finish(const HeadFields* trailers) = 0;
  // After a 101: bytes pass as they are in both directions, until both have ended.
  virtual void startTunnel() = 0;
  // Breaks the stream off so that the client sees that the response is not complete. No event
  // follows.
  virtual void abort() = 0;
  virtual const PeerInfo& peer() const = 0;
  // Body bytes may not exceed this; beyond it onClientBodyFailure(BodyTooLarge).
  virtual void limitBody(std::uint64_t bytes) = 0;

 protected:
  ~ClientStream() = default;
};

class UpstreamStream;

// What the exchange is told by the upstream's stream.
class UpstreamStreamEvents {
 public:
  // Before onUpstreamReady(), where the protocol was not known yet: the stream is this one from now
  // on, and the former must not be used any more.
  virtual void onUpstreamMoved(UpstreamStream& stream) = 0;
  // The connection is there; the request head may be sent.
  virtual void onUpstreamReady() = 0;
  virtual void onUpstreamInformational(ResponseHead& head) = 0;
  virtual void onUpstreamHead(ResponseHead& head) = 0;
  virtual void onUpstreamBody(std::string_view bytes) = 0;
  virtual void onUpstreamEnd(const HeadFields* trailers) = 0;
  // The stream is gone and must not be used any more.
  virtual void onUpstreamFailure(StreamFailure failure) = 0;
  virtual void onUpstreamBlocked() = 0;
  virtual void onUpstreamDrained() = 0;

 protected:
  ~UpstreamStreamEvents() = default;
};

class UpstreamStream {
 public:
  virtual void sendHead(const OutgoingRequest& head) = 0;
  virtual void sendBody(std::string_view bytes) = 0;
  virtual void finish(const HeadFields* trailers) = 0;
  virtual void pauseBody() = 0;
  virtual void resumeBody() = 0;
  virtual void startTunnel() = 0;
  // onUpstreamFailure(Timeout) when nothing has arrived (or could be written) by then; each call
  // replaces the last, 0 ends it.
  virtual void expectWithin(std::uint64_t millis) = 0;
  // The exchange has no more use for it. A stream whose request and response are complete leaves
  // its connection for others; any other is broken off. No event follows.
  virtual void release() = 0;
  // Nothing of a response has been seen and the connection had served requests before: it may have
  // been closed while idle.
  virtual bool mayBeStale() const = 0;
  // A byte of a response has come: the endpoint has begun to answer, and the request must not be
  // sent again.
  virtual bool sawResponse() const = 0;

 protected:
  ~UpstreamStream() = default;
};

}  // namespace tidegate
