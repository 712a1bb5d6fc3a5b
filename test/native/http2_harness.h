// An HTTP/2 server connection without a client and without a gateway: the test gives it bytes,
// plays the exchanges, and reads what it writes. Used by the unit tests and by the fuzzer.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "http2/frame.h"
#include "http2/server_connection.h"

namespace tidegate::test {

// What came of a frame that the connection wrote.
struct WrittenFrame {
  http2::FrameHeader header;
  std::string payload;
};

// In place of a socket: bytes in memory.
class MemoryLayer final : public TransportLayer {
 public:
  struct Bytes {
    std::string in;
    std::string out;
    bool ended = false;
    int rests = 0;
    std::size_t room = ~std::size_t{0};  // what may still be written
  };
  explicit MemoryLayer(Bytes& bytes) : bytes_(bytes) {}

  IoResult establish(Socket&) override { return {}; }
  IoResult read(Socket&, std::span<char> into) override {
    if (bytes_.in.empty()) {
      return {.status = bytes_.ended ? IoResult::Status::End : IoResult::Status::WouldBlock};
    }
    const std::size_t n = bytes_.in.copy(into.data(), into.size());
    bytes_.in.erase(0, n);
    return {.bytes = n, .drained = bytes_.in.empty() && !bytes_.ended};
  }
  IoResult write(Socket&, std::span<const iovec> parts) override {
    IoResult result;
    for (const iovec& part : parts) {
      const std::size_t n = std::min(part.iov_len, bytes_.room);
      bytes_.out.append(static_cast<const char*>(part.iov_base), n);
      bytes_.room -= n;
      result.bytes += n;
    }
    if (result.bytes == 0) result.status = IoResult::Status::WouldBlock;
    return result;
  }
  bool hasInput(Socket&) override { return !bytes_.in.empty(); }
  void sayEnd(Socket&) override {}
  void rest() override { ++bytes_.rests; }

 private:
  Bytes& bytes_;
};

// One exchange, which does what the test says, and checks what it is told.
class FakeExchange final : public ClientStreamEvents {
 public:
  explicit FakeExchange(ClientStream& stream) : stream_(&stream) {}

  void onClientBegin() override {
    require(live() && !begun && !refused, "one beginning");
    begun = true;
    if (resumeAtBegin) resume();
  }
  void onClientBody(std::string_view bytes) override {
    require(live() && begun && !paused && !requestEnded, "body in its time");
    body += bytes;
  }
  void onClientEnd(const HeadFields* trailers) override {
    require(live() && !requestEnded, "one end of a request");
    requestEnded = true;
    if (trailers != nullptr) trailerCount = trailers->fields().size();
  }
  void onClientBodyFailure(Reason why) override {
    require(live() && !requestEnded, "a failure of what had not ended");
    requestEnded = true;
    reason = why;
  }
  void onClientGone(Reason why) override {
    require(live(), "one end of a stream");
    gone = true;
    reason = why;
    stream_ = nullptr;
  }
  void onClientBlocked() override {
    require(live() && !blocked, "blocked once");
    blocked = true;
  }
  void onClientDrained() override {
    require(live() && blocked, "drained after blocked");
    blocked = false;
  }
  void onClientConfirmed() override { require(false, "no early data without TLS"); }
  void onClientDone() override {
    require(live() && finished, "done after finish");
    done = true;
    stream_ = nullptr;
  }

  // Commands, as an exchange may give them.
  void resume() {
    paused = false;
    stream_->resumeBody();
  }
  void pause() {
    paused = true;
    stream_->pauseBody();
  }
  void respond(std::uint16_t status, BodyKind kind = BodyKind::Chunked) {
    OutgoingResponse head;
    head.status = status;
    head.body = kind;
    headSent = true;
    stream_->sendHead(head);
  }
  void send(std::string_view bytes) { blocked = !stream_->sendBody(bytes); }
  void finish(const HeadFields* trailers = nullptr) {
    finished = true;
    stream_->finish(trailers);
  }
  void abort() {
    stream_->abort();
    stream_ = nullptr;
    aborted = true;
  }
  bool live() const { return stream_ != nullptr; }

  std::string target;
  std::string body;
  std::size_t trailerCount = 0;
  bool refused = false;
  bool begun = false;
  bool resumeAtBegin = false;
  bool paused = true;
  bool requestEnded = false;
  bool headSent = false;
  bool finished = false;
  bool blocked = false;
  bool gone = false;
  bool done = false;
  bool aborted = false;
  Reason reason = Reason::None;

