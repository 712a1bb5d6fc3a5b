// HTTP/2 to an endpoint, over a transport that notes what is written: what goes out, and in how
// many writes.
#include <sys/socket.h>

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/allocation_count.h"
#include "check.h"
#include "http2/client_connection.h"

namespace tidegate::http2 {
namespace {

// What the two sides of a connection have said.
struct Talk {
  std::string toRead;  // by the connection
  std::vector<std::string> writes;
  std::size_t room = ~std::size_t{0};  // for bytes that are written; then the socket is full
};

class TalkLayer final : public TransportLayer {
 public:
  explicit TalkLayer(Talk& talk) : talk_(talk) {}

  IoResult establish(Socket&) override { return {.drained = false}; }
  IoResult read(Socket&, std::span<char> into) override {
    if (talk_.toRead.empty()) return {.status = IoResult::Status::WouldBlock};
    const std::size_t count = talk_.toRead.copy(into.data(), into.size());
    talk_.toRead.erase(0, count);
    return {.bytes = count};
  }
  IoResult write(Socket&, std::span<const iovec> parts) override {
    std::string all;
    for (const iovec& part : parts) all.append(static_cast<char*>(part.iov_base), part.iov_len);
    all.resize(std::min(all.size(), talk_.room));
    talk_.room -= all.size();
    if (all.empty()) return {.status = IoResult::Status::WouldBlock};
    talk_.writes.push_back(all);
    return {.bytes = all.size()};
  }
  bool hasInput(Socket&) override { return !talk_.toRead.empty(); }
  void sayEnd(Socket&) override {}
  void rest() override {}

 private:
  Talk& talk_;
};

class Host final : public ClientHost {
 public:
  void onConnected(bool success) override { connected = success; }
  void onTlsFailed(std::string_view) override {}
  void onRulesBroken(std::string_view) override {}
  void onStreamEnded(ClientConnection&) override { ++ended; }
  void onUnusable(ClientConnection&) override { usable = false; }
  void onDisposed(ClientConnection& connection) override { slab.destroy(&connection); }

  Slab<ClientConnection> slab;
  bool connected = false;
  bool usable = true;
  int ended = 0;
};

struct FakeExchange final : UpstreamStreamEvents {
  FakeExchange() = default;
  FakeExchange(const FakeExchange&) = delete;
  FakeExchange& operator=(const FakeExchange&) = delete;
  ~FakeExchange() { leave(); }

  void onUpstreamMoved(UpstreamStream&) override {}
  void onUpstreamReady() override { events += "ready "; }
  void onUpstreamInformational(ResponseHead&) override { events += "1xx "; }
  void onUpstreamHead(ResponseHead& head) override {
    events += "head:" + std::to_string(head.line.status) + " ";
    for (Field& field : head.fields()) {
      fields += std::string(head.name(field)) + "=" + std::string(head.value(field)) +
                (field.dropped ? "! " : " ");
      // As exchanges do with what they do not send on.
      field.dropped = true;
    }
  }
  void onUpstreamBody(std::string_view bytes) override { body += bytes; }
  void onUpstreamEnd(const HeadFields* trailers) override {
    events += trailers != nullptr ? "trailers " : "end ";
    leave();
  }
  void onUpstreamFailure(StreamFailure failure) override {
    stream = nullptr;
    events += "failure:" + std::to_string(static_cast<int>(failure)) + " ";
  }
  void onUpstreamBlocked() override { events += "blocked "; }
  void onUpstreamDrained() override { events += "drained "; }
  void leave() {
    if (EndpointStream* const left = std::exchange(stream, nullptr)) left->release();
  }

