// Order of this file: birth, reading, frames, requests, what streams ask for, output, the end.
#include "http2/server_connection.h"

#include <sys/epoll.h>

#include <algorithm>

namespace tidegate::http2 {

namespace {

// What all streams together may have under way towards us: eight of them at their own limits.
constexpr std::uint32_t kConnectionWindow = 1024 * 1024;

// DATA is put into the output up to here; the rest waits with its stream, so that priorities
// decide. Fits a block of the pool with what else is there.
constexpr std::size_t kOutputTarget = 72 * 1024;

// From here on it is written at once, and not at the end of the turn.
constexpr std::size_t kWriteAtOnce = 32 * 1024;

// Beyond, nothing more is read: answers of our own (heads, acknowledgements) wait to be taken.
constexpr std::size_t kMaxBacklog = 256 * 1024;

// How long a client may take to read what was said last and to close, and what is thrown away of it
// meanwhile.
constexpr std::uint64_t kLingerMillis = 2'000;
constexpr std::size_t kLingerBytes = 256 * 1024;

// How long requests that are on their way when a connection is drained have to arrive, where the
// client does not say earlier that they have.
constexpr std::uint64_t kDrainMillis = 1'000;
constexpr std::string_view kDrainPing = "draining";

// Requests of one connection that begin before others have their turn. Each may open a connection
// to an endpoint, which takes tens of microseconds.
constexpr int kBeginsPerTurn = 64;

// Streams of a connection that has ended, before others have their turn. Each may close the
// connection to an endpoint, which takes as long.
constexpr int kEndsPerTurn = 16;

// Of kVainPerTurn: a head that is refused may have unpacked to half a mebibyte.
constexpr int kVainOfRefusedHead = 8;

// Frames that carry no request, and streams that are reset: so many at once, and a second. What a
// client lets us do gives some back: see earn().
constexpr std::uint32_t kFrameBurst = 1'000;
constexpr std::uint32_t kFramesPerSecond = 100;
constexpr std::uint32_t kFramesPerRequest = 8;
// All streams of a connection that allows as many as the default may be taken back at once.
constexpr std::uint32_t kResetBurst = 300;
constexpr std::uint32_t kResetsPerSecond = 30;
// Where a request has begun, it mostly costs the connection to the endpoint that it is on.
constexpr std::uint32_t kTokensOfBegun = 2;
constexpr std::uint32_t kTokensOfResponse = 2;

Reason reasonOf(HeadFault fault) {
  switch (fault) {
    case HeadFault::TargetTooLong:
      return Reason::TargetTooLong;
    case HeadFault::HeadTooLarge:
    case HeadFault::TooManyFields:
      return Reason::HeadTooLarge;
    case HeadFault::BadExpect:
      return Reason::ExpectationFailed;
    case HeadFault::ConnectRefused:
      return Reason::MethodRefused;
    default:
      return Reason::BadRequest;
  }
}

bool isFlood(Reason reason) {
  return reason == Reason::FloodFrames || reason == Reason::FloodResets ||
         reason == Reason::FloodHeaders;
}

class IgnoredFields final : public HpackSink {
 public:
  void onField(std::string_view, std::string_view, bool) override {}
};

// For what ends a connection and is to be logged once: there is nobody to answer.
class Unanswered final : public ClientStream {
 public:
  explicit Unanswered(const PeerInfo& peer) : peer_(peer) {}

  void resumeBody() override {}
  void pauseBody() override {}
  void sendInformational(const OutgoingResponse&) override {}
  void sendHead(const OutgoingResponse&) override {}
  bool sendBody(std::string_view) override { return true; }
  void finish(const HeadFields*) override {}
  void startTunnel() override {}
  void abort() override {}
  const PeerInfo& peer() const override { return peer_; }
  void limitBody(std::uint64_t) override {}

