// Order of this file: birth and reuse, the request, reading, the response, the end.
#include "http1/client_connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "http1/writer.h"

namespace tidegate::http1 {

ClientConnection::ClientConnection(CodecContext& context, ClientHost& host, Transport transport,
                                   const HeadLimits& limits)
    : context_(context),
      host_(host),
      transport_(std::move(transport)),
      limits_(limits),
      openedAt_(context.loop.nowMillis()) {
  context_.counters.upstreamActive.add();
}

bool ClientConnection::start(UpstreamStreamEvents& events, std::uint64_t connectMillis) {
  if (!context_.loop.add(transport_.fd(), *this)) {
    close();
    return false;
  }
  events_ = &events;
  expectWithin(connectMillis);
  return true;
}

bool ClientConnection::assign(UpstreamStreamEvents& events, const HeadLimits& limits, bool probe) {
  pooled_ = false;
  if (peerEnding_ || ((probe || readable_) && transport_.hasInput())) {
    close();
    return false;
  }
  readable_ = false;
  limits_ = limits;
  events_ = &events;
  phase_ = Phase::Head;
  deadline_.clear();
  return true;
}

void ClientConnection::keepIdleFor(std::uint64_t millis) {
  phase_ = Phase::Idle;
  pooled_ = wasPooled_ = true;
  idleLeft_ = 0;
  if (transport_.layered() && millis > kRestMillis)
    idleLeft_ = millis == kForever ? kForever : millis - kRestMillis;
  expectWithin(idleLeft_ > 0 ? kRestMillis : millis);
}

void ClientConnection::establish() {
  const IoResult result = transport_.establish();
  if (result.status == IoResult::Status::WouldBlock) return;
  const bool established = result.status == IoResult::Status::Ok;
  const std::string_view why = transport_.failure();
  if (!established && !why.empty()) host_.onTlsFailed(why);
  host_.onConnected(established);
  if (!established) {
    fail(why.empty() ? StreamFailure::ConnectRefused : StreamFailure::TlsFailed);
    return;
  }
  phase_ = Phase::Head;
  readable_ = !result.drained;
  deadline_.clear();
  if (unwanted_) {
    host_.onReusable(*this);
  } else {
    events_->onUpstreamReady();
  }
}

// The request

void ClientConnection::sendHead(const OutgoingRequest& head) {
  ++served_;
  method_ = methodOf(head.method);
  requestBody_ = head.body;
  requestDone_ = responseSeen_ = false;
  keepAlive_ = true;
  paused_ = false;
  decoder_.reset();
  writeRequestHead(out_, context_.pool, head);
  context_.loop.flushLater(*this);
}

void ClientConnection::sendBody(std::string_view bytes) {
  if (writeBroken_) return;
  if (requestBody_ == BodyKind::Chunked) {
    writeChunk(out_, context_.pool, bytes);
  } else {
    out_.appendBorrowed(context_.pool, bytes);
  }
  context_.loop.flushLater(*this);
}

void ClientConnection::finish(const HeadFields* trailers) {
  requestDone_ = true;
  if (phase_ == Phase::Tunnel) {
    shutdownAfterFlush_ = true;
  } else if (requestBody_ == BodyKind::Chunked && !writeBroken_) {
    writeLastChunk(out_, context_.pool, trailers);
  }
  context_.loop.flushLater(*this);
}

void ClientConnection::onFlush() {
  if (phase_ == Phase::Closed) return;
  const Output::FlushResult result = out_.flush(context_.pool, transport_);
  context_.counters.upstreamBytesWritten.add(result.bytes);
  switch (result.status) {
    case Output::Status::Failed:
      // The endpoint may have answered before it closed: what it said is read first.
      writeBroken_ = true;
      keepAlive_ = false;
      out_.clear();
      if (phase_ == Phase::Tunnel) {
        fail(StreamFailure::WriteFailed);
        return;
      }
      readable_ = peerEnding_ = true;
      context_.loop.goOnLater(*this);
      return;
    case Output::Status::Blocked:
      // Told again after each bit of progress, so that the exchange can give the endpoint more
      // time.
      if (!blocked_ || result.bytes > 0) {
        blocked_ = true;
        if (events_ != nullptr) events_->onUpstreamBlocked();
      }
      return;
    case Output::Status::Done:
      if (blocked_) {
        blocked_ = false;
        if (events_ != nullptr) events_->onUpstreamDrained();
        if (phase_ == Phase::Closed) return;
      }
      if (shutdownAfterFlush_ && out_.empty()) {
        shutdownAfterFlush_ = false;
        transport_.shutdownWrite();
      }
      return;
  }
}

// Reading

void ClientConnection::onEvents(std::uint32_t events) {
  if (phase_ == Phase::Closed) return;
  if (phase_ == Phase::Connecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    establish();
    if (phase_ == Phase::Closed || phase_ == Phase::Connecting) return;
  }
  if ((events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) peerEnding_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
    readable_ = true;
    if (phase_ == Phase::Idle) {
      // Closed by the endpoint, or bytes that nobody asked for: of no use to the next exchange.
      if (peerEnding_ || transport_.hasInput()) close();
      return;
    }
  }
  if ((events & EPOLLOUT) != 0 && blocked_) context_.loop.flushLater(*this);
  if (readable_ && wantsInput()) pump();
}

bool ClientConnection::wantsInput() const {
  switch (phase_) {
    case Phase::Head:
      return events_ != nullptr;
    case Phase::Body:
    case Phase::Tunnel:
      return !paused_;
    case Phase::Connecting:
    case Phase::Idle:
    case Phase::Done:
    case Phase::Closed:
      return false;
  }
  return false;
}

void ClientConnection::pump() {
  for (int round = 0; round < kReadsPerTurn; ++round) {
    if (!in_.empty() && wantsInput() && phase_ != Phase::Head) {
      const std::size_t used = process(in_.view());
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
    if (io.status == IoResult::Status::WouldBlock) {
      readable_ = false;
      return;
    }
    if (io.status == IoResult::Status::End) {
      onReadEnd();
      context_.loop.flushNow();
      return;
    }
    if (io.status == IoResult::Status::Failed) {
      fail(StreamFailure::Closed);
      return;
    }
    context_.counters.upstreamBytesRead.add(io.bytes);
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
      if (phase_ != Phase::Closed) in_.keep(context_.pool, bytes.substr(used));
      context_.loop.flushNow();
      if (phase_ == Phase::Closed) return;
    }
  }
  if (wantsInput() && (readable_ || !in_.empty())) context_.loop.goOnLater(*this);
}

std::size_t ClientConnection::process(std::string_view bytes) {
  processing_ = true;
  std::size_t used = 0;
  bool progress = true;
  while (progress && used < bytes.size() && wantsInput()) {
    std::size_t step = 0;
    const std::string_view rest = bytes.substr(used);
    if (phase_ == Phase::Head) {
      step = processHead(rest);
    } else if (phase_ == Phase::Body) {
      step = processBody(rest);
    } else {
      step = rest.size();
      events_->onUpstreamBody(rest);
    }
    used += step;
    progress = step > 0;
  }
  // Bytes behind the end of a response belong to nobody; release() finds them and closes.
  if (phase_ == Phase::Done && used < bytes.size()) keepAlive_ = false;
  processing_ = false;
  if (phase_ == Phase::Done) events_->onUpstreamEnd(endTrailers_);
  return used;
}

// The response

std::size_t ClientConnection::processHead(std::string_view bytes) {
  responseSeen_ = true;
  ResponseHead& head = context_.responseHead;
  const ParseOutcome outcome = parseResponseHead(bytes, limits_, method_, head);
  if (outcome.status == ParseStatus::NeedMore) return 0;
  if (outcome.status == ParseStatus::Error) {
    const bool large =
        outcome.error == ParseError::HeadTooLarge || outcome.error == ParseError::TooManyHeaders;
    fail(large ? StreamFailure::HeadTooLarge : StreamFailure::Malformed);
    return bytes.size();
  }
  const std::uint16_t status = head.line.status;
  if (status < 200 && status != 101) {
    events_->onUpstreamInformational(head);
    return head.size;
  }
  const std::size_t size = head.size;
  keepAlive_ = keepAlive_ && head.line.keepAlive && status != 101;
  responseBody_ = head.line.body;
  bodyRemaining_ = head.line.contentLength;
  phase_ = Phase::Body;
  const bool bodyless = !hasBody(responseBody_, bodyRemaining_);
  events_->onUpstreamHead(head);
  if (bodyless && phase_ == Phase::Body) responseEnded(nullptr);
  return size;
}

std::size_t ClientConnection::processBody(std::string_view bytes) {
  switch (responseBody_) {
    case BodyKind::Chunked:
      return processChunked(bytes);
    case BodyKind::UntilClose:
      events_->onUpstreamBody(bytes);
      return bytes.size();
    case BodyKind::None:
      return 0;
    case BodyKind::Length:
      break;
  }
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), bodyRemaining_));
  bodyRemaining_ -= n;
  events_->onUpstreamBody(bytes.substr(0, n));
  if (bodyRemaining_ == 0 && phase_ == Phase::Body) responseEnded(nullptr);
  return n;
}