  std::string events;
  std::string fields;  // of the head
  std::string body;
  EndpointStream* stream = nullptr;
};

std::string frameBytes(FrameType type, std::uint8_t flags, std::uint32_t stream,
                       std::string_view payload) {
  std::array<char, kFrameHeaderBytes> head{};
  writeFrameHeader(head.data(), {static_cast<std::uint32_t>(payload.size()), type, flags, stream});
  return std::string(head.data(), head.size()).append(payload);
}

std::string settingsFrame(Setting setting, std::uint32_t value) {
  std::array<char, kSettingBytes> payload{};
  writeSetting(payload.data(), setting, value);
  return frameBytes(FrameType::Settings, 0, 0, {payload.data(), payload.size()});
}

// ":status: 200" of the static table.
std::string okHead(std::uint32_t stream, bool end = false) {
  return frameBytes(FrameType::Headers, kEndHeaders | (end ? kEndStream : 0), stream, "\x88");
}

struct Fixture {
  Fixture()
      : context(std::make_unique<CodecContext>(loop, pool, counters)),
        http2(std::make_unique<Context>(*context)) {
    settings.responseLimits = {8192, 8192, 100};
    settings.maxStreams = 100;
    settings.idleTimeout = settings.pingInterval = settings.pingTimeout = 1'000'000;
    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0)
      return;
    peer = FileHandle(pair[1]);
    connection = host.slab.create(
        *http2, host, Transport(Socket(FileHandle(pair[0])), std::make_unique<TalkLayer>(talk)),
        settings, streams, 100U);
    connection->start(1'000'000);
  }
  ~Fixture() {
    if (host.slab.live() > 0) connection->closeNow();
    loop.turn(0);
    CHECK_EQ(streams.live(), 0);
    CHECK_EQ(host.slab.live(), 0);
  }

  // Connected, with the beginnings of both sides behind them.
  void greet(std::string_view answer = {}) {
    loop.turn(0);
    say(answer.empty() ? frameBytes(FrameType::Settings, 0, 0, {}) : answer);
    talk.writes.clear();
  }

  // The endpoint says this, in one turn of the loop.
  void say(std::string_view bytes) {
    talk.toRead += bytes;
    connection->onEvents(1);
    loop.flushNow();
    loop.turn(0);
  }

  EndpointStream& open(FakeExchange& exchange, const OutgoingRequest& head) {
    EndpointStream& stream = connection->open(exchange);
    exchange.stream = &stream;
    stream.sendHead(head);
    return stream;
  }

  // What was written since the last call, as `type.flags.stream.length`.
  std::string written() {
    std::string all;
    for (const std::string& write : talk.writes) all += write;
    talk.writes.clear();
    std::string text;
    for (std::size_t at = 0; at + kFrameHeaderBytes <= all.size();) {
      const FrameHeader frame = readFrameHeader(all.data() + at);
      if (!text.empty()) text += ' ';
      text += std::to_string(static_cast<int>(frame.type)) + "." + std::to_string(frame.flags) +
              "." + std::to_string(frame.stream);
      if (frame.type == FrameType::Data) text += "." + std::to_string(frame.length);
      at += kFrameHeaderBytes + frame.length;
    }
    return text;
  }

  EventLoop loop;
  BufferPool pool;
  ThreadCounters counters;
  std::unique_ptr<CodecContext> context;
  std::unique_ptr<Context> http2;
  ClientSettings settings;
  Host host;
  Slab<EndpointStream> streams;
  Talk talk;
  FileHandle peer;
  ClientConnection* connection = nullptr;
};

OutgoingRequest get() {
  OutgoingRequest head;
  head.method = "GET";
  head.path = "/";
  head.host = "test.example";
  return head;
}

OutgoingRequest post(BodyKind body, std::uint64_t length = 0) {
  OutgoingRequest head = get();
  head.method = "POST";
  head.body = body;
  head.contentLength = length;
  return head;
}

}  // namespace

TEST("streams are found by their ids, whatever comes and goes") {
  struct Stream {
    std::uint32_t number;
    std::uint32_t id() const { return number; }
  };
  StreamTable<Stream> table;
  std::map<std::uint32_t, Stream> model;
  std::mt19937 random(7);
  std::uint32_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    if (model.size() < 40 && random() % 2 == 0) {
      next += 2 * (1 + random() % 40);
      table.insert(model.emplace(next, Stream{next}).first->second);
    } else if (!model.empty()) {
      const auto gone = std::next(model.begin(), static_cast<int>(random() % model.size()));
      table.remove(gone->second);
      model.erase(gone);
    }
    const std::uint32_t id = model.empty() || random() % 2 == 0 ? next + 2 : model.begin()->first;
    const auto found = model.find(id);
    CHECK(table.find(id) == (found == model.end() ? nullptr : &found->second));
  }
  for (auto& [id, stream] : model) CHECK(table.find(id) == &stream);
}