 private:
  const PeerInfo& peer_;
};

std::span<const std::uint8_t> bytesOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string_view priorityOf(const HeadFields& head) {
  for (const Field& field : head.fields()) {
    if (field.id == FieldId::Other && head.name(field) == "priority") return head.value(field);
  }
  return {};
}

}  // namespace

ServerConnection::ServerConnection(Context& context, ServerHost& host,
                                   const http1::ServerSettings& settings, Transport transport,
                                   const PeerInfo& peer, Slabs& home)
    : context_(context),
      host_(host),
      settings_(settings),
      home_(home),
      transport_(std::move(transport)),
      peer_(peer),
      receiveWindow_(kConnectionWindow),
      frames_(kFrameBurst, kFramesPerSecond),
      resets_(kResetBurst, kResetsPerSecond),
      early_(peer.tls != nullptr && peer.tls->early) {}

void ServerConnection::takeOver(const Received& received) {
  context_.codec.counters.connectionsActive.add();
  setIdle(true);
  if (!context_.codec.loop.move(transport_.fd(), *this)) {
    close();
    return;
  }
  writePreface();
  restDeadline();
  in_.keep(context_.codec.pool, received.bytes);
  readable_ = !received.drained;
  context_.codec.loop.goOnLater(*this);
}

void ServerConnection::writePreface() {
  struct Value {
    Setting setting;
    std::uint32_t value;
  };
  const std::array<Value, 5> settings = {{
      {Setting::MaxConcurrentStreams, settings_.streams},
      {Setting::InitialWindowSize, streamWindow()},
      {Setting::MaxHeaderListSize, settings_.head.headBytes},
      {Setting::EnableConnectProtocol, 1},
      {Setting::NoRfc7540Priorities, 1},
  }};
  constexpr std::size_t kBytes = settings.size() * kSettingBytes;
  char* at = reserve(kFrameHeaderBytes + kBytes + kWindowUpdateFrame);
  at = writeFrameHeader(at, {kBytes, FrameType::Settings, 0, 0});
  for (const Value& each : settings) at = writeSetting(at, each.setting, each.value);
  out_.commit(writeWindowUpdate(at, 0, kConnectionWindow - kDefaultWindow));
  queueFlush();
}

// Reading

void ServerConnection::onEvents(std::uint32_t events) {
  if (phase_ == Phase::Closed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    gone(Reason::ClientClosed);
    return;
  }
  if ((events & EPOLLRDHUP) != 0) peerEnding_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0 && blocked_) queueFlush();
  // One that is to go on has had its share of what others wait for.
  if (readable_ && wantsInput() && !Pollable::ListNode<ReadyLink>::linked()) pump();
}

bool ServerConnection::wantsInput() const {
  switch (phase_) {
    case Phase::Preface:
    case Phase::Open:
      return !peerEnded_ && out_.size() < kMaxBacklog;
    case Phase::Lingering:
      return true;
    case Phase::Closed:
      return false;
  }
  return false;
}

void ServerConnection::onReady() {
  if (endReason_ != Reason::None) endSome();
  if (phase_ != Phase::Closed) pump();
}

void ServerConnection::pump() {
  // Where the turn before was used up in the middle of what had been read, its rest may take back
  // the requests that wait.
  bool interrupted = vainLeft_ <= 0 && !in_.empty() && wantsInput();
  beginsLeft_ = kBeginsPerTurn;
  vainLeft_ = kVainPerTurn;
  if (!interrupted && !beginRequests()) return;
  for (int round = 0; round < kReadsPerTurn && (interrupted || !turnUsedUp()); ++round) {
    interrupted = false;
    if (!in_.empty() && wantsInput()) {
      const std::size_t used = process(in_.view());
      if (!beginRequests()) return;
      in_.consume(used);
      if (turnUsedUp()) break;
    }
    if (!readable_ || !wantsInput()) return;

    const bool partial = !in_.empty();
    const std::span<char> room =
        partial ? in_.room(context_.codec.pool, kFrameHeaderBytes + kMaxFrameBytes)
                : std::span<char>(context_.codec.readBuffer);
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
    context_.codec.counters.clientBytesRead.add(io.bytes);
    if (io.drained && !peerEnding_) readable_ = false;
    if (partial) {
      in_.grow(io.bytes);
      continue;
    }
    const std::string_view bytes(room.data(), io.bytes);
    const std::size_t used = process(bytes);
    if (phase_ == Phase::Closed) return;
    in_.keep(context_.codec.pool, bytes.substr(used));
    if (!beginRequests()) return;
  }
  goOnIfDue();
}

void ServerConnection::goOnIfDue() {
  if (!waiting_.empty() || (wantsInput() && (readable_ || !in_.empty())))
    context_.codec.loop.goOnLater(*this);
}

