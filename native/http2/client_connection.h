// The HTTP/2 codec on the upstream's side: one connection to an endpoint, shared by many exchanges
// (RFC 9113).
//
// Owned by the pool of the I/O thread that opened it. What a turn of the loop produces for it goes
// out in one write.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/slab.h"
#include "http/stream.h"
#include "http1/parser.h"
#include "http2/context.h"
#include "http2/endpoint_stream.h"
#include "http2/flood_budget.h"
#include "http2/flow_window.h"
#include "http2/frame.h"
#include "http2/frame_buffer.h"
#include "http2/head_memo.h"
#include "http2/hpack_decoder.h"
#include "http2/hpack_encoder.h"
#include "http2/stream_table.h"
#include "io/input.h"
#include "io/transport.h"

namespace tidegate::http2 {

class ClientConnection;
struct PoolLink;

// Of the pool; outlive the connection and may change meanwhile. Times in milliseconds.
struct ClientSettings {
  http1::HeadLimits responseLimits;
  std::string_view scheme = "http";  // that requests are sent with
  std::uint32_t maxStreams = 0;
  std::uint64_t idleTimeout = 0;
  std::uint64_t pingInterval = 0;
  std::uint64_t pingTimeout = 0;
};

// Who owns the connections: the pool of an endpoint.
class ClientHost {
 public:
  // Whether a connect succeeded, for passive health.
  virtual void onConnected(bool success) = 0;
  // Before onConnected(false), where TLS failed: why, in words that live for ever.
  virtual void onTlsFailed(std::string_view why) = 0;
  // Before the connection is closed for it: the peer broke the rules; `error` is the RFC's name for
  // how, which lives for ever.
  virtual void onRulesBroken(std::string_view error) = 0;
  // A stream has ended, of a connection that takes others: it has room again, and may be without
  // streams now.
  virtual void onStreamEnded(ClientConnection& connection) = 0;
  // It is closed, or takes no more streams; may be told twice.
  virtual void onUnusable(ClientConnection& connection) = 0;
  // It is closed and nothing refers to it: its memory is to be given back.
  virtual void onDisposed(ClientConnection& connection) = 0;

 protected:
  ~ClientHost() = default;
};

class ClientConnection final : public Pollable, public ListNode<PoolLink> {
 public:
  // What this side lets the peer send of one stream. What exchanges do not take is kept, so that
  // this times the streams is what a connection holds at most.
  static constexpr std::uint32_t kStreamWindow = 256 * 1024;

  // `peerStreams`: what is assumed of them.
  ClientConnection(Context& context, ClientHost& host, Transport transport,
                   const ClientSettings& settings, Slab<EndpointStream>& streams,
                   std::uint32_t peerStreams);
  ~ClientConnection() = default;

  // Registers with the loop and waits for the connection at most `connectMillis`. False when
  // registering fails; it is closed then.
  bool start(std::uint64_t connectMillis);

  // Whether open() may be called.
  bool hasRoom() const;
  // The head may be sent at once when isConnected(), else after onUpstreamReady().
  EndpointStream& open(UpstreamStreamEvents& events);
  bool isConnected() const { return phase_ == Phase::Open; }
  bool isClosed() const { return phase_ == Phase::Closed; }

  // No further stream: closes when there is none left.
  void drain();
  // Without streams: gives memory back after a second, and closes when none has come within the
  // idle timeout. open() and wake() end it.
  void rest();
  void wake() { idleSince_ = 0; }
  bool isResting() const { return idleSince_ != 0; }
  // Breaks off whatever is under way, with onUpstreamFailure(Closed).
  void closeNow() { close(StreamFailure::Closed); }

  std::uint32_t streams() const { return streamCount_; }
  std::uint64_t served() const { return served_; }
  std::uint64_t openedAtMillis() const { return openedAt_; }
  // How many streams the endpoint lets be open at a time; assumed until it isSettled().
  std::uint32_t peerStreams() const { return peerStreams_; }
  bool isSettled() const { return settled_; }
  // RFC 8441.
  bool takesWebSockets() const { return peer_.enableConnectProtocol; }
  // Bytes or an end wait to be read.
  bool hasInput() { return peerEnding_ || transport_.hasInput(); }

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onFlush() override;
  void onReady() override;
  void onDispose() override { host_.onDisposed(*this); }

