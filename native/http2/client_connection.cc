// Order of this file: birth, streams, sending, reading, frames, time, the end.
#include "http2/client_connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "http2/request_writer.h"

namespace tidegate::http2 {

namespace {

// The connection's own window holds nothing up: every byte is given back as it comes, because what
// stays is a matter of the streams' windows.
constexpr std::uint32_t kEndpointWindow = 4 * 1024 * 1024;

// DATA beyond that waits in its streams, so that a write stays short and the streams take turns.
constexpr std::size_t kOutputBytes = 128 * 1024;

// With so much unread by the peer, nothing is added to it.
constexpr std::size_t kMaxOutputBytes = 1024 * 1024;

// Of one field block, whatever it decodes to.
constexpr std::size_t kMaxResponseBlock = 128 * 1024;
static_assert(kMaxResponseBlock <= kMaxBlockBytes);
constexpr std::uint32_t kMaxBlockFrames = 64;

// Frames that make work for this side and do none.
constexpr std::uint32_t kBudgetBurst = 2'000;
constexpr std::uint32_t kBudgetPerSecond = 100;

// Ids that are left for streams that have none yet, when the connection takes no more.
constexpr std::uint32_t kSpareIds = 64 * 1024;

constexpr std::string_view kPing = "tidegate";

// For blocks that nobody wants.
class NoFields final : public HpackSink {
 public:
  void onField(std::string_view, std::string_view, bool) override {}
};

}  // namespace

// Birth

ClientConnection::ClientConnection(Context& context, ClientHost& host, Transport transport,
                                   const ClientSettings& settings, Slab<EndpointStream>& streams,
                                   std::uint32_t peerStreams)
    : http2_(context),
      context_(context.codec),
      host_(host),
      transport_(std::move(transport)),
      settings_(settings),
      slab_(streams),
      receiveWindow_(kEndpointWindow),
      budget_(kBudgetBurst, kBudgetPerSecond),
      openedAt_(context_.loop.nowMillis()),
      heardAt_(context_.loop.nowMillis()),
      peerStreams_(peerStreams) {
  context_.counters.upstreamActive.add();
}

bool ClientConnection::start(std::uint64_t connectMillis) {
  if (!context_.loop.add(transport_.fd(), *this)) {
    close(StreamFailure::ConnectRefused);
    return false;
  }
  connectBy_ = context_.loop.nowMillis() + connectMillis;
  arm();
  return true;
}

void ClientConnection::establish() {
  const IoResult result = transport_.establish();
  if (result.status == IoResult::Status::WouldBlock) return;
  const bool established = result.status == IoResult::Status::Ok;
  const std::string_view why = transport_.failure();
  if (!established && !why.empty()) host_.onTlsFailed(why);
  host_.onConnected(established);
  if (!established) {
    close(why.empty() ? StreamFailure::ConnectRefused : StreamFailure::TlsFailed);
    return;
  }
  phase_ = Phase::Open;
  readable_ = !result.drained;
  heardAt_ = context_.loop.nowMillis();
  arm();
  sendPreface();
  while (EndpointStream* stream = connecting_.popFront()) stream->onConnected();
}

void ClientConnection::sendPreface() {
  constexpr std::size_t kSettings = 3;
  char* at =
      reserve(kPreface.size() + kFrameHeaderBytes + kSettings * kSettingBytes + kWindowUpdateFrame);
  at += kPreface.copy(at, kPreface.size());
  at = writeFrameHeader(at, {kSettings * kSettingBytes, FrameType::Settings, 0, 0});
  at = writeSetting(at, Setting::EnablePush, 0);
  at = writeSetting(at, Setting::InitialWindowSize, kStreamWindow);
  at = writeSetting(at, Setting::MaxHeaderListSize, settings_.responseLimits.headBytes);
  commit(writeWindowUpdate(at, 0, kEndpointWindow - kDefaultWindow));
}

// Streams

bool ClientConnection::hasRoom() const {
  return phase_ != Phase::Closed && !draining_ && !peerEnding_ && !writeBroken_ &&
         streamCount_ < std::min(settings_.maxStreams, peerStreams_) &&
         out_.size() < kMaxOutputBytes;
}

EndpointStream& ClientConnection::open(UpstreamStreamEvents& events) {
  EndpointStream* const stream = slab_.create(*this, events, peer_.initialWindowSize, framesHeard_);
  all_.pushBack(stream);
  ++streamCount_;
  context_.counters.upstreamStreams.add();
  ++served_;
  wake();
  if (phase_ == Phase::Connecting) connecting_.pushBack(stream);
  return *stream;
}

void ClientConnection::remove(EndpointStream& stream) {
  if (stream.id() != 0) table_.remove(stream);
  stream.ListNode<StreamLink>::unlink();
  stream.ListNode<TurnLink>::unlink();
  stream.ListNode<ReportLink>::unlink();
  --streamCount_;
  context_.counters.upstreamStreams.sub();
  if (phase_ == Phase::Closed) return;
  if (!draining_) {
    host_.onStreamEnded(*this);
  } else if (streamCount_ == 0) {
    // Not at once: whoever ends the stream may be reading this connection.
    context_.loop.goOnLater(*this);
  }
}

void ClientConnection::drain() {
  draining_ = true;
  host_.onUnusable(*this);
  if (streamCount_ == 0) context_.loop.goOnLater(*this);
}

void ClientConnection::rest() {
  idleSince_ = context_.loop.nowMillis();
  rested_ = false;
  arm();
}

// Sending

std::uint32_t ClientConnection::takeId() {
  const std::uint32_t id = nextId_;
  nextId_ += 2;
  if (nextId_ > kMaxStreamId - kSpareIds && !draining_) drain();
  return id;
}

void ClientConnection::sendHead(EndpointStream& stream, const OutgoingRequest& head,
                                bool endStream) {
  table_.insert(stream);
  writeRequestHead(out_, context_.pool, encoder_, stream.id(), head, settings_.scheme, endStream);
  budget_.earn(1);
  flushAfterTurn();
}

std::size_t ClientConnection::sendData(EndpointStream& stream, std::string_view bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size() && !blocked_ && out_.size() < kOutputBytes) {
    const std::size_t length = std::min({bytes.size() - sent, std::size_t{kMaxFrameBytes},
                                         std::size_t{sendWindow_.available()},
                                         std::size_t{stream.sendWindow().available()}});
    if (length == 0) break;
    sendWindow_.take(static_cast<std::uint32_t>(length));
    stream.sendWindow().take(static_cast<std::uint32_t>(length));
    FrameHeader frame;
    frame.length = static_cast<std::uint32_t>(length);
    frame.type = FrameType::Data;
    frame.stream = stream.id();
    stream.noteFrame(out_.position());
    char* const at = writeFrameHeader(reserve(kFrameHeaderBytes + length), frame);
    commit(at + bytes.copy(at, length, sent));
    sent += length;
    // Each may be answered by two WINDOW_UPDATEs.
    budget_.earn(2);
  }
  return sent;
}