std::size_t ServerConnection::process(std::string_view bytes) {
  std::string_view rest = bytes;
  busy_ = true;
  if (phase_ == Phase::Preface && prefaceLeft_ > 0 && !passPreface(rest))
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
  while (live() && wantsInput() && vainLeft_ > 0 && prefaceLeft_ == 0 &&
         rest.size() >= kFrameHeaderBytes) {
    const FrameHeader header = readFrameHeader(rest.data());
    if (header.length > kMaxFrameBytes) {
      fail(ErrorCode::FrameSizeError, Reason::Http2ProtocolError);
      break;
    }
    const std::size_t size = kFrameHeaderBytes + header.length;
    if (rest.size() < size) break;
    onFrame(header, rest.substr(kFrameHeaderBytes, header.length));
    rest.remove_prefix(size);
  }
  busy_ = false;
  if (phase_ == Phase::Lingering) {
    lingerBytes_ -= std::min(lingerBytes_, rest.size());
    rest = {};
    if (lingerBytes_ == 0) close();
  }
  return bytes.size() - rest.size();
}

bool ServerConnection::passPreface(std::string_view& rest) {
  const std::string_view expected = kPreface.substr(kPreface.size() - prefaceLeft_);
  const std::size_t size = std::min(expected.size(), rest.size());
  if (rest.substr(0, size) != expected.substr(0, size)) return false;
  rest.remove_prefix(size);
  prefaceLeft_ -= static_cast<std::uint32_t>(size);
  return true;
}

void ServerConnection::noteConfirmed() {
  if (!early_ || peer_.tls->early) return;
  early_ = false;
  busy_ = true;
  for (ServerStream* stream = streams_.front(); stream != nullptr;) {
    ServerStream* const next = streams_.after(stream);
    stream->onConfirmed();
    stream = next;
  }
  busy_ = false;
}

void ServerConnection::onReadEnd() {
  readable_ = false;
  peerEnded_ = true;
  busy_ = true;
  for (ServerStream* stream = streams_.front(); stream != nullptr;) {
    ServerStream* const next = streams_.after(stream);
    if (stream->awaitsClient()) resetStream(*stream, ErrorCode::Cancel, Reason::ClientClosed);
    stream = next;
  }
  busy_ = false;
  if (phase_ == Phase::Lingering || streamCount_ == 0) {
    close();
    return;
  }
  // What was asked for whole is answered. A client that has closed both halves says so to what is
  // sent now, by a reset.
  if (lastNamed_) {
    writeGoAway(lastStream_, ErrorCode::NoError);
  } else {
    nameLast();
  }
}

// Frames

void ServerConnection::onFrame(const FrameHeader& header, std::string_view payload) {
  const bool first = !std::exchange(firstSettings_, true);
  const bool settings = header.type == FrameType::Settings && !header.has(kAck);
  const bool interleaved = block_.stream != 0 && header.type != FrameType::Continuation;
  if ((first && !settings) || interleaved) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  switch (header.type) {
    case FrameType::Data:
      onData(header, payload);
      break;
    case FrameType::Headers:
      onHeaders(header, payload);
      break;
    case FrameType::Continuation:
      onContinuation(header, payload);
      break;
    case FrameType::Priority:
      onPriority(header, payload);
      break;
    case FrameType::PriorityUpdate:
      onPriorityUpdate(header, payload);
      break;
    case FrameType::RstStream:
      onRstStream(header, payload);
      break;
    case FrameType::Settings:
      onSettings(header, payload);
      break;
    case FrameType::Ping:
      onPing(header, payload);
      break;
    case FrameType::WindowUpdate:
      onWindowUpdate(header, payload);
      break;
    case FrameType::GoAway:
      // The client opens no more streams; it closes when those that there are have ended.
      if (header.stream != 0 || header.length < kGoAwayBytes) {
        fail(header.stream != 0 ? ErrorCode::ProtocolError : ErrorCode::FrameSizeError,
             Reason::Http2ProtocolError);
      } else {
        spendFrame();
      }
      break;
    case FrameType::PushPromise:
      fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
      break;
    default:
      spendFrame();
      break;
  }
}

void ServerConnection::onData(const FrameHeader& header, std::string_view payload) {
  if (header.stream == 0 || header.stream > lastStream_) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  if (!receiveWindow_.take(header.length)) {
    fail(ErrorCode::FlowControlError, Reason::Http2ProtocolError);
    return;
  }
  const std::optional<std::string_view> content = withoutPadding(header, payload);
  if (!content) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  const bool ended = header.has(kEndStream);
  if (!content->empty()) {
    frames_.earn(1);
  } else if (!ended && !spendFrame()) {
    return;
  }
  if (ServerStream* stream = find(header.stream)) {
    stream->onData(header.length, *content, ended);
    return;
  }
  giveBack(header.length);
  if (!wasReset(header.stream) && header.stream <= lastTaken_)
    refuse(header.stream, ErrorCode::StreamClosed);
}

