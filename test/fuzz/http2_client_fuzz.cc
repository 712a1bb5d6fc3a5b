// Fuzzes a whole HTTP/2 connection to an endpoint: whatever the peer sends, and whatever its
// exchanges do meanwhile, each exchange is told a story that makes sense, once, and all memory
// comes back.
//
// The input: a byte of options, a byte n, n bytes that decide what the exchanges and the transport
// do, and what the peer sends. With the first option that is a list of frames as {type, flags,
// stream, length} and payload, so that the fuzzer need not write headers.
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http2/client_connection.h"

namespace tidegate::http2 {
namespace {

void promise(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}
#define PROMISE(...) promise((__VA_ARGS__), #__VA_ARGS__)

// Decides by the bytes that the fuzzer gave for it; 0 when they are used up.
class Decisions {
 public:
  explicit Decisions(std::string_view bytes) : bytes_(bytes) {}
  std::uint8_t next() {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<std::uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }

 private:
  std::string_view bytes_;
};

class PeerLayer final : public TransportLayer {
 public:
  PeerLayer(std::string_view bytes, Decisions& decisions) : bytes_(bytes), decisions_(decisions) {}

  IoResult establish(Socket&) override { return {.drained = false}; }

  IoResult read(Socket&, std::span<char> into) override {
    if (bytes_.empty()) return {.status = IoResult::Status::End};
    const std::uint8_t wish = decisions_.next();
    const std::size_t most = wish == 0 ? bytes_.size() : wish;
    const std::size_t count = std::min({most, bytes_.size(), into.size()});
    std::memcpy(into.data(), bytes_.data(), count);
    bytes_.remove_prefix(count);
    return {.bytes = count};
  }

  IoResult write(Socket&, std::span<const iovec> parts) override {
    std::size_t total = 0;
    for (const iovec& part : parts) total += part.iov_len;
    switch (decisions_.next() % 8) {
      case 1:
        return {.bytes = total / 2};
      case 2:
        return {.status = IoResult::Status::WouldBlock};
      case 3:
        return {.status = IoResult::Status::Failed, .error = EPIPE};
      default:
        return {.bytes = total};
    }
  }

  bool hasInput(Socket&) override { return !bytes_.empty(); }
  void sayEnd(Socket&) override {}
  void rest() override {}

 private:
  std::string_view bytes_;
  Decisions& decisions_;
};

// An exchange that does what an exchange may do at every event.
class FakeExchange final : public UpstreamStreamEvents {
 public:
  explicit FakeExchange(Decisions& decisions) : decisions_(decisions) {}

  void begin(EndpointStream& stream, bool ready) {
    stream_ = &stream;
    if (ready) sendHead();
  }
  bool open() const { return stream_ != nullptr; }

  // The protocol is known from the beginning.
  void onUpstreamMoved(UpstreamStream&) override { PROMISE(false); }
  void onUpstreamReady() override { sendHead(); }
  void onUpstreamInformational(ResponseHead& head) override {
    PROMISE(open() && !head_);
    PROMISE(head.line.status >= 100 && head.line.status < 200 && head.line.status != 101);
    act();
  }
  void onUpstreamHead(ResponseHead& head) override {
    PROMISE(open() && !head_);
    head_ = true;
    PROMISE(head.line.status >= 200 && head.line.status < 600);
    left_ = head.line.body == BodyKind::Length ? head.line.contentLength
            : head.line.body == BodyKind::None ? 0
                                               : ~std::uint64_t{0};
    for (const Field& field : head.fields()) {
      PROMISE(!head.name(field).empty() && head.name(field).front() != ':');
      PROMISE(head.value(field).find_first_of(std::string_view("\r\n\0", 3)) ==
              std::string_view::npos);
    }
    act();
  }
  void onUpstreamBody(std::string_view bytes) override {
    PROMISE(open() && head_ && !bytes.empty() && bytes.size() <= left_);
    left_ -= bytes.size();
    act();
  }
  void onUpstreamEnd(const HeadFields* trailers) override {
    PROMISE(open() && head_);
    PROMISE(left_ == 0 || left_ > ~std::uint64_t{0} / 2);
    PROMISE(trailers == nullptr || !trailers->fields().empty());
    end();
  }
  void onUpstreamFailure(StreamFailure) override {
    PROMISE(open());
    static_cast<void>(stream_->mayBeStale());
    stream_ = nullptr;
  }
  void onUpstreamBlocked() override { PROMISE(open()); }
  void onUpstreamDrained() override {
    PROMISE(open());
    act();
  }