TEST("a head that comes again is the same one, until the table or the question is another") {
  Fixture f;
  f.greet();
  std::uint32_t id = 1;
  const auto ask = [&](std::string_view block, std::string_view method = "GET", bool end = true) {
    auto exchange = std::make_unique<FakeExchange>();
    OutgoingRequest head = get();
    head.method = method;
    f.open(*exchange, head).finish(nullptr);
    f.loop.turn(0);
    const std::uint8_t flags = kEndHeaders | (end ? kEndStream : 0);
    f.say(frameBytes(FrameType::Headers, flags, id, block));
    if (!end) f.say(frameBytes(FrameType::Data, kEndStream, id, "abcd"));
    id += 2;
    return exchange->events + exchange->fields + exchange->body;
  };
  using namespace std::string_literals;
  const std::string steady = "\x88\xbe"s;                   // 200, and the newest entry
  const std::string sized = "\x88\xbe\x0f\x0d\x01"s + "4";  // with content-length
  CHECK_EQ(ask("\x88\x40\x01"s + "a\x01"s + "1"), "head:200 end a=1 ");  // inserted
  for (int i = 0; i < 4; ++i) CHECK_EQ(ask(steady), "head:200 end a=1 ");
  CHECK_EQ(ask("\x88\x40\x01"s + "b\x01"s + "2"), "head:200 end b=2 ");
  for (int i = 0; i < 4; ++i) CHECK_EQ(ask(steady), "head:200 end b=2 ");
  for (int i = 0; i < 4; ++i)
    CHECK_EQ(ask(sized, "GET", false), "head:200 end b=2 content-length=4 abcd");
  // A length without a body is for HEAD alone, and HEAD has no body.
  CHECK_EQ(ask(sized), "failure:6 ");
  for (int i = 0; i < 4; ++i) CHECK_EQ(ask(sized, "HEAD"), "head:200 end b=2 content-length=4 ");
  CHECK_EQ(ask(sized), "failure:6 ");
  CHECK_EQ(ask(sized, "HEAD", false), "head:200 failure:6 b=2 content-length=4 ");
  // The table is emptied, and filled with another one.
  CHECK_EQ(ask("\x20\x3f\xe1\x1f\x88\x40\x01"s + "c\x01"s + "3"), "head:200 end c=3 ");
  for (int i = 0; i < 4; ++i) CHECK_EQ(ask(steady), "head:200 end c=3 ");
  // Fewer bytes or fields are allowed now.
  for (const http1::HeadLimits limits :
       {http1::HeadLimits{8192, 5, 100}, http1::HeadLimits{8192, 8192, 0}}) {
    f.settings.responseLimits = {8192, 8192, 100};
    for (int i = 0; i < 3; ++i) CHECK_EQ(ask(steady), "head:200 end c=3 ");
    f.settings.responseLimits = limits;
    CHECK_EQ(ask(steady), "failure:7 ");
  }
}

TEST("requests of one turn go out in one write") {
  Fixture f;
  f.greet();
  std::vector<std::unique_ptr<FakeExchange>> exchanges;
  for (int i = 0; i < 20; ++i) {
    exchanges.push_back(std::make_unique<FakeExchange>());
    f.open(*exchanges.back(), get());
    f.loop.flushNow();
  }
  CHECK(f.talk.writes.empty());
  f.loop.turn(0);
  CHECK_EQ(f.talk.writes.size(), 1);
}

TEST("the last part of a body ends its stream") {
  Fixture f;
  f.greet();
  FakeExchange a;
  FakeExchange b;
  EndpointStream& first = f.open(a, post(BodyKind::Length, 5));
  first.sendBody("he");
  first.sendBody("llo");
  first.finish(nullptr);
  EndpointStream& second = f.open(b, post(BodyKind::Chunked));
  second.sendBody("one");
  f.loop.turn(0);
  CHECK_EQ(f.written(), "1.4.1 0.0.1.2 0.1.1.3 1.4.3 0.0.3.3");
  second.finish(nullptr);
  f.loop.turn(0);
  CHECK_EQ(f.written(), "0.1.3.0");
}

TEST("a head without a body ends its stream") {
  Fixture f;
  f.greet();
  FakeExchange a;
  FakeExchange b;
  f.open(a, get()).finish(nullptr);
  f.open(b, post(BodyKind::Length, 0)).finish(nullptr);
  f.loop.turn(0);
  CHECK_EQ(f.written(), "1.5.1 1.5.3");
}

TEST("trailers end their stream, behind what waits for the window") {
  Fixture f;
  f.greet(settingsFrame(Setting::InitialWindowSize, 4));
  FakeExchange a;
  EndpointStream& stream = f.open(a, post(BodyKind::Chunked));
  stream.sendBody("123456");
  std::array<Field, 1> table{};
  HeadFields trailers(table);
  trailers.rebase("x-sum1");
  trailers.add({{0, 5}, {5, 1}});
  stream.finish(&trailers);
  f.loop.turn(0);
  CHECK_EQ(f.written(), "1.4.1 0.0.1.4");
  CHECK_EQ(a.events, "blocked ");
  std::array<char, kWindowUpdateFrame> update{};
  writeWindowUpdate(update.data(), 1, 10);
  f.say({update.data(), update.size()});
  CHECK_EQ(f.written(), "0.0.1.2 1.5.1");
  CHECK_EQ(a.events, "blocked drained ");
}

