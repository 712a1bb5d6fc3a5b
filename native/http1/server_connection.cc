// Order of this file: birth, reading, the request, the response, the end of a request, the end of
// the connection.
#include "http1/server_connection.h"

#include <sys/epoll.h>

#include <algorithm>

#include "http/preface.h"
#include "http1/writer.h"

namespace tidegate::http1 {

namespace {

// How long a client may take to read the last response and to close, after we have closed our half.
constexpr std::uint64_t kLingerMillis = 2'000;

// What is thrown away of a request that nobody wants any more before the connection is reset.
constexpr std::uint64_t kLingerBytes = 256 * 1024;

Reason reasonOf(ParseError error) {
  switch (parseErrorStatus(error)) {
    case 414:
      return Reason::TargetTooLong;
    case 417:
      return Reason::ExpectationFailed;
    case 431:
      return Reason::HeadTooLarge;
    case 501:
      return error == ParseError::ConnectRefused ? Reason::MethodRefused
                                                 : Reason::UnsupportedCoding;
    case 505:
      return Reason::UnsupportedVersion;
    default:
      return Reason::BadRequest;
  }
}

}  // namespace

ServerConnection::ServerConnection(CodecContext& context, ServerHost& host,
                                   const ServerSettings& settings, Transport transport,
                                   const PeerInfo& peer, Slab<ServerConnection>& home)
    : context_(context),
      host_(host),
      settings_(settings),
      home_(home),
      transport_(std::move(transport)),
      peer_(peer),
      early_(peer.tls != nullptr && peer.tls->early) {}

ServerConnection::Start ServerConnection::start(bool readFirst) {
  context_.counters.connectionsActive.add();
  context_.counters.connectionsIdle.add();
  setDeadline(settings_.headTimeout);
  if (readFirst) {
    readable_ = true;
    pump();
    if (phase_ == Phase::Closed) return Start::Read;
  }
  const bool read = phase_ != Phase::Idle || served_ > 0;
  if (phase_ == Phase::Active && requestDone_ && !watched_) {
    context_.loop.addSoon(*this);
  } else {
    watch();
    if (lost_) {
      close();
      return Start::Failed;
    }
  }
  return read ? Start::Read : Start::Waiting;
}

void ServerConnection::watch() {
  if (watched_ || phase_ == Phase::Closed) return;
  ListNode<AddLink>::unlink();
  watched_ = context_.loop.add(transport_.fd(), *this);
  lost_ = !watched_;
  if (lost_) context_.loop.goOnLater(*this);
}

void ServerConnection::takeOver(const Received& received) {
  context_.counters.connectionsActive.add();
  context_.counters.connectionsIdle.add();
  if (!context_.loop.move(transport_.fd(), *this)) {
    close();
    return;
  }
  watched_ = true;
  setDeadline(settings_.headTimeout);
  in_.keep(context_.pool, received.bytes);
  readable_ = !received.drained;
  if (readable_ || !in_.empty()) context_.loop.goOnLater(*this);
}

void ServerConnection::drain() {
  draining_ = true;
  if (phase_ == Phase::Idle) close();
}

void ServerConnection::closeNow() {
  if (phase_ != Phase::Closed) gone(Reason::Draining);
}

// Reading

void ServerConnection::onEvents(std::uint32_t events) {
  if (phase_ == Phase::Closed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && phase_ != Phase::Tunnel) {
    // A reset, or both halves closed: nobody is there to read an answer. The end of a request takes
    // twenty microseconds: those of hundreds at once share the thread with others.
    lost_ = true;
    if (events_ == nullptr) {
      gone(Reason::ClientClosed);
    } else {
      context_.loop.goOnLater(*this);
    }
    return;
  }
  if (lost_) return;
  if ((events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) peerEnding_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0 && blocked_) queueFlush();
  if (readable_ && wantsInput()) pump();
  goOnWithHandshake();
}

void ServerConnection::onReady() {
  if (lost_) {
    gone(Reason::ClientClosed);
    return;
  }
  pump();
  goOnWithHandshake();
}

// While a request from early data is under way: else reading takes care of it.
void ServerConnection::goOnWithHandshake() {
  if (!early_ || phase_ == Phase::Closed || wantsInput()) return;
  if (transport_.establish().status == IoResult::Status::Failed) {
    gone(Reason::ClientClosed);
    return;
  }
  noteConfirmed();
}

void ServerConnection::noteConfirmed() {
  if (!early_ || peer_.tls->early) return;
  early_ = false;
  if (events_ != nullptr) events_->onClientConfirmed();
}

bool ServerConnection::wantsInput() const {
  switch (phase_) {
    case Phase::Idle:
    case Phase::Head:
    case Phase::Lingering:
      return true;
    case Phase::Active:
      return awaitsBody();
    case Phase::Tunnel:
      return !paused_ && !peerEnded_;
    case Phase::Closed:
      return false;
  }
  return false;
}

void ServerConnection::pump() {
  for (int round = 0; round < kReadsPerTurn; ++round) {
    if (!in_.empty() && wantsInput() && phase_ != Phase::Head) {
      const std::size_t used = process(in_.view());
      // What was sent on is borrowed from the kept bytes until it is flushed.
      context_.loop.flushNow();
      if (phase_ == Phase::Closed) return;
      in_.consume(used);
      if (!wantsInput()) return;
      if (used > 0 && !in_.empty()) continue;
    }
    if (!readable_ || !wantsInput()) return;

    const bool partial = !in_.empty();
    const std::span<char> room =
        partial ? in_.room(context_.pool, kKeptReadBytes) : std::span<char>(context_.readBuffer);
    const IoResult io = transport_.read(room);
    noteConfirmed();
    if (io.status == IoResult::Status::WouldBlock) {
      readable_ = false;
      return;
    }
    if (io.status == IoResult::Status::End) {
      onReadEnd();
      return;
    }
    if (io.status == IoResult::Status::Failed) {
      gone(Reason::ClientClosed);
      return;
    }
    context_.counters.clientBytesRead.add(io.bytes);
    if (io.drained && !peerEnding_) readable_ = false;

    if (partial) {
      in_.grow(io.bytes);
      const std::size_t used = process(in_.view());
      context_.loop.flushNow();
      if (phase_ == Phase::Closed) return;
      in_.consume(used);
    } else {
      const std::string_view bytes(room.data(), io.bytes);
      const std::size_t used = process(bytes);
      if (phase_ == Phase::Closed) return;
      in_.keep(context_.pool, bytes.substr(used));
      context_.loop.flushNow();
      if (phase_ == Phase::Closed) return;
    }
  }
  if (wantsInput() && (readable_ || !in_.empty())) context_.loop.goOnLater(*this);
}

std::size_t ServerConnection::process(std::string_view bytes) {
  processing_ = true;
  std::size_t used = 0;
  bool progress = true;
  while (progress && used < bytes.size() && wantsInput()) {
    std::size_t step = 0;
    switch (phase_) {
      case Phase::Idle:
      case Phase::Head:
        step = processHead(bytes.substr(used));
        break;
      case Phase::Active:
        step = processBody(bytes.substr(used));
        break;
      case Phase::Tunnel:
        step = bytes.size() - used;
        deliverBody(bytes.substr(used));
        break;
      case Phase::Lingering:
        step = bytes.size() - used;
        bodyRemaining_ -= std::min<std::uint64_t>(bodyRemaining_, step);
        if (bodyRemaining_ == 0) close();
        break;
      case Phase::Closed:
        break;
    }
    used += step;
    progress = step > 0;
  }
  processing_ = false;
  return used;
}

void ServerConnection::onReadEnd() {
  readable_ = false;
  peerEnded_ = true;
  switch (phase_) {
    case Phase::Idle:
    case Phase::Lingering:
      close();
      return;
    case Phase::Head:
      // Half a head and no more to come.
      refuse(Reason::BadRequest);
      return;
    case Phase::Active:
      if (!requestDone_) gone(Reason::ClientClosed);
      return;
    case Phase::Tunnel:
      requestEnded(nullptr);
      if (halfClosed_) finish(nullptr);
      return;
    case Phase::Closed:
      return;
  }
}

// The request

std::size_t ServerConnection::processHead(std::string_view bytes) {
  RequestHead& head = context_.requestHead;
  const ParseOutcome outcome = parseRequestHead(bytes, settings_.head, head);
  if (outcome.status == ParseStatus::Complete && settings_.http1) {
    beginRequest(head);
    return head.size;
  }
  if (outcome.status == ParseStatus::Complete) {
    refuse(Reason::UnsupportedVersion);
    return bytes.size();
  }
  if (outcome.status == ParseStatus::Error) {
    if (isHttp2(bytes)) {
      handOver(Protocol::Http2, bytes);
      return bytes.size();
    }
    refuse(reasonOf(outcome.error));
    return bytes.size();
  }
  if (phase_ == Phase::Idle) {
    phase_ = Phase::Head;
    context_.counters.connectionsIdle.sub();
    setDeadline(settings_.headTimeout);
  }
  return 0;
}

void ServerConnection::beginRequest(const RequestHead& head) {
  if (phase_ == Phase::Idle) context_.counters.connectionsIdle.sub();
  deadline_.clear();
  ++served_;
  phase_ = Phase::Active;
  minorVersion_ = head.line.minorVersion;
  requestBody_ = head.line.body;
  bodyRemaining_ = head.line.contentLength;
  bodyLimit_ = settings_.bodyBytes;
  bodyBytesIn_ = 0;
  decoder_.reset();
  requestDone_ = !hasBody(head.line.body, head.line.contentLength);
  paused_ = true;
  headSent_ = responseDone_ = false;
  clientCloses_ = !head.line.keepAlive;
  closeAfter_ = clientCloses_ || draining_ || served_ >= settings_.maxRequests;
  events_ = &host_.onRequest(*this, context_.requestHead);
  events_->onClientBegin();
}

void ServerConnection::refuse(Reason reason) {
  if (phase_ == Phase::Idle) context_.counters.connectionsIdle.sub();
  deadline_.clear();
  phase_ = Phase::Active;
  minorVersion_ = 1;
  requestBody_ = BodyKind::None;
  bodyBytesIn_ = 0;
  requestDone_ = true;
  headSent_ = responseDone_ = false;
  closeAfter_ = true;
  // What follows cannot be told apart from the body of what was refused.
  readable_ = true;
  events_ = &host_.onRefused(*this, Protocol::Http1, reason);
}

// RFC 9113 3.4: the preface is made so that an HTTP/1 parser takes offence at it, at the version at
// the latest.
bool ServerConnection::isHttp2(std::string_view bytes) const {
  constexpr std::size_t kLine = std::string_view("PRI * HTTP/2.0").size();
  return settings_.http2 && served_ == 0 && bytes.size() >= kLine &&
         bytes.substr(0, kHttp2Preface.size()) == kHttp2Preface.substr(0, bytes.size());
}

void ServerConnection::handOver(Protocol protocol, std::string_view received) {
  // The next codec takes the registration over.
  watch();
  handedOver_ = true;
  host_.onProtocol(*this, std::move(transport_), peer_, protocol,
                   {.bytes = received, .drained = !readable_});
  close();
}

std::size_t ServerConnection::processBody(std::string_view bytes) {
  setDeadline(settings_.bodyTimeout);
  if (requestBody_ == BodyKind::Chunked) return processChunked(bytes);
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), bodyRemaining_));
  bodyRemaining_ -= n;
  deliverBody(bytes.substr(0, n));
  if (bodyRemaining_ == 0 && phase_ == Phase::Active && !requestDone_) requestEnded(nullptr);
  return n;
}