void ServerConnection::onHeaders(const FrameHeader& header, std::string_view payload) {
  const std::optional<std::string_view> fragment = withoutPadding(header, payload);
  if (header.stream % 2 == 0 || !fragment) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  if (header.has(kEndHeaders)) {
    onBlock(header.stream, header.has(kEndStream), *fragment);
    return;
  }
  block_.stream = header.stream;
  block_.endStream = header.has(kEndStream);
  block_.bytes.keep(context_.codec.pool, *fragment);
  restDeadline();
}

void ServerConnection::onContinuation(const FrameHeader& header, std::string_view payload) {
  if (block_.stream == 0 || header.stream != block_.stream) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  if (!spendFrame(Reason::FloodHeaders)) return;
  const std::size_t limit = 2 * std::size_t{settings_.head.headBytes} + kBlockSlack;
  if (block_.bytes.view().size() + payload.size() > limit) {
    fail(ErrorCode::EnhanceYourCalm, Reason::FloodHeaders);
    return;
  }
  block_.bytes.keep(context_.codec.pool, payload);
  if (!header.has(kEndHeaders)) return;
  const std::uint32_t stream = std::exchange(block_.stream, 0);
  onBlock(stream, block_.endStream, block_.bytes.view());
  block_.bytes.clear();
  if (live()) restDeadline();
}

void ServerConnection::onPriority(const FrameHeader& header, std::string_view) {
  if (header.stream == 0) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
  } else if (header.length != kPriorityBytes) {
    fail(ErrorCode::FrameSizeError, Reason::Http2ProtocolError);
  } else {
    // RFC 9113 5.3.2: the scheme that it belongs to is no more.
    spendFrame();
  }
}

void ServerConnection::onPriorityUpdate(const FrameHeader& header, std::string_view payload) {
  constexpr std::size_t kIdBytes = 4;
  if (header.stream != 0 || header.length < kIdBytes) {
    fail(header.stream != 0 ? ErrorCode::ProtocolError : ErrorCode::FrameSizeError,
         Reason::Http2ProtocolError);
    return;
  }
  const std::uint32_t id = load32(payload.data()) & kMaxStreamId;
  if (id % 2 == 0) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  if (!spendFrame()) return;
  const Priority priority = parsePriority(payload.substr(kIdBytes));
  if (id > lastStream_ && id <= lastTaken_) awaited_.keep(id, priority);
  ServerStream* const stream = find(id);
  if (stream == nullptr || stream->responseEnded()) return;
  scheduler_.remove(*stream);
  stream->setPriority(priority);
  scheduler_.add(*stream);
}

void ServerConnection::onRstStream(const FrameHeader& header, std::string_view) {
  if (header.stream == 0 || header.stream > lastStream_) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  if (header.length != kRstStreamBytes) {
    fail(ErrorCode::FrameSizeError, Reason::Http2ProtocolError);
    return;
  }
  ServerStream* const stream = find(header.stream);
  if (stream == nullptr) {
    spendFrame();
    return;
  }
  context_.codec.counters.http2ResetsReceived.add();
  // Where the response has been given away whole, nothing was done in vain.
  const bool vain = !stream->responseEnded();
  const std::uint32_t tokens = stream->begun() ? kTokensOfBegun : 1;
  stream->onGone(Reason::ClientClosed);
  if (vain) spendReset(tokens);
}

void ServerConnection::onSettings(const FrameHeader& header, std::string_view payload) {
  if (header.stream != 0) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
    return;
  }
  if (header.length % kSettingBytes != 0 || (header.has(kAck) && header.length != 0)) {
    fail(ErrorCode::FrameSizeError, Reason::Http2ProtocolError);
    return;
  }
  if (!spendFrame() || header.has(kAck)) return;
  const std::uint32_t window = peerSettings_.initialWindowSize;
  const ErrorCode error = peerSettings_.apply(payload);
  if (error != ErrorCode::NoError) {
    fail(error, Reason::Http2ProtocolError);
    return;
  }
  encoder_.setPeerLimit(peerSettings_.headerTableSize);
  const std::int64_t change = std::int64_t{peerSettings_.initialWindowSize} - window;
  for (ServerStream* s = streams_.front(); s != nullptr && change != 0; s = streams_.after(s)) {
    if (s->changeSendWindow(change)) continue;
    fail(ErrorCode::FlowControlError, Reason::Http2ProtocolError);
    return;
  }
  out_.commit(writeFrameHeader(reserve(kFrameHeaderBytes), {0, FrameType::Settings, kAck, 0}));
  if (phase_ == Phase::Preface) {
    phase_ = Phase::Open;
    restDeadline();
  }
  queueFlush();
}