  // What an exchange may do at any time.
  void act() {
    if (!open()) return;
    static const std::string kBody(40'000, 'b');
    switch (decisions_.next() % 16) {
      case 1:
        stream_->pauseBody();
        break;
      case 2:
        stream_->resumeBody();
        break;
      case 3:
        end();
        break;
      case 4:
        if (!finished_) stream_->sendBody("some");
        break;
      case 5:
        if (!finished_) stream_->sendBody(kBody);
        break;
      case 6:
        finish(false);
        break;
      case 7:
        finish(true);
        break;
      case 8:
        stream_->expectWithin(1);
        break;
      default:
        break;
    }
  }

  void end() {
    EndpointStream* const stream = std::exchange(stream_, nullptr);
    if (stream != nullptr) stream->release();
  }

 private:
  void sendHead() {
    const std::array<OutgoingField, 2> fields = {{{"X-A", "b"}, {"x-long", "0123456789"}}};
    OutgoingRequest head;
    const bool body = decisions_.next() % 2 == 1;
    head.method = body ? "POST" : decisions_.next() % 4 == 1 ? "HEAD" : "GET";
    head.path = "/";
    head.host = "test.example";
    head.fields = {nullptr, fields};
    head.body = body ? BodyKind::Chunked : BodyKind::None;
    finished_ = !body;
    stream_->sendHead(head);
    act();
  }

  void finish(bool withTrailers) {
    if (finished_) return;
    finished_ = true;
    if (!withTrailers) {
      stream_->finish(nullptr);
      return;
    }
    static const std::string kBytes = "x-sum1";
    std::array<Field, 1> table;
    HeadFields trailers(table);
    trailers.rebase(kBytes.data());
    trailers.add({{0, 5}, {5, 1}});
    stream_->finish(&trailers);
  }

  Decisions& decisions_;
  EndpointStream* stream_ = nullptr;
  std::uint64_t left_ = 0;
  bool head_ = false;
  bool finished_ = true;
};

// A pool of one connection.
class Host final : public ClientHost {
 public:
  void onConnected(bool) override {}
  void onTlsFailed(std::string_view) override {}
  void onRulesBroken(std::string_view) override {}
  void onStreamEnded(ClientConnection& connection) override {
    if (connection.streams() == 0) connection.rest();
  }
  void onUnusable(ClientConnection& connection) override { connection.wake(); }
  void onDisposed(ClientConnection& connection) override {
    PROMISE(connection.isClosed() && connection.streams() == 0);
    connections.destroy(&connection);
  }

  Slab<ClientConnection> connections;
};

std::string framed(std::string_view list) {
  std::string bytes;
  while (list.size() >= 4) {
    FrameHeader header;
    header.type = static_cast<FrameType>(list[0]);
    header.flags = static_cast<std::uint8_t>(list[1]);
    header.stream = static_cast<std::uint8_t>(list[2]);
    const std::size_t length =
        std::min<std::size_t>(static_cast<std::uint8_t>(list[3]), list.size() - 4);
    header.length = static_cast<std::uint32_t>(length);
    std::array<char, kFrameHeaderBytes> at;
    writeFrameHeader(at.data(), header);
    bytes.append(at.data(), at.size());
    bytes.append(list.substr(4, length));
    list.remove_prefix(4 + length);
  }
  return bytes;
}

void run(std::string_view input) {
  if (input.size() < 2) return;
  const auto options = static_cast<std::uint8_t>(input[0]);
  const std::size_t script = static_cast<std::uint8_t>(input[1]);
  input.remove_prefix(2);
  Decisions decisions(input.substr(0, script));
  input.remove_prefix(std::min(script, input.size()));
  const std::string bytes = (options & 1) != 0 ? framed(input) : std::string(input);

  // Made once: they are large, and what one run does to them is not felt by the next.
  static ThreadCounters counters;
  static BufferPool pool;
  static EventLoop loop;
  static CodecContext codec{loop, pool, counters, {}, {}, {}, {}};
  static Context context(codec);
  {
    ClientSettings settings;
    settings.responseLimits = {1024, 1024, 20};
    settings.maxStreams = 4;
    settings.idleTimeout = settings.pingInterval = settings.pingTimeout = 60'000;
    Host host;
    Slab<EndpointStream> streams;
    std::vector<std::unique_ptr<FakeExchange>> exchanges;

    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0)
      return;
    const FileHandle other(pair[1]);
    Transport transport(Socket(FileHandle(pair[0])), std::make_unique<PeerLayer>(bytes, decisions));
    ClientConnection& connection =
        *host.connections.create(context, host, std::move(transport), settings, streams, 100U);
    connection.start(60'000);
    for (int turn = 0; turn < 64 && host.connections.live() > 0; ++turn) {
      if (exchanges.size() < 12 && connection.hasRoom()) {
        exchanges.push_back(std::make_unique<FakeExchange>(decisions));
        exchanges.back()->begin(connection.open(*exchanges.back()), connection.isConnected());
      }
      loop.turn(0);
      for (const auto& exchange : exchanges) exchange->act();
    }
    if (host.connections.live() > 0) connection.closeNow();
    for (const auto& exchange : exchanges) PROMISE(!exchange->open());
    loop.turn(0);
    PROMISE(host.connections.live() == 0 && streams.live() == 0);
  }
  PROMISE(pool.bytesInUse() == 0);
}

}  // namespace
}  // namespace tidegate::http2

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tidegate::http2::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