void ClientConnection::commit(const char* end) {
  out_.commit(end);
  flushAfterTurn();
}

void ClientConnection::sendEnd(EndpointStream& stream, const HeadFields* trailers) {
  flushAfterTurn();
  if (trailers != nullptr) {
    writeTrailers(out_, context_.pool, encoder_, stream.id(), *trailers);
  } else if (stream.lastFrame() == EndpointStream::kNoFrame ||
             !out_.addFlags(stream.lastFrame(), kEndStream)) {
    // The last part of the body has gone.
    commit(writeFrameHeader(reserve(kFrameHeaderBytes),
                            {0, FrameType::Data, kEndStream, stream.id()}));
  }
}

void ClientConnection::sendReset(std::uint32_t stream, ErrorCode code) {
  if (phase_ != Phase::Open) return;
  commit(writeRstStream(reserve(kRstStreamFrame), stream, code));
}

void ClientConnection::sendWindowUpdate(std::uint32_t stream, std::uint32_t increment) {
  commit(writeWindowUpdate(reserve(kWindowUpdateFrame), stream, increment));
}

void ClientConnection::awaitTurn(EndpointStream& stream) {
  if (!stream.ListNode<TurnLink>::linked()) sending_.pushBack(&stream);
  awaitReport(stream);
}

void ClientConnection::awaitReport(EndpointStream& stream) {
  if (!stream.ListNode<ReportLink>::linked()) reports_.pushBack(&stream);
  flushAfterTurn();
}

void ClientConnection::onFlush() {
  if (phase_ != Phase::Open) return;
  if (writeBroken_) {
    out_.clear();
    return;
  }
  for (bool more = true; more;) {
    if (!blocked_) sendPending();
    if (phase_ != Phase::Open) return;
    const Output::FlushResult result = out_.flush(transport_);
    context_.counters.upstreamBytesWritten.add(result.bytes);
    if (result.status == Output::Status::Failed) {
      onWriteFailure();
      return;
    }
    blocked_ = result.status == Output::Status::Blocked;
    more = !blocked_ && !sending_.empty() && sendWindow_.available() > 0;
  }
  reportBlocked();
}