void ServerConnection::onPing(const FrameHeader& header, std::string_view payload) {
  if (header.stream != 0 || header.length != kPingBytes) {
    fail(header.stream != 0 ? ErrorCode::ProtocolError : ErrorCode::FrameSizeError,
         Reason::Http2ProtocolError);
    return;
  }
  if (header.has(kAck) && draining_ && !lastNamed_ && payload == kDrainPing) {
    nameLast();
    return;
  }
  if (!spendFrame() || header.has(kAck)) return;
  out_.commit(writePing(reserve(kPingFrame), payload, true));
  queueFlush();
}

void ServerConnection::onWindowUpdate(const FrameHeader& header, std::string_view payload) {
  if (header.length != kWindowUpdateBytes || header.stream > lastStream_) {
    fail(header.length != kWindowUpdateBytes ? ErrorCode::FrameSizeError : ErrorCode::ProtocolError,
         Reason::Http2ProtocolError);
    return;
  }
  if (!spendFrame()) return;
  const std::uint32_t increment = load32(payload.data()) & kMaxWindow;
  if (header.stream != 0) {
    if (ServerStream* stream = find(header.stream)) stream->onWindowUpdate(increment);
  } else if (increment == 0) {
    fail(ErrorCode::ProtocolError, Reason::Http2ProtocolError);
  } else if (!sendWindow_.grow(increment)) {
    fail(ErrorCode::FlowControlError, Reason::Http2ProtocolError);
  } else if (!scheduler_.empty()) {
    queueFlush();
  }
}

// Requests

void ServerConnection::onBlock(std::uint32_t id, bool endStream, std::string_view block) {
  if (id > lastStream_) {
    onRequestBlock(id, endStream, block);
  } else {
    onTrailerBlock(find(id), id, endStream, block);
  }
}

bool ServerConnection::decode(std::string_view block, HpackSink& sink) {
  const HpackError error = decoder_.decode(bytesOf(block), context_.textRoom, sink);
  if (error == HpackError::None) return true;
  if (error == HpackError::TooLarge) {
    fail(ErrorCode::EnhanceYourCalm, Reason::FloodHeaders);
  } else {
    fail(ErrorCode::CompressionError, Reason::Http2ProtocolError);
  }
  return false;
}

void ServerConnection::onRequestBlock(std::uint32_t id, bool endStream, std::string_view block) {
  RequestCollector collector(context_.codec.requestHead, context_.headRoom, settings_.head);
  if (!decode(block, collector)) return;
  lastStream_ = id;
  // RFC 9113 6.8: none that we have said we would take.
  if (id > lastTaken_) return;
  const HeadFault fault = collector.finish(endStream);
  if (streamCount_ >= settings_.streams) {
    refuse(id, ErrorCode::RefusedStream);
    return;
  }
  if (fault != HeadFault::None) vainLeft_ -= kVainOfRefusedHead;
  frames_.earn(kFramesPerRequest);
  if (isMalformed(fault) && !spendReset()) return;
  take(id, fault, endStream);
  if (++served_ >= settings_.maxRequests && live()) nameLast();
}

void ServerConnection::take(std::uint32_t id, HeadFault fault, bool endStream) {
  RequestHead& head = context_.codec.requestHead;
  ServerStream* const stream = home_.streams.create(*this, id);
  if (streamCount_++ == 0) {
    setIdle(false);
    restDeadline();
  }
  context_.codec.counters.http2StreamsActive.add();
  streams_.pushBack(stream);
  ServerStream*& bucket = bucketOf(id);
  stream->nextInBucket = bucket;
  bucket = stream;
  if (fault == HeadFault::None) {
    stream->takeHead(head.line, endStream);
    // What a frame says counts more than the field (RFC 9218 7).
    const std::optional<Priority> awaited = awaited_.take(id);
    stream->setPriority(awaited ? *awaited : parsePriority(priorityOf(head)));
    stream->setEvents(host_.onRequest(*stream, head));
    waiting_.pushBack(stream);
    return;
  }
  RequestLine unread;
  stream->takeHead(unread, endStream);
  if (isMalformed(fault)) stream->takeMalformed();
  stream->setEvents(host_.onRefused(*stream, Protocol::Http2, reasonOf(fault)));
}

