// The HTTP/2 codec on the client's side: one client connection and its streams (RFC 9113).
//
// Owned by the I/O thread that accepted it. Everything that one turn of the loop produces for the
// connection goes out in one write.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/slab.h"
#include "http/server_host.h"
#include "http1/server_connection.h"
#include "http2/awaited_priorities.h"
#include "http2/context.h"
#include "http2/flood_budget.h"
#include "http2/frame_buffer.h"
#include "http2/hpack_decoder.h"
#include "http2/hpack_encoder.h"
#include "http2/scheduler.h"
#include "http2/server_stream.h"
#include "io/input.h"
#include "io/transport.h"

namespace tidegate::http2 {

class ServerConnection final : public AcceptedConnection {
 public:
  struct Slabs {
    Slab<ServerConnection> connections;
    Slab<ServerStream> streams;

    void addTo(Reclaimer& memory) {
      memory.add(connections.cells());
      memory.add(streams.cells());
    }
  };

  // Lives in `home`, and so do its streams.
  ServerConnection(Context& context, ServerHost& host, const http1::ServerSettings& settings,
                   Transport transport, const PeerInfo& peer, Slabs& home);
  ~ServerConnection() = default;

  // Begins, on a transport that another connection handed over; the loop knows its socket already.
  // `received` was read of it, and begins with the preface.
  void takeOver(const Received& received);

  // AcceptedConnection
  void drain() override;
  void closeNow() override;

  // Pollable
  void onEvents(std::uint32_t events) override;
  void onFlush() override;
  void onReady() override;
  void onDispose() override;

 private:
  friend class ServerStream;

  enum class Phase : std::uint8_t {
    Preface,  // the client's first bytes and its first SETTINGS are awaited
    Open,
    Lingering,  // everything is said; what still comes is thrown away until the client closes
    Closed,
  };

  // A field block, from its HEADERS to its last CONTINUATION.
  struct Block {
    std::uint32_t stream = 0;  // 0: none is under way
    bool endStream = false;
    std::uint32_t continuations = 0;
    Input bytes;
  };

  // Of one connection in a turn, in the tokens of spendReset(): a stream that is reset takes a
  // microsecond, and twenty where its request had begun.
  static constexpr int kVainPerTurn = 32;

  bool live() const { return phase_ == Phase::Preface || phase_ == Phase::Open; }
  bool wantsInput() const;
  void pump();
  void goOnIfDue();
  std::size_t process(std::string_view bytes);
  bool passPreface(std::string_view& rest);
  void onFrame(const FrameHeader& header, std::string_view payload);
  void onData(const FrameHeader& header, std::string_view payload);
  void onHeaders(const FrameHeader& header, std::string_view payload);
  void onContinuation(const FrameHeader& header, std::string_view payload);
  void onBlock(std::uint32_t id, bool endStream, std::string_view block);
  void onRequestBlock(std::uint32_t id, bool endStream, std::string_view block);
  void onTrailerBlock(ServerStream* stream, std::uint32_t id, bool endStream,
                      std::string_view block);
  void onPriority(const FrameHeader& header, std::string_view payload);
  void onPriorityUpdate(const FrameHeader& header, std::string_view payload);
  void onRstStream(const FrameHeader& header, std::string_view payload);
  void onSettings(const FrameHeader& header, std::string_view payload);
  void onPing(const FrameHeader& header, std::string_view payload);
  void onWindowUpdate(const FrameHeader& header, std::string_view payload);
  void noteConfirmed();
  void onReadEnd();

  // Whether the block could be read; otherwise the connection has ended.
  bool decode(std::string_view block, HpackSink& sink);
  void take(std::uint32_t id, HeadFault fault, bool endStream);
  // Begins those that have waited, as many as this turn allows. False: the connection has closed.
  bool beginRequests();
  void refuse(std::uint32_t id, ErrorCode code);
  bool spendFrame(Reason reason = Reason::FloodFrames);
  bool spendReset(std::uint32_t tokens = 1);
  // Others are to have their turn before more of what was read is looked at.
  bool turnUsedUp() const { return vainLeft_ <= 0 || !waiting_.empty(); }