 private:
  ClientStream* stream_;
};

class Http2Harness final : public ServerHost, private Pollable {
 public:
  explicit Http2Harness(std::uint32_t streams = 100) {
    settings.bodyBytes = ~std::uint64_t{0};
    settings.headTimeout = settings.bodyTimeout = settings.idleTimeout = settings.writeTimeout =
        10'000;
    settings.maxRequests = ~std::uint64_t{0};
    settings.http2 = true;
    settings.streams = streams;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, files_) == 0, "a pair of sockets");
    peer_ = FileHandle(files_[1]);
    loop.add(files_[0], *this);
    connection_ = slabs_.connections.create(
        context_, *this, settings,
        Transport(Socket(FileHandle(files_[0])), std::make_unique<MemoryLayer>(bytes)), PeerInfo{},
        slabs_);
  }
  ~Http2Harness() { close(); }

  // The preface and what follows it.
  void begin(std::string_view rest = {}) {
    const std::string received = std::string(http2::kPreface) + std::string(rest);
    connection_->takeOver({.bytes = received});
    turn();
  }
  // Gives bytes, and lets the loop turn.
  void give(std::string_view more) {
    bytes.in += more;
    if (connection_ != nullptr) connection_->onEvents(kReadable);
    turn();
  }
  // The client has closed both halves.
  void hangUp() { connection_->onEvents(kGone); }
  // Gives bytes, of which the connection has its first turn only.
  void readOnce(std::string_view more) {
    bytes.in += more;
    connection_->onEvents(kReadable);
  }
  void turn() {
    loop.flushNow();
    loop.turn(0);
  }
  // As many turns as all of one read takes, whatever is in it.
  void turns() {
    for (int i = 0; i < 200; ++i) turn();
  }
  // Room for writing again.
  void drainOutput(std::size_t room = ~std::size_t{0}) {
    bytes.room = room;
    if (connection_ != nullptr) connection_->onEvents(kWritable);
    turn();
  }
  void close() {
    if (connection_ != nullptr) connection_->closeNow();
    turn();
    for (const auto& exchange : exchanges)
      require(!exchange->live() || exchange->aborted, "every exchange ends");
  }
  bool closed() const { return connection_ == nullptr; }
  http2::ServerConnection& connection() { return *connection_; }

  // Takes what was written since the last call, frame by frame.
  std::vector<WrittenFrame> takeFrames() {
    std::vector<WrittenFrame> frames;
    while (bytes.out.size() >= http2::kFrameHeaderBytes) {
      const http2::FrameHeader header = http2::readFrameHeader(bytes.out.data());
      require(header.length <= http2::kMaxFrameBytes, "a frame that every peer takes");
      const std::size_t size = http2::kFrameHeaderBytes + header.length;
      if (bytes.out.size() < size) break;
      frames.push_back({header, bytes.out.substr(http2::kFrameHeaderBytes, header.length)});
      bytes.out.erase(0, size);
    }
    return frames;
  }

  // ServerHost
  ClientStreamEvents& onRequest(ClientStream& stream, RequestHead& head) override {
    FakeExchange& exchange = add(stream);
    exchange.target = head.view(head.line.target);
    exchange.resumeAtBegin = resumeAtBegin;
    return exchange;
  }
  ClientStreamEvents& onRefused(ClientStream& stream, Protocol, Reason reason) override {
    FakeExchange& exchange = add(stream);
    exchange.refused = true;
    exchange.reason = reason;
    exchange.respond(400);
    exchange.finish();
    return exchange;
  }
  void onProtocol(AcceptedConnection&, Transport, const PeerInfo&, Protocol,
                  const Received&) override {}
  void onClosed(AcceptedConnection&) override { connection_ = nullptr; }

  http1::ServerSettings settings;
  EventLoop loop;
  BufferPool pool;
  MemoryLayer::Bytes bytes;
  ThreadCounters counters;
  std::vector<std::unique_ptr<FakeExchange>> exchanges;
  bool resumeAtBegin = false;  // each exchange, so that body comes at once

 private:
  static constexpr std::uint32_t kReadable = 1;  // EPOLLIN
  static constexpr std::uint32_t kWritable = 4;  // EPOLLOUT
  static constexpr std::uint32_t kGone = 16;     // EPOLLHUP

  void onEvents(std::uint32_t) override {}

  FakeExchange& add(ClientStream& stream) {
    exchanges.push_back(std::make_unique<FakeExchange>(stream));
    return *exchanges.back();
  }

  int files_[2] = {-1, -1};
  FileHandle peer_;
  std::unique_ptr<CodecContext> codec_{new CodecContext{loop, pool, counters, {}, {}, {}, {}}};
  std::unique_ptr<http2::Context> contextOwner_ = std::make_unique<http2::Context>(*codec_);
  http2::Context& context_ = *contextOwner_;
  http2::ServerConnection::Slabs slabs_;
  http2::ServerConnection* connection_ = nullptr;
};

inline std::string frameOf(http2::FrameType type, std::uint8_t flags, std::uint32_t stream,
                           std::string_view payload = {}) {
  std::string bytes(http2::kFrameHeaderBytes, '\0');
  http2::writeFrameHeader(bytes.data(),
                          {static_cast<std::uint32_t>(payload.size()), type, flags, stream});
  return bytes.append(payload);
}

inline std::string number32(std::uint32_t value) {
  std::string bytes(4, '\0');
  http2::store32(bytes.data(), value);
  return bytes;
}

inline std::string settingOf(http2::Setting setting, std::uint32_t value) {
  std::string bytes(http2::kSettingBytes, '\0');
  http2::writeSetting(bytes.data(), setting, value);
  return bytes;
}

// A field block without tables, all names and values below 127 bytes.
inline std::string blockOf(
    std::initializer_list<std::pair<std::string_view, std::string_view>> all) {
  std::string block;
  for (const auto& [name, value] : all) {
    block += '\0';
    block += static_cast<char>(name.size());
    block += name;
    block += static_cast<char>(value.size());
    block += value;
  }
  return block;
}

inline std::string requestFrame(std::uint32_t stream, std::string_view path, bool endStream = true,
                                std::string_view priority = "u=3") {
  return frameOf(
      http2::FrameType::Headers,
      static_cast<std::uint8_t>(http2::kEndHeaders | (endStream ? http2::kEndStream : 0)), stream,
      blockOf({{":method", endStream ? "GET" : "POST"},
               {":scheme", "http"},
               {":authority", "a"},
               {":path", path},
               {"priority", priority}}));
}

}  // namespace tidegate::test