// A frame each in turn. Streams whose own window is used up come back with a WINDOW_UPDATE.
void ClientConnection::sendPending() {
  while (sendWindow_.available() > 0 && out_.size() < kOutputBytes) {
    EndpointStream* const stream = sending_.popFront();
    if (stream == nullptr) return;
    if (stream->sendPending() && !stream->ListNode<TurnLink>::linked()) sending_.pushBack(stream);
    if (phase_ != Phase::Open) return;
  }
}

void ClientConnection::reportBlocked() {
  while (EndpointStream* stream = reports_.popFront()) stream->reportBlocked();
}

// The endpoint may have answered before it closed: what it said is read first.
void ClientConnection::onWriteFailure() {
  writeBroken_ = true;
  out_.clear();
  host_.onUnusable(*this);
  readable_ = peerEnding_ = true;
  context_.loop.goOnLater(*this);
}

// Reading

void ClientConnection::onEvents(std::uint32_t events) {
  if (phase_ == Phase::Closed) return;
  if (phase_ == Phase::Connecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    establish();
    if (phase_ != Phase::Open) return;
  }
  if ((events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) peerEnding_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0 && blocked_) {
    blocked_ = false;
    flushAfterTurn();
  }
  pump();
}

void ClientConnection::onReady() {
  pump();
  if (!draining_ || streamCount_ > 0) return;
  if (phase_ == Phase::Open) {
    sayGoodbye(ErrorCode::NoError);
  } else {
    close(StreamFailure::Closed);
  }
}

void ClientConnection::pump() {
  for (int round = 0; round < kReadsPerTurn && phase_ == Phase::Open && readable_; ++round) {
    // What is left of a frame stands in front of what comes.
    const std::string_view kept = in_.view();
    const std::span<char> buffer(context_.readBuffer);
    std::copy(kept.begin(), kept.end(), buffer.begin());
    const std::size_t before = kept.size();
    const IoResult io = transport_.read(buffer.subspan(before));
    if (io.status == IoResult::Status::WouldBlock) {
      readable_ = false;
      if (writeBroken_) close(StreamFailure::WriteFailed);
      break;
    }
    if (io.status != IoResult::Status::Ok) {
      close(StreamFailure::Closed);
      break;
    }
    context_.counters.upstreamBytesRead.add(io.bytes);
    if (io.drained && !peerEnding_) readable_ = false;
    heardAt_ = context_.loop.nowMillis();
    pingedAt_ = 0;
    const std::string_view bytes(buffer.data(), before + io.bytes);
    const std::size_t used = process(bytes);
    if (phase_ == Phase::Open) {
      in_.clear();
      in_.keep(context_.pool, bytes.substr(used));
    }
    context_.loop.flushNow();
  }
  context_.loop.flushNow();
  if (phase_ == Phase::Open && readable_) context_.loop.goOnLater(*this);
}

std::size_t ClientConnection::process(std::string_view bytes) {
  std::size_t used = 0;
  while (phase_ == Phase::Open && used < bytes.size()) {
    const std::string_view rest = bytes.substr(used);
    if (dataLeft_ > 0) {
      used += onData(rest);
      continue;
    }
    if (rest.size() < kFrameHeaderBytes) break;
    const FrameHeader frame = readFrameHeader(rest.data());
    const bool first = !settled_ && (frame.type != FrameType::Settings || frame.has(kAck));
    const bool within = blockFrames_ > 0 && frame.type != FrameType::Continuation;
    if (first || within) {
      refuse(ErrorCode::ProtocolError);
      break;
    }
    if (frame.length > kMaxFrameBytes) {
      refuse(ErrorCode::FrameSizeError);
      break;
    }
    std::size_t size = kFrameHeaderBytes;
    if (frame.type == FrameType::Data) {
      size = beginData(frame, rest.substr(kFrameHeaderBytes));
    } else if (rest.size() - kFrameHeaderBytes >= frame.length) {
      size += frame.length;
      ++framesHeard_;
      onFrame(frame, rest.substr(kFrameHeaderBytes, frame.length));
    } else {
      break;
    }
    if (size == 0) break;
    used += size;
  }
  return used;
}

