// Order of this file: the bound, a handshake, the turns.
#include "tls/handshake.h"

#include <openssl/sslerr.h>
#include <sys/epoll.h>

#include <utility>

#include "tls/server_context.h"

namespace tidegate::tls {

namespace {

// What a client may take in any case before another can displace it.
constexpr std::uint64_t kUndisturbedMillis = 1'000;

HandshakeFailure failureOf(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return HandshakeFailure::PlainHttp;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
      return HandshakeFailure::Version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
      return HandshakeFailure::Cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return HandshakeFailure::Protocol;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return HandshakeFailure::Certificate;
    default:
      return reason >= SSL_AD_REASON_OFFSET ? HandshakeFailure::Alert : HandshakeFailure::Malformed;
  }
}

Counter& counterOf(ThreadCounters& counters, HandshakeFailure failure) {
  switch (failure) {
    case HandshakeFailure::Timeout:
      return counters.tlsFailedTimeout;
    case HandshakeFailure::Closed:
      return counters.tlsFailedClosed;
    case HandshakeFailure::PlainHttp:
      return counters.tlsFailedPlainHttp;
    case HandshakeFailure::ServerName:
      return counters.tlsFailedServerName;
    case HandshakeFailure::Version:
      return counters.tlsFailedVersion;
    case HandshakeFailure::Cipher:
      return counters.tlsFailedCipher;
    case HandshakeFailure::Protocol:
      return counters.tlsFailedProtocol;
    case HandshakeFailure::Certificate:
      return counters.tlsFailedCertificate;
    case HandshakeFailure::Alert:
      return counters.tlsFailedAlert;
    case HandshakeFailure::Displaced:
      return counters.tlsFailedDisplaced;
    case HandshakeFailure::Malformed:
      break;
  }
  return counters.tlsFailedMalformed;
}

}  // namespace

bool HandshakeBound::admits(std::uint64_t limit, std::uint64_t nowMillis) {
  if (count_ < limit) return true;
  Handshake* const oldest = list_.front();
  return oldest != nullptr && nowMillis - oldest->begunMillis() >= kUndisturbedMillis;
}

void HandshakeBound::makeRoom(std::uint64_t limit) {
  if (count_ >= limit && !list_.empty()) list_.front()->displace();
}

// A handshake

Handshake::Handshake(Handshakes& home, ServerHost& host, HandshakeBound& bound, Transport transport,
                     Layer& layer, const PeerInfo& peer)
    : home_(home),
      host_(host),
      bound_(bound),
      transport_(std::move(transport)),
      layer_(layer),
      peer_(peer),
      begunMillis_(home.context_.loop.nowMillis()) {
  bound_.list_.pushBack(this);
  ++bound_.count_;
  home_.context_.counters.tlsHandshakesActive.add();
}

void Handshake::start(std::uint64_t timeoutMillis, bool spoken) {
  EventLoop& loop = home_.context_.loop;
  if (!loop.add(transport_.fd(), *this)) {
    fail(HandshakeFailure::Closed);
    return;
  }
  loop.timers().schedule(timer_, loop.nowMillis() + timeoutMillis);
  if (spoken) home_.takeTurn(*this);
}

void Handshake::onEvents(std::uint32_t events) {
  if (state_ == State::HandedOver || state_ == State::Closed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    fail(HandshakeFailure::Closed);
    return;
  }
  if ((events & EPOLLRDHUP) != 0) layer_.expectEnd();
  if (state_ == State::Answered) {
    // What is left costs little.
    step();
  } else if ((events & (EPOLLIN | EPOLLRDHUP)) != 0 && state_ == State::Begun) {
    home_.takeTurn(*this);
  }
}

void Handshake::step() {
  const IoResult io = transport_.establish();
  switch (io.status) {
    case IoResult::Status::Ok:
      handOver(io.drained);
      return;
    case IoResult::Status::WouldBlock:
      if (layer_.facts().early) {
        handOver(false);
        return;
      }
      // Half a first message has cost nothing yet: the rest of it waits for its turn as well.
      state_ = layer_.answered() ? State::Answered : State::Begun;
      return;
    case IoResult::Status::End:
    case IoResult::Status::Failed:
      fail(reason());
      return;
  }
}

HandshakeFailure Handshake::reason() const {
  if (layer_.serverNameRefused()) return HandshakeFailure::ServerName;
  return layer_.error() == 0 ? HandshakeFailure::Closed : failureOf(layer_.error());
}

void Handshake::handOver(bool drained) {
  CodecContext& context = home_.context_;
  context.counters.tlsHandshakes.add();
  if (layer_.facts().resumed) context.counters.tlsResumptions.add();
  // The first request is often here already. If not, the client gets the rest of the handshake now
  // (its session tickets), and otherwise in front of the response.
  const IoResult io = drained ? IoResult{.status = IoResult::Status::WouldBlock}
                              : transport_.read(context.readBuffer);
  if (io.status == IoResult::Status::WouldBlock) transport_.write({});
  const std::size_t received = io.status == IoResult::Status::Ok ? io.bytes : 0;
  context.counters.clientBytesRead.add(received);
  leave();
  state_ = State::HandedOver;
  peer_.tls = &layer_.facts();
  host_.onProtocol(*this, std::move(transport_), peer_,
                   layer_.facts().alpn == "h2" ? Protocol::Http2 : Protocol::Http1,
                   {.bytes = {context.readBuffer.data(), received},
                    .drained = io.status == IoResult::Status::WouldBlock || io.drained});
  context.loop.disposeLater(*this);
}

void Handshake::closeNow() {
  if (state_ != State::HandedOver && state_ != State::Closed) fail(HandshakeFailure::Closed);
}

void Handshake::fail(HandshakeFailure failure) {
  counterOf(home_.context_.counters, failure).add();
  leave();
  state_ = State::Closed;
  transport_.close();
  home_.context_.loop.disposeLater(*this);
}

void Handshake::leave() {
  timer_.unlink();
  ListNode<WaitingLink>::unlink();
  ListNode<UnderWayLink>::unlink();
  --bound_.count_;
  home_.context_.counters.tlsHandshakesActive.sub();
  EventLoop::forget(*this);
}

void Handshake::onDispose() {
  if (state_ == State::Closed) host_.onClosed(*this);
  home_.slab_.destroy(this);
}

// The turns

Handshake* Handshakes::create(ServerHost& host, HandshakeBound& bound, Socket socket,
                              std::shared_ptr<const ServerContext> context, const PeerInfo& peer) {
  SslPointer ssl = context->newConnection();
  if (ssl == nullptr) return nullptr;
  auto layer = std::make_unique<Layer>(buffers_, std::move(ssl), std::move(context));
  Layer& its = *layer;
  return slab_.create(*this, host, bound, Transport::accepted(std::move(socket), std::move(layer)),
                      its, peer);
}

void Handshakes::takeTurn(Handshake& handshake) {
  handshake.state_ = Handshake::State::Waiting;
  if (!computed_ && waiting_.empty()) {
    computed_ = true;
    handshake.step();
  } else {
    waiting_.pushBack(&handshake);
  }
  context_.loop.goOnLater(*this);
}

void Handshakes::onReady() {
  computed_ = false;
  Handshake* const next = waiting_.popFront();
  if (next == nullptr) return;
  next->step();
  if (!waiting_.empty()) context_.loop.goOnLater(*this);
}

}  // namespace tidegate::tls