std::size_t ClientConnection::processChunked(std::string_view bytes) {
  std::size_t used = 0;
  while (wantsInput()) {
    const ChunkedDecoder::Step step = decoder_.decode(bytes.substr(used));
    used += step.consumed;
    switch (step.status) {
      case ChunkedDecoder::Status::Data:
        events_->onUpstreamBody(step.data);
        break;
      case ChunkedDecoder::Status::NeedMore:
        return used;
      case ChunkedDecoder::Status::Error:
        fail(StreamFailure::Malformed);
        return bytes.size();
      case ChunkedDecoder::Status::Done: {
        HeadFields* trailers = nullptr;
        if (decoder_.hasTrailers()) {
          trailers = &context_.trailers;
          const ParseOutcome outcome =
              ChunkedDecoder::parseTrailers(decoder_.trailerSection(), *trailers);
          if (outcome.status != ParseStatus::Complete) {
            fail(StreamFailure::Malformed);
            return bytes.size();
          }
        }
        responseEnded(trailers);
        return used;
      }
    }
  }
  return used;
}

void ClientConnection::responseEnded(const HeadFields* trailers) {
  phase_ = Phase::Done;
  endTrailers_ = trailers;
  deadline_.clear();
}

void ClientConnection::resumeBody() {
  if (!paused_) return;
  paused_ = false;
  if (!processing_ && (readable_ || !in_.empty())) context_.loop.goOnLater(*this);
}