// Returns how many bytes it has used, the frame's header included; 0: more are needed.
std::size_t ClientConnection::beginData(const FrameHeader& frame, std::string_view bytes) {
  std::uint32_t lengthBytes = 0;
  padding_ = 0;
  if (frame.has(kPadded) && frame.length > 0) {
    if (bytes.empty()) return 0;
    lengthBytes = 1;
    padding_ = static_cast<std::uint8_t>(bytes.front());
  }
  const std::size_t used = kFrameHeaderBytes + lengthBytes;
  ++framesHeard_;
  if (isIdle(frame.stream) || (frame.has(kPadded) && padding_ >= frame.length)) {
    refuse(ErrorCode::ProtocolError);
    return used;
  }
  if (!receiveWindow_.take(frame.length)) {
    refuse(ErrorCode::FlowControlError);
    return used;
  }
  const std::uint32_t increment = receiveWindow_.giveBack(frame.length);
  if (increment > 0) sendWindowUpdate(0, increment);
  data_ = frame;
  dataLeft_ = frame.length - lengthBytes;
  const std::uint32_t body = dataLeft_ - padding_;
  if (body > 0) {
    budget_.earn(1);
  } else if (!frame.has(kEndStream) && !budget_.spend(context_.loop.nowMillis())) {
    refuse(ErrorCode::EnhanceYourCalm);
    return used;
  }
  EndpointStream* const stream = table_.find(frame.stream);
  if (stream == nullptr || !stream->onDataFrame(frame.length)) return used;
  if (lengthBytes > 0) stream->onPadding(padding_ + lengthBytes);
  if (body == 0) stream->onData({}, frame.has(kEndStream));
  return used;
}

std::size_t ClientConnection::onData(std::string_view bytes) {
  const std::uint32_t body = dataLeft_ - padding_;
  if (body == 0) {
    const std::size_t skipped = std::min<std::size_t>(bytes.size(), dataLeft_);
    dataLeft_ -= static_cast<std::uint32_t>(skipped);
    padding_ = dataLeft_;
    return skipped;
  }
  const std::string_view part = bytes.substr(0, body);
  dataLeft_ -= static_cast<std::uint32_t>(part.size());
  EndpointStream* const stream = table_.find(data_.stream);
  if (stream != nullptr) stream->onData(part, part.size() == body && data_.has(kEndStream));
  return part.size();
}

// Frames

// Whether no stream of that id has been opened.
bool ClientConnection::isIdle(std::uint32_t stream) const {
  return (stream & 1) == 0 || stream >= nextId_;
}

void ClientConnection::onFrame(const FrameHeader& frame, std::string_view payload) {
  if (frame.type == FrameType::Headers && table_.find(frame.stream) != nullptr) {
    budget_.earn(1);
  } else if (!budget_.spend(context_.loop.nowMillis())) {
    refuse(ErrorCode::EnhanceYourCalm);
    return;
  }
  switch (frame.type) {
    case FrameType::Headers:
      onHeaders(frame, payload);
      break;
    case FrameType::Continuation:
      onContinuation(frame, payload);
      break;
    case FrameType::Settings:
      onSettings(frame, payload);
      break;
    case FrameType::Ping:
      onPing(frame, payload);
      break;
    case FrameType::GoAway:
      onGoAway(frame, payload);
      break;
    case FrameType::RstStream:
      onReset(frame, payload);
      break;
    case FrameType::WindowUpdate:
      onWindowUpdate(frame, payload);
      break;
    case FrameType::Priority:
      if (payload.size() != kPriorityBytes) refuse(ErrorCode::FrameSizeError);
      break;
    case FrameType::PushPromise:
      // Was switched off (RFC 9113 8.4).
      refuse(ErrorCode::ProtocolError);
      break;
    case FrameType::Data:
    case FrameType::PriorityUpdate:
      break;
  }
  // Others are for those who know them (RFC 9113 5.5).
}

void ClientConnection::onHeaders(const FrameHeader& frame, std::string_view payload) {
  const auto block = withoutPadding(frame, payload);
  if (isIdle(frame.stream) || !block) {
    refuse(ErrorCode::ProtocolError);
    return;
  }
  headers_ = frame;
  if (frame.has(kEndHeaders)) {
    onBlock(*block);
    return;
  }
  blockFrames_ = 1;
  block_.keep(context_.pool, *block);
}