std::size_t ServerConnection::processChunked(std::string_view bytes) {
  std::size_t used = 0;
  while (wantsInput()) {
    const ChunkedDecoder::Step step = decoder_.decode(bytes.substr(used));
    used += step.consumed;
    switch (step.status) {
      case ChunkedDecoder::Status::Data:
        deliverBody(step.data);
        break;
      case ChunkedDecoder::Status::NeedMore:
        return used;
      case ChunkedDecoder::Status::Error:
        bodyFailed(reasonOf(step.error));
        return bytes.size();
      case ChunkedDecoder::Status::Done: {
        if (!decoder_.hasTrailers()) {
          requestEnded(nullptr);
          return used;
        }
        HeadFields& trailers = context_.trailers;
        const ParseOutcome outcome =
            ChunkedDecoder::parseTrailers(decoder_.trailerSection(), trailers);
        if (outcome.status != ParseStatus::Complete) {
          bodyFailed(Reason::BadRequest);
          return bytes.size();
        }
        requestEnded(&trailers);
        return used;
      }
    }
  }
  return used;
}

void ServerConnection::deliverBody(std::string_view bytes) {
  bodyBytesIn_ += bytes.size();
  if (bodyBytesIn_ > bodyLimit_ && phase_ != Phase::Tunnel) {
    bodyFailed(Reason::BodyTooLarge);
    return;
  }
  if (!bytes.empty()) events_->onClientBody(bytes);
}