void ClientConnection::startTunnel() {
  phase_ = Phase::Tunnel;
  requestBody_ = BodyKind::UntilClose;
  requestDone_ = false;
}

void ClientConnection::expectWithin(std::uint64_t millis) {
  deadline_.set(context_.loop.timers(),
                millis == 0 || millis == kForever ? 0 : context_.loop.nowMillis() + millis);
}

// The end

void ClientConnection::onReadEnd() {
  readable_ = false;
  if (phase_ == Phase::Tunnel || (phase_ == Phase::Body && responseBody_ == BodyKind::UntilClose)) {
    keepAlive_ = false;
    responseEnded(nullptr);
    events_->onUpstreamEnd(nullptr);
    return;
  }
  fail(StreamFailure::Closed);
}

void ClientConnection::onDeadline() {
  if (const std::uint64_t left = std::exchange(idleLeft_, 0); phase_ == Phase::Idle && left > 0) {
    transport_.rest();
    expectWithin(left);
  } else if (phase_ == Phase::Idle) {
    close();
  } else if (phase_ == Phase::Connecting) {
    host_.onConnected(false);
    fail(StreamFailure::ConnectTimeout);
  } else {
    fail(StreamFailure::Timeout);
  }
  context_.loop.flushNow();
}

void ClientConnection::release() {
  events_ = nullptr;
  if (phase_ == Phase::Connecting && host_.onUnwanted(*this)) {
    unwanted_ = true;
    return;
  }
  deadline_.clear();
  const bool reusable = phase_ == Phase::Done && requestDone_ && keepAlive_ && !writeBroken_ &&
                        !peerEnding_ && out_.empty();
  if (!reusable) {
    close();
    return;
  }
  host_.onReusable(*this);
}

void ClientConnection::fail(StreamFailure failure) {
  UpstreamStreamEvents* events = std::exchange(events_, nullptr);
  close();
  if (events != nullptr) events->onUpstreamFailure(failure);
}

void ClientConnection::close() {
  if (phase_ == Phase::Closed) return;
  phase_ = Phase::Closed;
  context_.counters.upstreamActive.sub();
  deadline_.clear();
  deadline_.unlink();
  out_.clear();
  transport_.close();
  EventLoop::forget(*this);
  host_.onConnectionClosed(*this);
  context_.loop.disposeLater(*this);
}

}  // namespace tidegate::http1