void ClientConnection::onContinuation(const FrameHeader& frame, std::string_view payload) {
  if (blockFrames_ == 0 || frame.stream != headers_.stream) {
    refuse(ErrorCode::ProtocolError);
    return;
  }
  if (++blockFrames_ > kMaxBlockFrames ||
      block_.view().size() + payload.size() > kMaxResponseBlock) {
    refuse(ErrorCode::EnhanceYourCalm);
    return;
  }
  block_.keep(context_.pool, payload);
  if (!frame.has(kEndHeaders)) return;
  blockFrames_ = 0;
  onBlock(block_.view());
  block_.clear();
}

void ClientConnection::onBlock(std::string_view block) {
  const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(block.data()),
                                            block.size());
  EndpointStream* const stream = table_.find(headers_.stream);
  if (stream != nullptr) {
    stream->onFields(bytes, headers_.has(kEndStream));
  } else {
    skip(bytes);
  }
}

bool ClientConnection::decode(std::span<const std::uint8_t> block, HpackSink& sink) {
  if (decoder_.decode(block, http2_.textRoom, sink) == HpackError::None) return true;
  refuse(ErrorCode::CompressionError);
  return false;
}

bool ClientConnection::skip(std::span<const std::uint8_t> block) {
  NoFields nobody;
  return decode(block, nobody);
}

void ClientConnection::onSettings(const FrameHeader& frame, std::string_view payload) {
  const bool badSize = frame.has(kAck) ? !payload.empty() : payload.size() % kSettingBytes != 0;
  if (frame.stream != 0 || badSize) {
    refuse(badSize ? ErrorCode::FrameSizeError : ErrorCode::ProtocolError);
    return;
  }
  if (frame.has(kAck)) return;
  const std::uint32_t window = peer_.initialWindowSize;
  peer_.enablePush = false;
  const ErrorCode error = peer_.apply(payload);
  // Pushing is not for a server to switch on.
  if (error != ErrorCode::NoError || peer_.enablePush) {
    refuse(error != ErrorCode::NoError ? error : ErrorCode::ProtocolError);
    return;
  }
  const bool first = !settled_;
  settled_ = true;
  peerStreams_ = peer_.maxConcurrentStreams;
  encoder_.setPeerLimit(peer_.headerTableSize);
  if (!changeWindows(std::int64_t{peer_.initialWindowSize} - std::int64_t{window})) {
    refuse(ErrorCode::FlowControlError);
    return;
  }
  commit(writeFrameHeader(reserve(kFrameHeaderBytes), {0, FrameType::Settings, kAck, 0}));
  if (first) tellSettled();
}

void ClientConnection::tellSettled() {
  for (EndpointStream* stream = all_.front(); stream != nullptr;) {
    if (!stream->awaitsSettings()) {
      stream = all_.after(stream);
      continue;
    }
    stream->fail(StreamFailure::Unprocessed);
    // What its exchange did then may have ended any other stream.
    stream = all_.front();
  }
}

bool ClientConnection::changeWindows(std::int64_t by) {
  if (by == 0) return true;
  for (EndpointStream* stream = all_.front(); stream != nullptr; stream = all_.after(stream)) {
    if (!stream->sendWindow().change(by)) return false;
    if (by > 0 && stream->hasPending()) awaitTurn(*stream);
  }
  return true;
}

void ClientConnection::onPing(const FrameHeader& frame, std::string_view payload) {
  if (frame.stream != 0 || payload.size() != kPingBytes) {
    refuse(frame.stream != 0 ? ErrorCode::ProtocolError : ErrorCode::FrameSizeError);
    return;
  }
  if (frame.has(kAck)) return;
  commit(writePing(reserve(kPingFrame), payload, true));
}

void ClientConnection::onGoAway(const FrameHeader& frame, std::string_view payload) {
  if (frame.stream != 0 || payload.size() < kGoAwayBytes) {
    refuse(frame.stream != 0 ? ErrorCode::ProtocolError : ErrorCode::FrameSizeError);
    return;
  }
  const std::uint32_t last = load32(payload.data()) & kMaxStreamId;
  draining_ = true;
  host_.onUnusable(*this);
  for (EndpointStream* stream = all_.front(); stream != nullptr;) {
    if (stream->id() <= last) {
      stream = all_.after(stream);
      continue;
    }
    // One that has been answered has been acted on, whatever the endpoint says now.
    stream->fail(stream->sawResponse() ? StreamFailure::Closed : StreamFailure::Unprocessed);
    // What its exchange did then may have ended any other stream.
    stream = all_.front();
  }
  if (phase_ == Phase::Open && streamCount_ == 0) context_.loop.goOnLater(*this);
}