// After all that was read has been processed: what it takes back again (CVE-2023-44487), or has us
// reset (CVE-2025-8671), has cost a head and no more.
bool ServerConnection::beginRequests() {
  busy_ = true;
  while (live() && beginsLeft_ > 0 && vainLeft_ > 0) {
    ServerStream* const stream = waiting_.popFront();
    if (stream == nullptr) break;
    --beginsLeft_;
    stream->begin();
  }
  busy_ = false;
  // What was sent on is borrowed from what was read until it is flushed.
  context_.codec.loop.flushNow();
  return phase_ != Phase::Closed;
}

void ServerConnection::onTrailerBlock(ServerStream* stream, std::uint32_t id, bool endStream,
                                      std::string_view block) {
  if (stream == nullptr) {
    IgnoredFields ignored;
    if (decode(block, ignored) && !wasReset(id) && id <= lastTaken_)
      refuse(id, ErrorCode::StreamClosed);
    return;
  }
  TrailerCollector collector(context_.codec.trailers, context_.headRoom, settings_.head);
  if (!decode(block, collector)) return;
  if (!endStream || collector.finish() != HeadFault::None) {
    streamError(*stream,
                stream->remoteEnded() ? ErrorCode::StreamClosed : ErrorCode::ProtocolError);
    return;
  }
  stream->onTrailers(context_.codec.trailers);
}

// A stream that there is not, or that cannot be.
void ServerConnection::refuse(std::uint32_t id, ErrorCode code) {
  writeRstStream(id, code);
  spendReset();
}

bool ServerConnection::spendFrame(Reason reason) {
  if (frames_.spend(context_.codec.loop.nowMillis())) return true;
  fail(ErrorCode::EnhanceYourCalm, reason);
  return false;
}

bool ServerConnection::spendReset(std::uint32_t tokens) {
  vainLeft_ -= static_cast<int>(tokens);
  if (resets_.spend(context_.codec.loop.nowMillis(), tokens)) return true;
  fail(ErrorCode::EnhanceYourCalm, Reason::FloodResets);
  return false;
}

void ServerConnection::earnReset() { resets_.earn(kTokensOfResponse); }

// What streams ask for

ServerStream* ServerConnection::find(std::uint32_t id) const {
  ServerStream* stream = buckets_[id / 2 % kBuckets];
  while (stream != nullptr && stream->id() != id) stream = stream->nextInBucket;
  return stream;
}

void ServerConnection::giveBack(std::uint32_t bytes) {
  const std::uint32_t increment = receiveWindow_.giveBack(bytes);
  if (increment == 0 || !live()) return;
  out_.commit(writeWindowUpdate(reserve(kWindowUpdateFrame), 0, increment));
  queueFlush();
}

void ServerConnection::writeRstStream(std::uint32_t id, ErrorCode code) {
  context_.codec.counters.http2ResetsSent.add();
  reset_[nextReset_++ % reset_.size()] = id;
  out_.commit(http2::writeRstStream(reserve(kRstStreamFrame), id, code));
  queueFlush();
}

bool ServerConnection::wasReset(std::uint32_t id) const {
  return std::ranges::find(reset_, id) != reset_.end();
}

void ServerConnection::resetStream(ServerStream& stream, ErrorCode code, Reason reason) {
  writeRstStream(stream.id(), code);
  stream.onGone(reason);
}

void ServerConnection::streamError(ServerStream& stream, ErrorCode code) {
  const std::uint32_t tokens = stream.begun() ? kTokensOfBegun : 1;
  resetStream(stream, code, Reason::BadRequest);
  spendReset(tokens);
}

void ServerConnection::remove(ServerStream& stream) {
  stream.ListNode<StreamLink>::unlink();
  if (stream.responseEnded()) {
    stream.ListNode<ScheduleLink>::unlink();
  } else {
    scheduler_.remove(stream);
  }
  stream.ListNode<AttentionLink>::unlink();
  ServerStream** place = &bucketOf(stream.id());
  while (*place != &stream) place = &(*place)->nextInBucket;
  *place = stream.nextInBucket;
  stream.onRemoved();
  closed_.pushBack(&stream);
  queueFlush();
  context_.codec.counters.http2StreamsActive.sub();
  if (--streamCount_ > 0 || !live()) return;
  if (lastNamed_) {
    linger();
  } else {
    setIdle(true);
    restDeadline();
  }
}