TEST("streams that wait for the socket take turns, and the exchanges are told") {
  Fixture f;
  f.greet();
  f.talk.room = 0;
  FakeExchange a;
  FakeExchange b;
  const std::string body(20'000, 'x');
  EndpointStream& first = f.open(a, post(BodyKind::Chunked));
  EndpointStream& second = f.open(b, post(BodyKind::Chunked));
  f.loop.turn(0);
  first.sendBody(body);
  second.sendBody(body);
  f.loop.turn(0);
  CHECK_EQ(a.events, "blocked ");
  CHECK_EQ(b.events, "blocked ");
  CHECK(f.talk.writes.empty());
  f.talk.room = ~std::size_t{0};
  f.connection->onEvents(4);
  f.loop.turn(0);
  CHECK_EQ(f.written(), "1.4.1 1.4.3 0.0.1.16384 0.0.3.16384 0.0.1.3616 0.0.3.3616");
  CHECK_EQ(a.events, "blocked drained ");
}

TEST("what an exchange does not take is kept, and its window is not given back") {
  Fixture f;
  f.greet();
  FakeExchange a;
  EndpointStream& stream = f.open(a, get());
  stream.pauseBody();
  std::string said = okHead(1);
  const std::string part(16 * 1024, 'x');
  for (int i = 0; i < 15; ++i) said += frameBytes(FrameType::Data, 0, 1, part);
  said += frameBytes(FrameType::Data, kEndStream, 1, "end");
  f.say(said);
  CHECK_EQ(a.events, "head:200 ");
  CHECK(a.body.empty());
  CHECK_EQ(f.written(), "1.5.1");
  stream.resumeBody();
  f.loop.turn(0);
  CHECK_EQ(a.body.size(), 15 * part.size() + 3);
  CHECK_EQ(a.events, "head:200 end ");
}

TEST("a stream beyond its window is ended, the connection is not") {
  Fixture f;
  f.greet();
  FakeExchange a;
  FakeExchange b;
  f.open(a, get()).pauseBody();
  f.open(b, get());
  std::string said = okHead(1);
  const std::string part(16 * 1024, 'x');
  for (int i = 0; i < 17; ++i) said += frameBytes(FrameType::Data, 0, 1, part);
  f.say(said);
  CHECK(a.events.find("failure") != std::string::npos);
  CHECK_EQ(f.written(), "1.5.1 1.5.3 3.0.1");
  f.say(okHead(3, true));
  CHECK_EQ(b.events, "head:200 end ");
}

TEST("PING and SETTINGS are answered in one write with what else there is") {
  Fixture f;
  f.greet();
  FakeExchange a;
  f.open(a, get());
  f.say(frameBytes(FrameType::Ping, 0, 0, "12345678") +
        settingsFrame(Setting::MaxConcurrentStreams, 5));
  CHECK_EQ(f.talk.writes.size(), 1);
  CHECK_EQ(f.written(), "1.5.1 6.1.0 4.1.0");
  CHECK_EQ(f.connection->peerStreams(), 5);
}

TEST("an exchange over HTTP/2 allocates nothing in the steady state") {
  Fixture f;
  f.greet();
  FakeExchange a;
  a.events.reserve(1024);
  a.body.reserve(1024);
  f.talk.writes.reserve(64);
  std::uint32_t id = 1;
  std::uint64_t allocated = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string said = okHead(id) + frameBytes(FrameType::Data, kEndStream, id, "body");
    f.talk.writes.clear();
    f.talk.toRead = said;
    const std::uint64_t before = threadAllocations();
    EndpointStream& stream = f.open(a, post(BodyKind::Length, 4));
    stream.sendBody("body");
    stream.finish(nullptr);
    f.connection->onEvents(1);
    const std::uint64_t after = threadAllocations();
    f.loop.turn(0);
    CHECK_EQ(a.body, "body");
    a.events.clear();
    a.body.clear();
    if (i >= 100) allocated += after - before;
    id += 2;
  }
  CHECK_EQ(allocated, 0);
}

}  // namespace tidegate::http2
