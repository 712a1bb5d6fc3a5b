// Order of this file: the request, the response, the ends.
#include "http2/server_stream.h"

#include <algorithm>

#include "http2/field_block.h"
#include "http2/server_connection.h"

namespace tidegate::http2 {

namespace {

// What one stream may have under way towards us. Half of it comes before the client hears that
// there is room again.
constexpr std::uint32_t kStreamWindow = 128 * 1024;

// How much of a response waits here before the exchange is told to stop, and when it goes on. With
// one read of an upstream (kReadBytes) on top it still fits a block of 80 KiB of the pool.
constexpr std::size_t kQueueHigh = 16 * 1024 - 64;
constexpr std::size_t kQueueLow = 4 * 1024;

}  // namespace

std::uint32_t streamWindow() { return kStreamWindow; }

ServerStream::ServerStream(ServerConnection& connection, std::uint32_t id)
    : connection_(connection),
      id_(id),
      sendWindow_(connection.peerSettings_.initialWindowSize),
      receiveWindow_(kStreamWindow),
      bodyLimit_(connection.settings_.bodyBytes) {}

const PeerInfo& ServerStream::peer() const { return connection_.peer_; }

// The request

void ServerStream::takeHead(const RequestLine& line, bool ended) {
  remoteEnded_ = ended;
  requestDone_ = !hasBody(line.body, line.contentLength) || ended;
  hasLength_ = line.body == BodyKind::Length;
  bodyRemaining_ = line.contentLength;
}

void ServerStream::begin() {
  begun_ = true;
  events_->onClientBegin();
  if (!closed_) deliverKept();
}

void ServerStream::onData(std::uint32_t frameBytes, std::string_view content, bool ended) {
  const bool allowed = !remoteEnded_;
  const bool inWindow = allowed && receiveWindow_.take(frameBytes);
  const bool tooMuch = hasLength_ && content.size() > bodyRemaining_;
  const bool tooLittle = hasLength_ && ended && content.size() < bodyRemaining_;
  if (!inWindow || tooMuch || tooLittle) {
    connection_.giveBack(frameBytes);
    connection_.streamError(*this, !allowed    ? ErrorCode::StreamClosed
                                   : !inWindow ? ErrorCode::FlowControlError
                                               : ErrorCode::ProtocolError);
    return;
  }
  if (hasLength_) bodyRemaining_ -= content.size();
  remoteEnded_ = ended;
  const auto size = static_cast<std::uint32_t>(content.size());
  if (frameBytes > size) giveBack(frameBytes - size);
  if (discards_) {
    giveBack(size);
    return;
  }
  if (paused_ || keptBytes_ > 0) {
    kept_.keep(connection_.context_.codec.pool, content);
    keptBytes_ += size;
    return;
  }
  if (awaitsBody() && queue_.empty()) setDeadline(connection_.settings_.bodyTimeout);
  if (size > 0) {
    deliver(content);
    giveBack(size);
  }
  if (ended && !closed_ && !requestDone_) requestEnded(nullptr);
}

void ServerStream::onTrailers(const HeadFields& trailers) {
  if (remoteEnded_) {
    connection_.streamError(*this, ErrorCode::StreamClosed);
    return;
  }
  if (hasLength_ && bodyRemaining_ > 0) {
    connection_.streamError(*this, ErrorCode::ProtocolError);
    return;
  }
  remoteEnded_ = true;
  if (requestDone_) return;
  if (paused_ || keptBytes_ > 0) {
    requestTrailers_.keep(connection_.context_.codec.pool, trailers);
  } else {
    requestEnded(&trailers);
  }
}

void ServerStream::deliver(std::string_view bytes) {
  bodyBytesIn_ += bytes.size();
  if (bodyBytesIn_ > bodyLimit_ && !tunnel_) {
    bodyFailed(Reason::BodyTooLarge);
  } else {
    events_->onClientBody(bytes);
  }
}

void ServerStream::deliverKept() {
  if (paused_ || discards_) return;
  if (keptBytes_ > 0) {
    const std::uint32_t size = std::exchange(keptBytes_, 0);
    deliver(kept_.view());
    // Sent on, it is borrowed from here until it is flushed.
    connection_.context_.codec.loop.flushNow();
    giveBack(size);
    if (closed_) return;
    kept_.clear();
  }
  if (remoteEnded_ && !requestDone_)
    requestEnded(requestTrailers_ ? &requestTrailers_.fields() : nullptr);
}

void ServerStream::giveBack(std::uint32_t bytes) {
  connection_.giveBack(bytes);
  if (remoteEnded_ || closed_ || discards_) return;
  if (const std::uint32_t increment = receiveWindow_.giveBack(bytes); increment > 0) {
    char* const at = connection_.reserve(kWindowUpdateFrame);
    connection_.out_.commit(writeWindowUpdate(at, id_, increment));
    connection_.queueFlush();
  }
}

void ServerStream::requestEnded(const HeadFields* trailers) {
  requestDone_ = true;
  if (queue_.empty()) deadline_.clear();
  events_->onClientEnd(trailers);
  // The other half of a tunnel had ended before.
  if (!closed_ && tunnel_ && localEnded_) endLocal();
}

void ServerStream::bodyFailed(Reason reason) {
  requestDone_ = true;
  discards_ = true;
  deadline_.clear();
  connection_.giveBack(std::exchange(keptBytes_, 0));
  events_->onClientBodyFailure(reason);
}

void ServerStream::resumeBody() {
  if (!paused_) return;
  paused_ = false;
  if (awaitsBody() && queue_.empty()) setDeadline(connection_.settings_.bodyTimeout);
  if (keptBytes_ > 0 || (remoteEnded_ && !requestDone_)) connection_.callAttention(*this);
}

void ServerStream::pauseBody() {
  paused_ = true;
  // While nobody reads, the client is not slow.
  if (queue_.empty()) deadline_.clear();
}

void ServerStream::limitBody(std::uint64_t bytes) { bodyLimit_ = std::min(bodyLimit_, bytes); }

// The response

void ServerStream::sendInformational(const OutgoingResponse& head) {
  if (malformed_) return;
  writeResponseHead(connection_.out_, connection_.context_.codec.pool, connection_.encoder_, id_,
                    head);
  connection_.queueFlush();
}

void ServerStream::sendHead(const OutgoingResponse& head) {
  if (malformed_) return;
  lastFrame_ = writeResponseHead(connection_.out_, connection_.context_.codec.pool,
                                 connection_.encoder_, id_, head);
  connection_.queueFlush();
}

bool ServerStream::sendBody(std::string_view bytes) {
  if (bytes.empty() || malformed_) return !blocked_;
  if (queue_.empty() && sendWindow_.available() >= bytes.size() &&
      connection_.mayWrite(bytes.size())) {
    while (!bytes.empty()) {
      const std::size_t part = std::min<std::size_t>(bytes.size(), kMaxFrameBytes);
      writeData(bytes.substr(0, part));
      bytes.remove_prefix(part);
    }
    connection_.queueFlush();
    return !blocked_;
  }
  if (queue_.empty()) setDeadline(connection_.settings_.writeTimeout);
  queue_.keep(connection_.context_.codec.pool, bytes);
  connection_.scheduler_.add(*this);
  blocked_ = blocked_ || queue_.view().size() > kQueueHigh;
  // Where the client takes what waits, the upstream is to be read on in this turn.
  if (blocked_ && canWrite()) {
    connection_.flushSoon();
  } else {
    connection_.queueFlush();
  }
  return !blocked_;
}

void ServerStream::writeData(std::string_view bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  FrameBuffer& out = connection_.out_;
  char* at = connection_.reserve(kFrameHeaderBytes + size);
  lastFrame_ = out.position();
  at = writeFrameHeader(at, {size, FrameType::Data, 0, id_});
  std::memcpy(at, bytes.data(), size);
  out.commit(at + size);
  sendWindow_.take(size);
  connection_.sendWindow_.take(size);
  connection_.frames_.earn(3);
}

std::uint32_t ServerStream::writeSome(std::uint32_t limit) {
  const std::string_view all = queue_.view();
  const std::size_t size = std::min<std::size_t>({all.size(), limit, sendWindow_.available()});
  writeData(all.substr(0, size));
  queue_.consume(size);
  setDeadline(queue_.empty() ? 0 : connection_.settings_.writeTimeout);
  if (queue_.empty() && finished_) {
    writeEnd();
  } else if (queue_.empty() && awaitsBody()) {
    setDeadline(connection_.settings_.bodyTimeout);
  }
  checkQueue();
  return static_cast<std::uint32_t>(size);
}

void ServerStream::checkQueue() {
  if (blocked_ && queue_.view().size() < kQueueLow) connection_.callAttention(*this);
}

void ServerStream::finish(const HeadFields* trailers) {
  if (finished_) return;
  finished_ = true;
  if (malformed_) {
    connection_.writeRstStream(id_, ErrorCode::ProtocolError);
    remoteEnded_ = true;
    endLocal();
  } else if (queue_.empty() && trailers != nullptr) {
    writeTrailers(connection_.out_, connection_.context_.codec.pool, connection_.encoder_, id_,
                  *trailers);
    endLocal();
  } else if (queue_.empty()) {
    writeEnd();
  } else if (trailers != nullptr) {
    responseTrailers_.keep(connection_.context_.codec.pool, *trailers);
  }
}

void ServerStream::writeEnd() {
  FrameBuffer& out = connection_.out_;
  if (responseTrailers_) {
    writeTrailers(out, connection_.context_.codec.pool, connection_.encoder_, id_,
                  responseTrailers_.fields());
  } else if (!out.addFlags(lastFrame_, kEndStream)) {
    char* const at = connection_.reserve(kFrameHeaderBytes);
    out.commit(writeFrameHeader(at, {0, FrameType::Data, kEndStream, id_}));
  }
  endLocal();
}

void ServerStream::endLocal() {
  localEnded_ = true;
  connection_.scheduler_.remove(*this);
  connection_.queueFlush();
  if (tunnel_ && !requestDone_) return;  // the client's half goes on
  deadline_.clear();
  if (!remoteEnded_) {
    // RFC 9113 8.1: what is left of the request is not worth sending.
    discards_ = true;
    connection_.writeRstStream(id_, ErrorCode::NoError);
  }
  endPosition_ = connection_.out_.position();
  connection_.ending_.pushBack(this);
}

void ServerStream::startTunnel() {
  tunnel_ = true;
  requestDone_ = false;
  deadline_.clear();
}

void ServerStream::onWindowUpdate(std::uint32_t increment) {
  if (increment == 0) {
    connection_.streamError(*this, ErrorCode::ProtocolError);
  } else if (!sendWindow_.grow(increment)) {
    connection_.streamError(*this, ErrorCode::FlowControlError);
  } else if (canWrite()) {
    connection_.scheduler_.add(*this);
    connection_.queueFlush();
  }
}

bool ServerStream::changeSendWindow(std::int64_t bytes) {
  if (!sendWindow_.change(bytes)) return false;
  if (canWrite()) {
    connection_.scheduler_.add(*this);
  } else if (!localEnded_) {
    connection_.scheduler_.remove(*this);
  }
  return true;
}

void ServerStream::onAttention() {
  deliverKept();
  if (closed_ || !blocked_ || queue_.view().size() >= kQueueLow) return;
  blocked_ = false;
  events_->onClientDrained();
}

// The ends

void ServerStream::onWritten() {
  ClientStreamEvents* const events = std::exchange(events_, nullptr);
  if (!malformed_) connection_.earnReset();
  connection_.remove(*this);
  events->onClientDone();
}

void ServerStream::onGone(Reason reason) {
  ClientStreamEvents* const events = std::exchange(events_, nullptr);
  connection_.remove(*this);
  if (events != nullptr) events->onClientGone(reason);
}

void ServerStream::abort() {
  events_ = nullptr;
  connection_.writeRstStream(id_, ErrorCode::InternalError);
  connection_.remove(*this);
}

void ServerStream::onRemoved() {
  closed_ = true;
  connection_.giveBack(std::exchange(keptBytes_, 0));
  deadline_.clear();
  deadline_.unlink();
}

void ServerStream::onDeadline() {
  connection_.busy_ = true;
  if (!queue_.empty()) {
    connection_.resetStream(*this, ErrorCode::Cancel, Reason::ClientWriteTimeout);
  } else if (awaitsBody()) {
    bodyFailed(Reason::BodyTimeout);
  }
  connection_.busy_ = false;
}

void ServerStream::setDeadline(std::uint64_t millisFromNow) {
  EventLoop& loop = connection_.context_.codec.loop;
  const bool none = millisFromNow == 0 || millisFromNow == ~std::uint64_t{0};
  deadline_.set(loop.timers(), none ? 0 : loop.nowMillis() + millisFromNow);
}

}  // namespace tidegate::http2