// Output

bool ServerConnection::mayWrite(std::size_t bytes) const {
  return live() && scheduler_.empty() && !blocked_ && out_.size() + bytes <= kOutputTarget &&
         sendWindow_.available() >= bytes;
}

void ServerConnection::queueFlush() {
  if (phase_ == Phase::Closed) return;
  if (out_.size() < kWriteAtOnce) {
    context_.codec.loop.flushAfterTurn(*this);
  } else {
    flushSoon();
  }
}

// After the event, and not at the end of the turn.
void ServerConnection::flushSoon() {
  if (blocked_) {
    context_.codec.loop.flushAfterTurn(*this);
    return;
  }
  Pollable::ListNode<FlushLink>::unlink();
  context_.codec.loop.flushLater(*this);
}

void ServerConnection::writeDue() {
  while (live() && !blocked_ && out_.size() < kOutputTarget) {
    const std::uint32_t limit = std::min(sendWindow_.available(), kMaxFrameBytes);
    ServerStream* const stream = limit > 0 ? scheduler_.next() : nullptr;
    if (stream == nullptr) return;
    stream->writeSome(limit);
    if (!stream->responseEnded()) scheduler_.wrote(*stream);
  }
}

void ServerConnection::onFlush() {
  if (phase_ == Phase::Closed) return;
  if (busy_) {
    context_.codec.loop.flushAfterTurn(*this);
    return;
  }
  busy_ = true;
  for (;;) {
    writeDue();
    if (out_.empty()) break;
    const Output::FlushResult result = out_.flush(transport_);
    context_.codec.counters.clientBytesWritten.add(result.bytes);
    if (result.status == Output::Status::Failed) {
      busy_ = false;
      gone(Reason::ClientClosed);
      return;
    }
    finishWritten();
    if (result.status == Output::Status::Blocked) {
      if (!blocked_ || result.bytes > 0) setDeadline(settings_.writeTimeout);
      blocked_ = true;
      break;
    }
    if (std::exchange(blocked_, false)) restDeadline();
  }
  tellStreams();
  busy_ = false;
  reap();
  if (phase_ == Phase::Lingering && out_.empty() && streams_.empty() &&
      !std::exchange(ended_, true))
    transport_.shutdownWrite();
  goOnIfDue();
}

void ServerConnection::finishWritten() {
  for (ServerStream* s = ending_.front(); s != nullptr && s->endPosition() <= out_.written();
       s = ending_.front())
    s->onWritten();
}

void ServerConnection::tellStreams() {
  IntrusiveList<ServerStream, AttentionLink> told;
  told.splice(attention_);
  while (ServerStream* stream = told.popFront()) stream->onAttention();
}

void ServerConnection::reap() {
  while (ServerStream* stream = closed_.popFront()) home_.streams.destroy(stream);
}

// Streams that are above the one named before are not named any more.
void ServerConnection::writeGoAway(std::uint32_t last, ErrorCode code) {
  last = std::min(last, lastTaken_);
  out_.commit(http2::writeGoAway(reserve(kGoAwayFrame), last, code));
  queueFlush();
}

// The end

void ServerConnection::drain() {
  if (!live() || draining_) return;
  draining_ = true;
  if (phase_ == Phase::Preface) {
    nameLast();
    return;
  }
  // RFC 9113 6.8: first that it ends; which stream is the last when those that were on their way
  // must have come.
  writeGoAway(kMaxStreamId, ErrorCode::NoError);
  out_.commit(writePing(reserve(kPingFrame), kDrainPing, false));
  setDeadline(kDrainMillis);
}

void ServerConnection::nameLast() {
  if (lastNamed_) return;
  draining_ = lastNamed_ = true;
  lastTaken_ = lastStream_;
  writeGoAway(lastStream_, ErrorCode::NoError);
  if (streamCount_ == 0) {
    linger();
  } else {
    restDeadline();
  }
}