void ClientConnection::onReset(const FrameHeader& frame, std::string_view payload) {
  if (isIdle(frame.stream) || payload.size() != kRstStreamBytes) {
    refuse(isIdle(frame.stream) ? ErrorCode::ProtocolError : ErrorCode::FrameSizeError);
    return;
  }
  EndpointStream* const stream = table_.find(frame.stream);
  if (stream != nullptr) stream->onReset(static_cast<ErrorCode>(load32(payload.data())));
}

void ClientConnection::onWindowUpdate(const FrameHeader& frame, std::string_view payload) {
  if (payload.size() != kWindowUpdateBytes) {
    refuse(ErrorCode::FrameSizeError);
    return;
  }
  const std::uint32_t increment = load32(payload.data()) & kMaxWindow;
  if (frame.stream == 0) {
    if (increment == 0 || !sendWindow_.grow(increment)) {
      refuse(increment == 0 ? ErrorCode::ProtocolError : ErrorCode::FlowControlError);
    } else if (!sending_.empty()) {
      flushAfterTurn();
    }
    return;
  }
  if (isIdle(frame.stream)) {
    refuse(ErrorCode::ProtocolError);
    return;
  }
  EndpointStream* const stream = table_.find(frame.stream);
  if (stream != nullptr) stream->onWindowUpdate(increment);
}

// Time

// The next thing that time brings: the end of connecting, of idleness, or of silence.
void ClientConnection::arm() {
  constexpr std::uint64_t kNever = ~std::uint64_t{0};
  const auto after = [](std::uint64_t since, std::uint64_t millis) {
    return millis > kNever - since ? kNever : since + millis;
  };
  std::uint64_t next = kNever;
  if (phase_ == Phase::Connecting) {
    next = connectBy_;
  } else {
    next = pingedAt_ != 0 ? after(pingedAt_, settings_.pingTimeout)
                          : after(heardAt_, settings_.pingInterval);
    if (idleSince_ != 0) next = std::min(next, after(idleSince_, settings_.idleTimeout));
    if (idleSince_ != 0 && !rested_) next = std::min(next, after(idleSince_, kRestMillis));
  }
  deadline_.set(context_.loop.timers(), next == kNever ? 0 : next);
}

void ClientConnection::onDeadline() {
  const std::uint64_t now = context_.loop.nowMillis();
  if (phase_ == Phase::Connecting) {
    host_.onConnected(false);
    close(StreamFailure::ConnectTimeout);
  } else if (idleSince_ != 0 && now - idleSince_ >= settings_.idleTimeout) {
    sayGoodbye(ErrorCode::NoError);
  } else if (pingedAt_ != 0 && now - pingedAt_ >= settings_.pingTimeout) {
    close(StreamFailure::Closed);
  } else {
    if (idleSince_ != 0 && !rested_ && now - idleSince_ >= kRestMillis) {
      rested_ = true;
      transport_.rest();
      encoder_.rest();
      headMemo_.rest();
    }
    if (pingedAt_ == 0 && now - heardAt_ >= settings_.pingInterval) {
      pingedAt_ = now;
      commit(writePing(reserve(kPingFrame), kPing, false));
    }
    arm();
  }
  context_.loop.flushNow();
}

// The end

// The peer breaks the rules.
void ClientConnection::refuse(ErrorCode code) {
  if (phase_ != Phase::Open) return;
  context_.counters.upstreamMisconduct.add();
  host_.onRulesBroken(errorCodeName(code));
  sayGoodbye(code, StreamFailure::RulesBroken);
}

void ClientConnection::sayGoodbye(ErrorCode code, StreamFailure failure) {
  if (!writeBroken_) {
    // No stream of the peer's has been taken.
    out_.commit(writeGoAway(reserve(kGoAwayFrame), 0, code));
    out_.flush(transport_);
  }
  close(failure);
}

void ClientConnection::close(StreamFailure failure) {
  if (phase_ == Phase::Closed) return;
  phase_ = Phase::Closed;
  context_.counters.upstreamActive.sub();
  deadline_.clear();
  deadline_.unlink();
  out_.clear();
  transport_.close();
  EventLoop::forget(*this);
  host_.onUnusable(*this);
  while (EndpointStream* stream = all_.front()) stream->fail(failure);
  context_.loop.disposeLater(*this);
}

}  // namespace tidegate::http2
