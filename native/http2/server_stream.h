// One request of an HTTP/2 client and its response (RFC 9113 8.1): what of it has come, what of it
// has to go, and whose turn it is. The connection owns it.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/kept_fields.h"
#include "http/stream.h"
#include "http2/flow_window.h"
#include "http2/priority.h"
#include "io/event_loop.h"
#include "io/input.h"

namespace tidegate::http2 {

class ServerConnection;

// What each stream may have under way towards us, in bytes.
std::uint32_t streamWindow();

struct StreamLink;
struct ScheduleLink;
struct AttentionLink;

class ServerStream final : public ClientStream,
                           public ListNode<StreamLink>,    // all of a connection
                           public ListNode<ScheduleLink>,  // those with bytes that may go, or ends
                           public ListNode<AttentionLink> {  // those with something to be told
 public:
  ServerStream(ServerConnection& connection, std::uint32_t id);

  std::uint32_t id() const { return id_; }
  ServerStream* nextInBucket = nullptr;

  // What the head says of the body; `ended`: END_STREAM came with it. Before the exchange begins.
  void takeHead(const RequestLine& line, bool ended);
  // A head that is refused: whatever the exchange answers, the client gets a reset instead.
  void takeMalformed() { malformed_ = true; }
  void setEvents(ClientStreamEvents& events) { events_ = &events; }

  // The exchange may set to work, with what has come of the body.
  void begin();
  bool begun() const { return begun_; }

  // What came; the connection's window has been charged with `frameBytes`.
  void onData(std::uint32_t frameBytes, std::string_view content, bool ended);
  void onTrailers(const HeadFields& trailers);
  void onWindowUpdate(std::uint32_t increment);
  // SETTINGS_INITIAL_WINDOW_SIZE has changed. False: the window is too large now.
  [[nodiscard]] bool changeSendWindow(std::int64_t bytes);
  // What the client sends is no replay.
  void onConfirmed() {
    if (events_ != nullptr) events_->onClientConfirmed();
  }
  // The client or the connection has gone: the exchange is told why.
  void onGone(Reason reason);
  // Taken off its connection, which gives its memory back later.
  void onRemoved();
  bool remoteEnded() const { return remoteEnded_; }
  bool responseEnded() const { return localEnded_; }
  // It cannot end well without more from the client.
  bool awaitsClient() const {
    return !remoteEnded_ && (!localEnded_ || (tunnel_ && !requestDone_));
  }

  // Output. One DATA frame of what waits, of at most `limit` bytes; returns how many.
  std::uint32_t writeSome(std::uint32_t limit);
  bool canWrite() const { return !queue_.empty() && sendWindow_.available() > 0; }
  const Priority& priority() const { return priority_; }
  void setPriority(const Priority& priority) { priority_ = priority; }
  // Where the last frame of the response ends, in the connection's output.
  std::uint64_t endPosition() const { return endPosition_; }
  // It has gone to the kernel.
  void onWritten();

  // After a flush: events that no command may cause.
  void onAttention();

  // ClientStream
  void resumeBody() override;
  void pauseBody() override;
  void sendInformational(const OutgoingResponse& head) override;
  void sendHead(const OutgoingResponse& head) override;
  bool sendBody(std::string_view bytes) override;
  void finish(const HeadFields* trailers) override;
  void startTunnel() override;
  void abort() override;
  const PeerInfo& peer() const override;
  void limitBody(std::uint64_t bytes) override;

 private:
  bool awaitsBody() const { return !requestDone_ && !remoteEnded_ && !paused_; }
  void deliver(std::string_view bytes);
  void deliverKept();
  void requestEnded(const HeadFields* trailers);
  void bodyFailed(Reason reason);
  void giveBack(std::uint32_t bytes);
  void writeData(std::string_view bytes);
  void writeEnd();
  void endLocal();
  void onDeadline();
  void setDeadline(std::uint64_t millisFromNow);
  void checkQueue();

  ServerConnection& connection_;
  const std::uint32_t id_;
  ClientStreamEvents* events_ = nullptr;
  SendWindow sendWindow_;
  ReceiveWindow receiveWindow_;
  std::uint64_t bodyRemaining_ = 0;  // of Content-Length; only where hasLength_
  std::uint64_t bodyLimit_ = 0;
  std::uint64_t bodyBytesIn_ = 0;
  std::uint64_t lastFrame_ = 0;  // where the last frame of the response begins
  std::uint64_t endPosition_ = 0;
  std::uint32_t keptBytes_ = 0;  // of kept_, for which the windows have to be given back
  Input kept_;                   // body that the exchange does not take at the moment
  Input queue_;                  // body that the client or the socket does not take at the moment
  KeptFields requestTrailers_;
  KeptFields responseTrailers_;
  LazyDeadline<ServerStream, &ServerStream::onDeadline> deadline_{*this};
  Priority priority_;
  bool hasLength_ = false;
  bool begun_ = false;
  bool malformed_ = false;
  bool remoteEnded_ = false;  // END_STREAM has come
  bool requestDone_ = true;   // the exchange knows the end, or there is nothing to tell
  bool paused_ = true;
  bool discards_ = false;    // what still comes of the body is of no use
  bool finished_ = false;    // the exchange has given everything
  bool localEnded_ = false;  // END_STREAM is in the output
  bool tunnel_ = false;
  bool blocked_ = false;  // the exchange was told
  bool closed_ = false;
};

}  // namespace tidegate::http2