void ServerConnection::closeNow() {
  if (live()) writeGoAway(lastStream_, ErrorCode::NoError);
  endStreams(endReason_ == Reason::None ? Reason::Draining : endReason_);
  if (phase_ == Phase::Closed) {
    context_.codec.loop.disposeLater(*this);
    return;
  }
  out_.flush(transport_);
  close();
}

void ServerConnection::fail(ErrorCode code, Reason reason) {
  if (!live()) return;
  writeGoAway(lastStream_, code);
  linger();
  // A flood is the connection's: the requests that end with it are none.
  endStreamsLater(isFlood(reason) ? Reason::ClientClosed : reason);
  if (isFlood(reason)) report(reason);
}

// One line of the access log, and one in the count of its reason.
void ServerConnection::report(Reason reason) {
  Unanswered nobody(peer_);
  host_.onRefused(nobody, Protocol::Http2, reason).onClientDone();
}

void ServerConnection::endStreams(Reason reason) {
  while (ServerStream* stream = streams_.front()) stream->onGone(reason);
}

void ServerConnection::endStreamsLater(Reason reason) {
  if (endReason_ == Reason::None) endReason_ = reason;
  if (!streams_.empty()) context_.codec.loop.goOnLater(*this);
}

void ServerConnection::endSome() {
  busy_ = true;
  for (int i = 0; i < kEndsPerTurn; ++i) {
    ServerStream* const stream = streams_.front();
    if (stream == nullptr) break;
    stream->onGone(endReason_);
  }
  busy_ = false;
  reap();
  if (!streams_.empty()) {
    context_.codec.loop.goOnLater(*this);
  } else if (phase_ == Phase::Closed) {
    context_.codec.loop.disposeLater(*this);
  } else {
    queueFlush();
  }
}

void ServerConnection::gone(Reason reason) {
  close();
  endStreamsLater(reason);
}

void ServerConnection::linger() {
  // Closing with unread bytes would send a reset, which may overtake what was said last.
  phase_ = Phase::Lingering;
  setIdle(false);
  lingerBytes_ = kLingerBytes;
  block_.bytes.clear();
  setDeadline(kLingerMillis);
  queueFlush();
}

void ServerConnection::close() {
  if (phase_ == Phase::Closed) return;
  setIdle(false);
  context_.codec.counters.connectionsActive.sub();
  phase_ = Phase::Closed;
  deadline_.clear();
  deadline_.unlink();
  out_.clear();
  in_.clear();
  transport_.close();
  EventLoop::forget(*this);
  // Else the last of its streams takes it along.
  if (streams_.empty()) {
    context_.codec.loop.disposeLater(*this);
  } else {
    context_.codec.loop.goOnLater(*this);
  }
}

void ServerConnection::onDispose() {
  reap();
  host_.onClosed(*this);
  home_.connections.destroy(this);
}

void ServerConnection::setIdle(bool idle) {
  if (idle == idle_) return;
  idle_ = idle;
  if (idle) {
    context_.codec.counters.connectionsIdle.add();
  } else {
    context_.codec.counters.connectionsIdle.sub();
  }
}

// What is waited for now.
void ServerConnection::restDeadline() {
  if (blocked_ || !live()) return;
  if (phase_ == Phase::Preface || block_.stream != 0) {
    setDeadline(settings_.headTimeout);
  } else if (draining_ && !lastNamed_) {
    setDeadline(kDrainMillis);
  } else if (streamCount_ == 0) {
    rested_ = settings_.idleTimeout <= kRestMillis;
    setDeadline(rested_ ? settings_.idleTimeout : kRestMillis);
  } else {
    rested_ = true;
    deadline_.clear();
  }
}

void ServerConnection::onDeadline() {
  if (phase_ == Phase::Lingering) {
    close();
  } else if (blocked_) {
    gone(Reason::ClientWriteTimeout);
  } else if (block_.stream != 0) {
    fail(ErrorCode::EnhanceYourCalm, Reason::FloodHeaders);
  } else if (phase_ == Phase::Open && !draining_ && !std::exchange(rested_, true)) {
    transport_.rest();
    encoder_.rest();
    setDeadline(settings_.idleTimeout == kForever ? kForever : settings_.idleTimeout - kRestMillis);
  } else {
    nameLast();
  }
}

void ServerConnection::setDeadline(std::uint64_t millisFromNow) {
  EventLoop& loop = context_.codec.loop;
  deadline_.set(loop.timers(), millisFromNow == kForever ? 0 : loop.nowMillis() + millisFromNow);
}

}  // namespace tidegate::http2