void ServerConnection::requestEnded(const HeadFields* trailers) {
  requestDone_ = true;
  deadline_.clear();
  events_->onClientEnd(trailers);
}

void ServerConnection::bodyFailed(Reason reason) {
  // Where the body ends is not known any more, or too far: nothing after it can be read as a
  // request.
  requestDone_ = true;
  closeAfter_ = true;
  readable_ = true;
  deadline_.clear();
  events_->onClientBodyFailure(reason);
}

void ServerConnection::resumeBody() {
  if (!paused_) return;
  paused_ = false;
  if (!requestDone_) watch();
  if (awaitsBody() && !blocked_) setDeadline(settings_.bodyTimeout);
  if (!processing_ && (readable_ || !in_.empty())) context_.loop.goOnLater(*this);
}

void ServerConnection::pauseBody() {
  paused_ = true;
  // While nobody reads, the client is not slow.
  if (!blocked_) deadline_.clear();
}

void ServerConnection::limitBody(std::uint64_t bytes) { bodyLimit_ = std::min(bodyLimit_, bytes); }

// The response

void ServerConnection::queueFlush() { context_.loop.flushLater(*this); }

void ServerConnection::sendInformational(const OutgoingResponse& head) {
  if (minorVersion_ == 0) return;
  writeResponseHead(out_, context_.pool, head, {});
  queueFlush();
}

