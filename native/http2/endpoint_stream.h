// One exchange on an HTTP/2 connection to an endpoint (RFC 9113 5.1): the stream that the exchange
// sees. What it sends and gets goes through the connection's frames.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/kept_fields.h"
#include "http/stream.h"
#include "http/web_socket.h"
#include "http2/flow_window.h"
#include "http2/frame.h"
#include "io/event_loop.h"
#include "io/input.h"

namespace tidegate::http2 {

class ClientConnection;
struct StreamLink;  // all streams of a connection
struct TurnLink;    // those that wait for the connection, or for their turn to send
struct ReportLink;  // those whose exchange is to be told that they cannot send

// Lives in a slab of its I/O thread; its connection outlives it.
class EndpointStream final : public UpstreamStream,
                             public Pollable,
                             public ListNode<StreamLink>,
                             public ListNode<TurnLink>,
                             public ListNode<ReportLink> {
 public:
  static constexpr std::uint64_t kNoFrame = ~std::uint64_t{0};

  // `framesHeard`: of the connection until now; 0 when it is a new one.
  EndpointStream(ClientConnection& connection, UpstreamStreamEvents& events,
                 std::uint32_t sendWindow, std::uint64_t framesHeard);
  ~EndpointStream() = default;

  // 0 until the head is sent.
  std::uint32_t id() const { return id_; }
  bool closed() const { return events_ == nullptr; }

  // UpstreamStream
  void sendHead(const OutgoingRequest& head) override;
  void sendBody(std::string_view bytes) override;
  void finish(const HeadFields* trailers) override;
  void pauseBody() override { paused_ = true; }
  void resumeBody() override;
  void startTunnel() override { upgrade_ = Upgrade::Done; }
  void expectWithin(std::uint64_t millis) override;
  void release() override;
  bool mayBeStale() const override;
  bool sawResponse() const override { return responseSeen_; }

  // Pollable
  void onEvents(std::uint32_t) override {}
  void onReady() override;
  void onDispose() override;

  // What the connection tells it. The stream may be closed after each of them.
  void onConnected() { events_->onUpstreamReady(); }
  // A field block: a head, or trailers.
  void onFields(std::span<const std::uint8_t> block, bool endStream);
  // A DATA frame of that size begins. False when the window did not allow it; the stream is closed.
  bool onDataFrame(std::uint32_t bytes);
  void onData(std::string_view bytes, bool endStream);
  // So many bytes of a DATA frame were none of the body.
  void onPadding(std::uint32_t bytes) { giveBack(bytes); }
  void onReset(ErrorCode code);
  void onWindowUpdate(std::uint32_t increment);
  SendWindow& sendWindow() { return sendWindow_; }
  // Where its last DATA frame begins (FrameBuffer::position()).
  std::uint64_t lastFrame() const { return lastFrame_; }
  void noteFrame(std::uint64_t position) { lastFrame_ = position; }
  // Has nothing sent, as it is not known yet what the endpoint takes.
  bool awaitsSettings() const { return upgrade_ == Upgrade::Unsettled; }
  bool hasPending() const { return !pending_.empty(); }
  // Sends a frame of what is pending. Whether it could go on at once.
  bool sendPending();
  void reportBlocked();
  // Broken off, without a word to the peer.
  void fail(StreamFailure failure);

 private:
  enum class Response : std::uint8_t { Head, Body, Done };
  enum class Upgrade : std::uint8_t {
    None,
    Unsettled,    // whether the endpoint takes it is not known yet
    Unsupported,  // it does not; the exchange is to be told
    Asked,
    Done,
  };

  void askUpgrade(const OutgoingRequest& head);
  void makeSwitching(ResponseHead& head, std::span<char> room);
  void onHead(std::span<const std::uint8_t> block, bool endStream);
  bool readHead(std::span<const std::uint8_t> block, bool endStream, ResponseHead& head);
  void onTrailers(std::span<const std::uint8_t> block);
  void bodyEnded(const HeadFields* trailers);
  void responseEnded(const HeadFields* trailers);
  void deliverKept();
  void giveBack(std::uint32_t bytes);
  void sendEnd(const HeadFields* trailers);
  // Broken off; the peer is told why.
  void refuse(StreamFailure failure, ErrorCode code);
  void sendReset(ErrorCode code);
  void onDeadline();
  void close();

  ClientConnection& connection_;
  UpstreamStreamEvents* events_;
  std::uint32_t id_ = 0;
  SendWindow sendWindow_;
  ReceiveWindow receiveWindow_;
  Input pending_;  // body that the windows or the socket do not take yet
  Input kept_;     // body that the exchange does not take yet
  KeptFields requestTrailers_;
  KeptFields responseTrailers_;
  std::uint64_t bodyLeft_ = 0;  // of a response with a length
  std::uint64_t framesHeard_;
  std::uint64_t lastFrame_ = kNoFrame;
  LazyDeadline<EndpointStream, &EndpointStream::onDeadline> deadline_{*this};
  std::array<char, kWebSocketAcceptBytes> accept_;  // with Upgrade::Asked
  Upgrade upgrade_ = Upgrade::None;
  Method method_ = Method::Other;
  Response response_ = Response::Head;
  BodyKind responseBody_ = BodyKind::None;
  bool ending_ = false;        // the end of the request waits behind what is pending
  bool requestEnded_ = false;  // END_STREAM has been written
  bool responseSeen_ = false;
  bool paused_ = false;
  bool blocked_ = false;  // and the exchange knows
  bool endKept_ = false;  // the end of the response waits behind what is kept
};

}  // namespace tidegate::http2