  // For its streams
  CodecContext& context() { return context_; }
  // For the bytes of a head, until the next one is read.
  std::span<char> headRoom() { return http2_.headRoom; }
  const http1::HeadLimits& responseLimits() const { return settings_.responseLimits; }
  std::uint64_t framesHeard() const { return framesHeard_; }
  std::uint32_t takeId();
  void sendHead(EndpointStream& stream, const OutgoingRequest& head, bool endStream);
  // How much of `bytes` is on its way; not all of it where windows or socket do not take it.
  std::size_t sendData(EndpointStream& stream, std::string_view bytes);
  void sendEnd(EndpointStream& stream, const HeadFields* trailers);
  void sendReset(std::uint32_t stream, ErrorCode code);
  void sendWindowUpdate(std::uint32_t stream, std::uint32_t increment);
  // It has something pending.
  void awaitTurn(EndpointStream& stream);
  // Its exchange is to learn how it stands.
  void awaitReport(EndpointStream& stream);
  // Every block has to be read (RFC 9113 4.3). False when it cannot be: the connection is closed
  // then, and the stream with it.
  bool decode(std::span<const std::uint8_t> block, HpackSink& sink);
  bool skip(std::span<const std::uint8_t> block);
  HpackDecoder::TableState tableState() const { return decoder_.tableState(); }
  HeadMemo& headMemo() { return headMemo_; }
  void remove(EndpointStream& stream);
  void dispose(EndpointStream& stream) { slab_.destroy(&stream); }

 private:
  enum class Phase : std::uint8_t { Connecting, Open, Closed };

  void establish();
  void sendPreface();
  void pump();
  std::size_t process(std::string_view bytes);
  std::size_t beginData(const FrameHeader& frame, std::string_view bytes);
  std::size_t onData(std::string_view bytes);
  void onFrame(const FrameHeader& frame, std::string_view payload);
  void onHeaders(const FrameHeader& frame, std::string_view payload);
  void onContinuation(const FrameHeader& frame, std::string_view payload);
  void onBlock(std::string_view block);
  void onSettings(const FrameHeader& frame, std::string_view payload);
  void onPing(const FrameHeader& frame, std::string_view payload);
  void onGoAway(const FrameHeader& frame, std::string_view payload);
  void onReset(const FrameHeader& frame, std::string_view payload);
  void onWindowUpdate(const FrameHeader& frame, std::string_view payload);
  bool changeWindows(std::int64_t by);
  void tellSettled();
  bool isIdle(std::uint32_t stream) const;
  void sendPending();
  void reportBlocked();
  void onWriteFailure();
  char* reserve(std::size_t bytes) { return out_.reserve(context_.pool, bytes); }
  // What was written to what reserve() gave, up to `end`.
  void commit(const char* end);
  void flushAfterTurn() { context_.loop.flushAfterTurn(*this); }
  void arm();
  void onDeadline();
  void onPingDue();
  void refuse(ErrorCode code);
  void sayGoodbye(ErrorCode code, StreamFailure failure = StreamFailure::Closed);
  void close(StreamFailure failure);

  Context& http2_;
  CodecContext& context_;
  ClientHost& host_;
  Transport transport_;
  const ClientSettings& settings_;
  Slab<EndpointStream>& slab_;
  Input in_;  // the beginning of a frame
  FrameBuffer out_;
  HpackEncoder encoder_{kDefaultTableBytes, HpackTexts::Plain};
  HpackDecoder decoder_;
  HeadMemo headMemo_;
  PeerSettings peer_;
  SendWindow sendWindow_;
  ReceiveWindow receiveWindow_;
  FloodBudget budget_;
  StreamTable<EndpointStream> table_;  // those that have an id
  IntrusiveList<EndpointStream, StreamLink> all_;
  IntrusiveList<EndpointStream, TurnLink> connecting_;
  IntrusiveList<EndpointStream, TurnLink> sending_;
  IntrusiveList<EndpointStream, ReportLink> reports_;
  LazyDeadline<ClientConnection, &ClientConnection::onDeadline> deadline_{*this};

  // The DATA frame that is being read.
  FrameHeader data_;
  std::uint32_t dataLeft_ = 0;  // of its payload, padding included
  std::uint32_t padding_ = 0;   // of that

  // The field block that is being read.
  FrameHeader headers_;
  Input block_;
  std::uint32_t blockFrames_ = 0;  // 0: there is none

  std::uint64_t openedAt_;
  std::uint64_t served_ = 0;
  std::uint64_t framesHeard_ = 0;
  std::uint64_t connectBy_ = 0;
  std::uint64_t idleSince_ = 0;  // 0: there are streams
  std::uint64_t heardAt_;
  std::uint64_t pingedAt_ = 0;  // 0: no answer is due
  std::uint32_t streamCount_ = 0;
  std::uint32_t peerStreams_;
  std::uint32_t nextId_ = 1;
  Phase phase_ = Phase::Connecting;
  bool settled_ = false;  // the peer's SETTINGS have come
  bool draining_ = false;
  bool readable_ = false;
  bool peerEnding_ = false;
  bool rested_ = false;       // idle, and what is not needed for a while has been given back
  bool blocked_ = false;      // the socket is full
  bool writeBroken_ = false;  // the peer takes no more; what it has said may still be there to read
};

}  // namespace tidegate::http2