void ServerConnection::sendHead(const OutgoingResponse& head) {
  ResponseFraming framing;
  responseBody_ = head.body;
  if (head.close || draining_) closeAfter_ = true;
  if (head.status != 101) {
    if (head.body == BodyKind::None) {
      framing.contentLength = head.announceLength;
      framing.length = head.contentLength;
    } else if (head.body == BodyKind::Length) {
      framing.contentLength = true;
      framing.length = head.contentLength;
    } else if (minorVersion_ == 0) {
      responseBody_ = BodyKind::UntilClose;
      closeAfter_ = true;
    } else {
      responseBody_ = BodyKind::Chunked;
      framing.chunked = true;
    }
    framing.close = closeAfter_;
    framing.keepAlive = !closeAfter_ && minorVersion_ == 0;
  }
  writeResponseHead(out_, context_.pool, head, framing);
  headSent_ = true;
  queueFlush();
}

// What the socket does not take is known after the flush.
bool ServerConnection::sendBody(std::string_view bytes) {
  if (responseBody_ == BodyKind::Chunked) {
    writeChunk(out_, context_.pool, bytes);
  } else {
    out_.appendBorrowed(context_.pool, bytes);
  }
  queueFlush();
  return true;
}

void ServerConnection::finish(const HeadFields* trailers) {
  if (responseBody_ == BodyKind::Chunked) writeLastChunk(out_, context_.pool, trailers);
  responseDone_ = true;
  queueFlush();
}

void ServerConnection::startTunnel() {
  phase_ = Phase::Tunnel;
  responseBody_ = BodyKind::UntilClose;
  requestDone_ = false;
  closeAfter_ = true;
  deadline_.clear();
  watch();
}

void ServerConnection::abort() {
  events_ = nullptr;
  // An orderly close would make a response that only the end of the connection delimits look
  // complete.
  if (headSent_ && responseBody_ == BodyKind::UntilClose) transport_.abort();
  close();
}

