// Order of this file: the request, the response, the end.
#include "http2/endpoint_stream.h"

#include <utility>

#include "base/ascii.h"
#include "http2/client_connection.h"
#include "http2/head_rules.h"

namespace tidegate::http2 {

namespace {

constexpr std::string_view kWebSocket = "websocket";

}  // namespace

EndpointStream::EndpointStream(ClientConnection& connection, UpstreamStreamEvents& events,
                               std::uint32_t sendWindow, std::uint64_t framesHeard)
    : connection_(connection),
      events_(&events),
      sendWindow_(sendWindow),
      receiveWindow_(ClientConnection::kStreamWindow),
      framesHeard_(framesHeard) {}

// The request

void EndpointStream::sendHead(const OutgoingRequest& head) {
  method_ = methodOf(head.method);
  // HTTP/2 has no other upgrade: what else is asked for is ignored, as RFC 9110 7.8 allows.
  if (equalsIgnoreCase(head.upgrade, kWebSocket)) {
    askUpgrade(head);
    return;
  }
  requestEnded_ = !hasBody(head.body, head.contentLength);
  id_ = connection_.takeId();
  if (head.upgrade.empty()) {
    connection_.sendHead(*this, head, requestEnded_);
    return;
  }
  OutgoingRequest plain = head;
  plain.upgrade = {};
  connection_.sendHead(*this, plain, requestEnded_);
}

void EndpointStream::askUpgrade(const OutgoingRequest& head) {
  if (!connection_.takesWebSockets()) {
    // What the endpoint takes is known with its SETTINGS: then the exchange asks again.
    upgrade_ = connection_.isSettled() ? Upgrade::Unsupported : Upgrade::Unsettled;
    if (connection_.isSettled()) connection_.context().loop.goOnLater(*this);
    return;
  }
  upgrade_ = Upgrade::Asked;
  std::string_view key;
  if (head.fields.source != nullptr) {
    for (const Field& field : head.fields.source->fields()) {
      if (equalsIgnoreCase(head.fields.source->name(field), "sec-websocket-key"))
        key = head.fields.source->value(field);
    }
  }
  accept_ = webSocketAccept(key);
  id_ = connection_.takeId();
  connection_.sendHead(*this, head, false);
}

void EndpointStream::onReady() {
  if (closed()) return;
  if (upgrade_ == Upgrade::Unsupported) {
    fail(StreamFailure::UpgradeUnsupported);
  } else {
    deliverKept();
  }
}

void EndpointStream::sendBody(std::string_view bytes) {
  if (requestEnded_ || ending_) return;
  const std::size_t sent = hasPending() ? 0 : connection_.sendData(*this, bytes);
  if (sent == bytes.size()) return;
  pending_.keep(connection_.context().pool, bytes.substr(sent));
  connection_.awaitTurn(*this);
}

void EndpointStream::finish(const HeadFields* trailers) {
  if (requestEnded_ || ending_) return;
  // The request is a head alone; the stream stays open for what comes behind an upgrade.
  if (upgrade_ != Upgrade::None && upgrade_ != Upgrade::Done) return;
  if (!hasPending()) {
    sendEnd(trailers);
    return;
  }
  ending_ = true;
  if (trailers != nullptr) requestTrailers_.keep(connection_.context().pool, *trailers);
}

void EndpointStream::sendEnd(const HeadFields* trailers) {
  ending_ = false;
  requestEnded_ = true;
  connection_.sendEnd(*this, trailers);
}

bool EndpointStream::sendPending() {
  const std::string_view next = pending_.view().substr(0, kMaxFrameBytes);
  const std::size_t sent = connection_.sendData(*this, next);
  pending_.consume(sent);
  if (hasPending()) {
    // Told again after each bit of progress, so that the exchange can give the endpoint more time.
    if (sent > 0) connection_.awaitReport(*this);
    return sent > 0 && sendWindow_.available() > 0;
  }
  if (ending_) sendEnd(requestTrailers_.get());
  if (blocked_) {
    blocked_ = false;
    events_->onUpstreamDrained();
  }
  return false;
}

void EndpointStream::onWindowUpdate(std::uint32_t increment) {
  if (increment == 0) {
    refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
  } else if (!sendWindow_.grow(increment)) {
    refuse(StreamFailure::Malformed, ErrorCode::FlowControlError);
  } else if (hasPending()) {
    connection_.awaitTurn(*this);
  }
}

void EndpointStream::reportBlocked() {
  if (!hasPending()) return;
  blocked_ = true;
  events_->onUpstreamBlocked();
}

// The response

void EndpointStream::onFields(std::span<const std::uint8_t> block, bool endStream) {
  responseSeen_ = true;
  if (response_ == Response::Head) {
    onHead(block, endStream);
  } else if (response_ == Response::Body) {
    if (endStream) {
      onTrailers(block);
    } else if (connection_.skip(block)) {
      refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
    }
  } else if (connection_.skip(block)) {
    refuse(StreamFailure::Malformed, ErrorCode::StreamClosed);
  }
}

void EndpointStream::onHead(std::span<const std::uint8_t> block, bool endStream) {
  ResponseHead& head = connection_.context().responseHead;
  const std::span<char> room = connection_.headRoom();
  const http1::HeadLimits& limits = connection_.responseLimits();
  const HeadMemo::Circumstances now{connection_.tableState(), limits.headBytes, limits.fieldCount,
                                    endStream, method_ == Method::Head};
  if (!connection_.headMemo().recall(block, now, head, room)) {
    if (!readHead(block, endStream, head)) return;
    connection_.headMemo().keep(block, now, connection_.tableState(), head);
  }
  const std::uint16_t status = head.line.status;
  if (status < 200) {
    events_->onUpstreamInformational(head);
    return;
  }
  response_ = Response::Body;
  if (upgrade_ == Upgrade::Asked && status < 300) {
    makeSwitching(head, room);
    responseBody_ = BodyKind::UntilClose;
    events_->onUpstreamHead(head);
    if (endStream && !closed()) responseEnded(nullptr);
    return;
  }
  responseBody_ = head.line.body;
  bodyLeft_ = head.line.contentLength;
  events_->onUpstreamHead(head);
  if (endStream && !closed()) responseEnded(nullptr);
}

// False: the head was refused, and the stream is closed.
bool EndpointStream::readHead(std::span<const std::uint8_t> block, bool endStream,
                              ResponseHead& head) {
  ResponseCollector collector(head, connection_.headRoom(), connection_.responseLimits());
  if (!connection_.decode(block, collector)) return false;
  const HeadFault fault = collector.finish(endStream, method_);
  if (fault == HeadFault::HeadTooLarge || fault == HeadFault::TooManyFields) {
    refuse(StreamFailure::HeadTooLarge, ErrorCode::Cancel);
    return false;
  }
  if (fault != HeadFault::None) {
    refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
    return false;
  }
  return true;
}

// The answer to an extended CONNECT, as HTTP/1 says it.
void EndpointStream::makeSwitching(ResponseHead& head, std::span<char> room) {
  head.removeIf([](const Field& field) { return field.id == FieldId::ContentLength; });
  head.line.status = 101;
  head.line.upgrade = true;
  head.line.reason = {};
  head.line.body = BodyKind::None;
  head.line.hasContentLength = false;
  const auto put = [&](std::string_view text) {
    text.copy(room.data() + head.size, text.size());
    const Slice slice{head.size, static_cast<std::uint32_t>(text.size())};
    head.size += slice.length;
    return slice;
  };
  Field upgrade;
  upgrade.name = put("upgrade");
  upgrade.value = put(kWebSocket);
  upgrade.id = FieldId::Upgrade;
  upgrade.hopByHop = true;
  head.add(upgrade);
  Field accept;
  accept.name = put("sec-websocket-accept");
  accept.value = put({accept_.data(), accept_.size()});
  head.add(accept);
}

void EndpointStream::onTrailers(std::span<const std::uint8_t> block) {
  FieldTable& trailers = connection_.context().trailers;
  TrailerCollector collector(trailers, connection_.headRoom(), connection_.responseLimits());
  if (!connection_.decode(block, collector)) return;
  if (collector.finish() != HeadFault::None) {
    refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
    return;
  }
  bodyEnded(trailers.fields().empty() ? nullptr : &trailers);
}

bool EndpointStream::onDataFrame(std::uint32_t bytes) {
  if (response_ == Response::Head) {
    refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
  } else if (response_ == Response::Done) {
    refuse(StreamFailure::Malformed, ErrorCode::StreamClosed);
  } else if (!receiveWindow_.take(bytes)) {
    refuse(StreamFailure::Malformed, ErrorCode::FlowControlError);
  }
  return !closed();
}

void EndpointStream::onData(std::string_view bytes, bool endStream) {
  if (!bytes.empty()) {
    const bool allowed = responseBody_ == BodyKind::Length ? bytes.size() <= bodyLeft_
                                                           : responseBody_ != BodyKind::None;
    if (!allowed) {
      refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
      return;
    }
    if (responseBody_ == BodyKind::Length) bodyLeft_ -= bytes.size();
    if (paused_ || !kept_.empty()) {
      kept_.keep(connection_.context().pool, bytes);
    } else {
      events_->onUpstreamBody(bytes);
      if (closed()) return;
      giveBack(static_cast<std::uint32_t>(bytes.size()));
    }
  }
  if (endStream) bodyEnded(nullptr);
}

// END_STREAM, which may come before the exchange has taken all of the body.
void EndpointStream::bodyEnded(const HeadFields* trailers) {
  if (responseBody_ == BodyKind::Length && bodyLeft_ > 0) {
    refuse(StreamFailure::Malformed, ErrorCode::ProtocolError);
    return;
  }
  if (kept_.empty()) {
    responseEnded(trailers);
    return;
  }
  response_ = Response::Done;
  endKept_ = true;
  if (trailers != nullptr) responseTrailers_.keep(connection_.context().pool, *trailers);
}

void EndpointStream::responseEnded(const HeadFields* trailers) {
  response_ = Response::Done;
  deadline_.clear();
  events_->onUpstreamEnd(trailers);
}

void EndpointStream::resumeBody() {
  if (!paused_) return;
  paused_ = false;
  if (!kept_.empty()) connection_.context().loop.goOnLater(*this);
}

void EndpointStream::deliverKept() {
  if (kept_.empty()) return;
  // No more at a time than one read would bring: the client may be full before all of it is taken.
  while (!paused_ && !kept_.empty()) {
    const std::string_view bytes = kept_.view().substr(0, kReadBytes);
    events_->onUpstreamBody(bytes);
    // Whoever takes it may have borrowed it until then.
    connection_.context().loop.flushNow();
    if (closed()) return;
    kept_.consume(bytes.size());
    giveBack(static_cast<std::uint32_t>(bytes.size()));
  }
  if (kept_.empty() && endKept_) responseEnded(responseTrailers_.get());
}

// Bytes that hold up nothing any more: the peer may send as many again.
void EndpointStream::giveBack(std::uint32_t bytes) {
  if (response_ == Response::Done) return;
  const std::uint32_t increment = receiveWindow_.giveBack(bytes);
  if (increment > 0) connection_.sendWindowUpdate(id_, increment);
}

void EndpointStream::expectWithin(std::uint64_t millis) {
  EventLoop& loop = connection_.context().loop;
  const bool none = millis == 0 || millis == ~std::uint64_t{0};
  deadline_.set(loop.timers(), none ? 0 : loop.nowMillis() + millis);
}

// The end

bool EndpointStream::mayBeStale() const {
  return framesHeard_ > 0 && connection_.framesHeard() == framesHeard_;
}

void EndpointStream::onDeadline() {
  refuse(StreamFailure::Timeout, ErrorCode::Cancel);
  connection_.context().loop.flushNow();
}

void EndpointStream::onReset(ErrorCode code) {
  requestEnded_ = true;
  if (response_ == Response::Done) {
    // What the endpoint has said completely stays said; it wants no more of the request.
    ending_ = false;
    pending_.clear();
    ListNode<TurnLink>::unlink();
    return;
  }
  response_ = Response::Done;
  const bool unprocessed = code == ErrorCode::RefusedStream && !responseSeen_;
  fail(unprocessed ? StreamFailure::Unprocessed : StreamFailure::Closed);
}

void EndpointStream::release() {
  if (closed()) return;
  events_ = nullptr;
  sendReset(response_ == Response::Done ? ErrorCode::NoError : ErrorCode::Cancel);
  close();
}

void EndpointStream::refuse(StreamFailure failure, ErrorCode code) {
  sendReset(code);
  fail(failure);
}

void EndpointStream::fail(StreamFailure failure) {
  UpstreamStreamEvents* const events = std::exchange(events_, nullptr);
  close();
  events->onUpstreamFailure(failure);
}

void EndpointStream::sendReset(ErrorCode code) {
  const bool over = requestEnded_ && response_ == Response::Done;
  if (id_ != 0 && !over) connection_.sendReset(id_, code);
}

void EndpointStream::close() {
  deadline_.clear();
  deadline_.unlink();
  EventLoop::forget(*this);
  connection_.remove(*this);
  // What others have borrowed of its body stays until the end of the turn.
  connection_.context().loop.disposeLater(*this);
}

void EndpointStream::onDispose() { connection_.dispose(*this); }

}  // namespace tidegate::http2
