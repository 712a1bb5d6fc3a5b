// Server handshakes of one I/O thread: each takes an accepted connection from its first byte to the
// point where a codec can have it: its end, or the first request in early data.
//
// A full handshake costs what some twenty requests cost. So that a flood of them does not take the
// loop from established connections, one is computed a turn, in the order in which their first
// messages came; without other events a turn costs next to nothing, so throughput is the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "http/codec_context.h"
#include "http/server_host.h"
#include "tls/layer.h"

namespace tidegate::tls {

class ServerContext;
class Handshake;
class Handshakes;
struct WaitingLink;   // of those whose turn to compute has not come
struct UnderWayLink;  // of those of one listener, in the order of their beginning

enum class HandshakeFailure : std::uint8_t {
  Timeout,
  Closed,       // the client went away
  PlainHttp,    // a request in the clear
  ServerName,   // strictSni
  Version,      // none in common
  Cipher,       // no cipher, group or signature in common
  Protocol,     // of ALPN: none in common
  Certificate,  // the client's
  Alert,        // the client refused, most often our certificate
  Malformed,    // no TLS, or broken
  Displaced,    // by others, when as many as are allowed were under way
};

// The handshakes under way of one listener.
class HandshakeBound {
 public:
  // Whether another may begin. At the limit only where the oldest is older than a second and can
  // make room; else connections have to wait in the listening socket.
  bool admits(std::uint64_t limit, std::uint64_t nowMillis);
  // Another begins: the oldest ends where it has to.
  void makeRoom(std::uint64_t limit);

 private:
  friend class Handshake;
  IntrusiveList<Handshake, UnderWayLink> list_;
  std::size_t count_ = 0;
};

class Handshake final : public AcceptedConnection,
                        public ListNode<WaitingLink>,
                        public ListNode<UnderWayLink> {
 public:
  Handshake(Handshakes& home, ServerHost& host, HandshakeBound& bound, Transport transport,
            Layer& layer, const PeerInfo& peer);
  ~Handshake() = default;

  // Registers with the loop. When that fails, the connection is closed. `spoken`: the client's
  // first message is probably here.
  void start(std::uint64_t timeoutMillis, bool spoken);

  std::uint64_t begunMillis() const { return begunMillis_; }
  void displace() { fail(HandshakeFailure::Displaced); }

  // AcceptedConnection: nothing of a request has come, so nothing is lost.
  void drain() override { closeNow(); }
  void closeNow() override;

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onDispose() override;

 private:
  friend class Handshakes;
  enum class State : std::uint8_t { Begun, Waiting, Answered, HandedOver, Closed };

  void step();
  // `drained`: nothing of a request is here.
  void handOver(bool drained);
  void onTimeout() { fail(HandshakeFailure::Timeout); }
  void fail(HandshakeFailure failure);
  void leave();
  HandshakeFailure reason() const;

  Handshakes& home_;
  ServerHost& host_;
  HandshakeBound& bound_;
  Transport transport_;
  Layer& layer_;  // of transport_
  PeerInfo peer_;
  const std::uint64_t begunMillis_;
  State state_ = State::Begun;
  TimerFor<Handshake, &Handshake::onTimeout> timer_{*this};
};

class Handshakes final : public Pollable {
 public:
  Handshakes(CodecContext& context, ThreadBuffers& buffers)
      : context_(context), buffers_(buffers) {}

  // The connection gets `settings`' certificates and goes to a codec of `host`. nullptr where
  // memory is short; the socket is closed then. start() is to follow.
  Handshake* create(ServerHost& host, HandshakeBound& bound, Socket socket,
                    std::shared_ptr<const ServerContext> context, const PeerInfo& peer);

  void addTo(Reclaimer& memory) { memory.add(slab_.cells()); }

  // Pollable; it has no file of its own.
  void onEvents(std::uint32_t) override {}
  void onReady() override;

 private:
  friend class Handshake;

  // Computes at once where nobody was before it in this turn.
  void takeTurn(Handshake& handshake);

  CodecContext& context_;
  ThreadBuffers& buffers_;
  Slab<Handshake> slab_;
  IntrusiveList<Handshake, WaitingLink> waiting_;
  bool computed_ = false;  // one, in this turn
};

}  // namespace tidegate::tls