void ServerConnection::onFlush() {
  if (phase_ == Phase::Closed) return;
  if (responseDone_ && requestDone_ && (closeAfter_ || draining_) && phase_ != Phase::Tunnel)
    transport_.expectLastWrite();
  const Output::FlushResult result = out_.flush(context_.pool, transport_);
  context_.counters.clientBytesWritten.add(result.bytes);
  switch (result.status) {
    case Output::Status::Failed:
      gone(Reason::ClientClosed);
      return;
    case Output::Status::Blocked:
      if (result.bytes > 0 || !blocked_) setDeadline(settings_.writeTimeout);
      if (!blocked_) {
        blocked_ = true;
        watch();
        if (events_ != nullptr) events_->onClientBlocked();
      }
      return;
    case Output::Status::Done:
      if (blocked_) {
        blocked_ = false;
        deadline_.clear();
        if (awaitsBody()) setDeadline(settings_.bodyTimeout);
        if (events_ != nullptr) events_->onClientDrained();
        if (phase_ == Phase::Closed) return;
      }
      if (responseDone_ && events_ != nullptr && out_.empty()) responseFlushed();
      return;
  }
}

// The end of a request

void ServerConnection::responseFlushed() {
  if (phase_ == Phase::Tunnel && !requestDone_) {
    // The upstream's half has ended; the client may go on sending.
    transport_.shutdownWrite();
    halfClosed_ = true;
    responseDone_ = false;
    return;
  }
  ClientStreamEvents* events = std::exchange(events_, nullptr);
  // A response that came before its request was complete: the rest of that request is not worth
  // reading.
  if (!requestDone_) closeAfter_ = true;
  if (closeAfter_ || draining_) {
    // What came on a socket that is not watched is known only by the client's word.
    const bool quiet = requestDone_ && !readable_ && in_.empty() && (watched_ || clientCloses_);
    if (quiet || peerEnded_ || phase_ == Phase::Tunnel) {
      close();
    } else {
      linger();
    }
  } else {
    nextRequest();
  }
  events->onClientDone();
}

void ServerConnection::nextRequest() {
  phase_ = Phase::Idle;
  context_.counters.connectionsIdle.add();
  watch();
  rested_ = !transport_.layered() || settings_.idleTimeout <= kRestMillis;
  setDeadline(rested_ ? settings_.idleTimeout : kRestMillis);
  if (readable_ || !in_.empty()) context_.loop.goOnLater(*this);
}

// The end of the connection

void ServerConnection::linger() {
  // Closing with unread bytes would send a reset, which may overtake the response (RFC 9112 9.6).
  phase_ = Phase::Lingering;
  transport_.shutdownWrite();
  watch();
  readable_ = true;
  bodyRemaining_ = kLingerBytes;
  setDeadline(kLingerMillis);
  context_.loop.goOnLater(*this);
}

void ServerConnection::onDeadline() {
  switch (phase_) {
    case Phase::Idle:
      if (!rested_) {
        rested_ = true;
        transport_.rest();
        setDeadline(settings_.idleTimeout == kForever ? kForever
                                                      : settings_.idleTimeout - kRestMillis);
        break;
      }
      close();
      break;
    case Phase::Lingering:
      close();
      break;
    case Phase::Head:
      refuse(Reason::HeadTimeout);
      break;
    case Phase::Active:
    case Phase::Tunnel:
      if (blocked_) {
        gone(Reason::ClientWriteTimeout);
      } else if (awaitsBody()) {
        bodyFailed(Reason::BodyTimeout);
      }
      break;
    case Phase::Closed:
      break;
  }
  context_.loop.flushNow();
}

void ServerConnection::gone(Reason reason) {
  ClientStreamEvents* events = std::exchange(events_, nullptr);
  close();
  if (events != nullptr) events->onClientGone(reason);
}

void ServerConnection::onDispose() {
  if (!handedOver_) host_.onClosed(*this);
  home_.destroy(this);
}

void ServerConnection::close() {
  if (phase_ == Phase::Closed) return;
  if (phase_ == Phase::Idle) context_.counters.connectionsIdle.sub();
  context_.counters.connectionsActive.sub();
  phase_ = Phase::Closed;
  deadline_.clear();
  deadline_.unlink();
  out_.clear();
  transport_.close();
  EventLoop::forget(*this);
  context_.loop.disposeLater(*this);
}

void ServerConnection::setDeadline(std::uint64_t millisFromNow) {
  deadline_.set(context_.loop.timers(),
                millisFromNow == ~std::uint64_t{0} ? 0 : context_.loop.nowMillis() + millisFromNow);
}

}  // namespace tidegate::http1