  // For the streams.
  void earnReset();
  ServerStream* find(std::uint32_t id) const;
  void giveBack(std::uint32_t bytes);
  char* reserve(std::size_t bytes) { return out_.reserve(context_.codec.pool, bytes); }
  void writeRstStream(std::uint32_t id, ErrorCode code);
  // Resets the stream, and tells its exchange.
  void resetStream(ServerStream& stream, ErrorCode code, Reason reason);
  // The same for what the client did wrong; too much of it ends the connection.
  void streamError(ServerStream& stream, ErrorCode code);
  bool wasReset(std::uint32_t id) const;
  void remove(ServerStream& stream);
  void callAttention(ServerStream& stream) {
    if (!stream.ListNode<AttentionLink>::linked()) attention_.pushBack(&stream);
    queueFlush();
  }
  void queueFlush();
  void flushSoon();
  // Whether so many bytes of body may go straight to the output.
  bool mayWrite(std::size_t bytes) const;

  // Output
  void writeDue();
  void writeGoAway(std::uint32_t last, ErrorCode code);
  void writePreface();
  void finishWritten();
  void tellStreams();
  void reap();

  // The end
  void fail(ErrorCode code, Reason reason);
  void report(Reason reason);
  void nameLast();
  void endStreams(Reason reason);
  // The same over several turns of the loop.
  void endStreamsLater(Reason reason);
  void endSome();
  void gone(Reason reason);
  void linger();
  void close();
  void setIdle(bool idle);
  void restDeadline();
  void onDeadline();
  void setDeadline(std::uint64_t millisFromNow);

  static constexpr std::size_t kBuckets = 32;
  ServerStream*& bucketOf(std::uint32_t id) { return buckets_[id / 2 % kBuckets]; }

  Context& context_;
  ServerHost& host_;
  const http1::ServerSettings& settings_;
  Slabs& home_;
  Transport transport_;
  const PeerInfo peer_;
  Input in_;
  FrameBuffer out_;
  Block block_;
  HpackDecoder decoder_;
  HpackEncoder encoder_;
  PeerSettings peerSettings_;
  SendWindow sendWindow_;
  ReceiveWindow receiveWindow_;
  Scheduler scheduler_;
  AwaitedPriorities awaited_;
  IntrusiveList<ServerStream, StreamLink> streams_;
  IntrusiveList<ServerStream, ScheduleLink> ending_;  // END_STREAM is in the output
  // Their requests have not begun: a reset may stand behind them in what was read.
  IntrusiveList<ServerStream, AttentionLink> waiting_;
  IntrusiveList<ServerStream, AttentionLink> attention_;
  IntrusiveList<ServerStream, AttentionLink> closed_;  // memory to give back
  std::array<ServerStream*, kBuckets> buckets_{};
  std::array<std::uint32_t, 32> reset_{};  // the last streams that were reset from here
  std::size_t nextReset_ = 0;
  FloodBudget frames_;
  FloodBudget resets_;
  LazyDeadline<ServerConnection, &ServerConnection::onDeadline> deadline_{*this};
  std::uint64_t served_ = 0;
  int beginsLeft_ = 0;  // of the turn
  int vainLeft_ = kVainPerTurn;
  std::size_t lingerBytes_ = 0;
  std::uint32_t streamCount_ = 0;
  std::uint32_t lastStream_ = 0;  // the highest that the client has opened
  // Streams above are not taken any more: a GOAWAY has named this one.
  std::uint32_t lastTaken_ = kMaxStreamId;
  std::uint32_t prefaceLeft_ = static_cast<std::uint32_t>(kPreface.size());
  Phase phase_ = Phase::Preface;
  Reason endReason_ = Reason::None;  // None: no streams are being ended
  bool firstSettings_ = false;
  bool readable_ = false;    // the socket may have more to read
  bool peerEnding_ = false;  // an end or an error waits behind what is readable
  bool peerEnded_ = false;   // the client sends nothing more, and may still read
  bool blocked_ = false;
  bool draining_ = false;   // a GOAWAY has been sent
  bool lastNamed_ = false;  // and another one that names the last stream
  bool idle_ = false;
  bool rested_ = true;  // idle, and what is not needed for a while has been given back
  bool early_;          // the transport's handshake is not complete, as far as the exchanges know
  bool ended_ = false;  // our half of the transport is shut
  // A stream is on the call stack: nothing may be destroyed, and a flush waits.
  bool busy_ = false;
};

}  // namespace tidegate::http2
