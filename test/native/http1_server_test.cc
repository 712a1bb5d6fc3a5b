// HTTP/1 connections of clients that begin with their request there already: what the loop is told
// of them, and when.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "check.h"
#include "http1/server_connection.h"
#include "http2_harness.h"
#include "io/event_loop.h"

namespace tidegate::http1 {
namespace {

using test::FakeExchange;
using Start = ServerConnection::Start;

// One connection over a pair of sockets, and the exchanges of its requests.
class Server final : public ServerHost {
 public:
  explicit Server(std::uint64_t maxRequests = kForever) {
    settings_.bodyBytes = settings_.headTimeout = settings_.bodyTimeout = settings_.idleTimeout =
        settings_.writeTimeout = kForever;
    settings_.maxRequests = maxRequests;
    std::array<int, 2> files{};
    test::require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, files.data()) == 0,
                  "a pair of sockets");
    client_ = FileHandle(files[1]);
    connection_ = slab_.create(*context_, *this, settings_, Transport(Socket(FileHandle(files[0]))),
                               PeerInfo{}, slab_);
  }
  ~Server() {
    if (connection_ != nullptr) connection_->closeNow();
    turn();
  }

  Start start(bool readFirst) {
    const Start started = connection_->start(readFirst);
    loop_.flushNow();
    return started;
  }
  void say(std::string_view bytes) {
    test::require(
        write(client_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
        "room in the socket");
  }
  // What has come from the server; `ended_` when that was all.
  std::string hear() {
    std::string heard;
    std::array<char, 4096> some{};
    for (;;) {
      const ssize_t n = read(client_.get(), some.data(), some.size());
      if (n <= 0) {
        ended_ = n == 0;
        return heard;
      }
      heard.append(some.data(), static_cast<std::size_t>(n));
    }
  }
  void leave() { client_.reset(); }
  void turn() {
    loop_.flushNow();
    loop_.turn(0);
  }
  template <typename Condition>
  void turnUntil(Condition condition) {
    while (!condition()) {
      loop_.flushNow();
      loop_.turn(10);
    }
  }
  bool addIsDue() const { return EventLoop::addIsDue(*connection_); }
  bool closed() const { return connection_ == nullptr; }
  bool ended() const { return ended_; }
  FakeExchange& exchange(std::size_t index) { return *exchanges_.at(index); }
  std::size_t exchanges() const { return exchanges_.size(); }
  void answer(std::size_t index, std::string_view body) {
    exchange(index).respond(200);
    exchange(index).send(body);
    exchange(index).finish();
    loop_.flushNow();
  }

  // ServerHost
  ClientStreamEvents& onRequest(ClientStream& stream, RequestHead&) override {
    exchanges_.push_back(std::make_unique<FakeExchange>(stream));
    return *exchanges_.back();
  }
  ClientStreamEvents& onRefused(ClientStream& stream, Protocol, Reason) override {
    exchanges_.push_back(std::make_unique<FakeExchange>(stream));
    return *exchanges_.back();
  }
  void onProtocol(AcceptedConnection&, Transport, const PeerInfo&, Protocol,
                  const Received&) override {}
  void onClosed(AcceptedConnection&) override { connection_ = nullptr; }

 private:
  EventLoop loop_;
  BufferPool pool_;
  ThreadCounters counters_;
  std::unique_ptr<CodecContext> context_{new CodecContext{loop_, pool_, counters_, {}, {}, {}, {}}};
  ServerSettings settings_;
  Slab<ServerConnection> slab_;
  FileHandle client_;
  ServerConnection* connection_ = nullptr;
  std::vector<std::unique_ptr<FakeExchange>> exchanges_;
  bool ended_ = false;
};

constexpr std::string_view kLast = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr std::string_view kMore = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST("http1 server: a connection of one request is served without the loop's events") {
  Server server;
  server.say(kLast);
  CHECK(server.start(true) == Start::Read);
  CHECK(server.addIsDue());
  server.answer(0, "body");
  CHECK(server.hear().ends_with("4\r\nbody\r\n0\r\n\r\n"));
  server.turn();
  CHECK(server.closed());
  server.hear();
  CHECK(server.ended());
}

TEST("http1 server: whoever has nothing to say yet is waited for") {
  Server server;
  CHECK(server.start(true) == Start::Waiting);
  CHECK(!server.addIsDue());
  server.say(kMore);
  server.turnUntil([&] { return server.exchanges() == 1; });
  server.answer(0, "body");
  CHECK(!server.hear().empty());
}

TEST("http1 server: the second request of a connection that was not registered is heard") {
  Server server;
  server.say(kMore);
  CHECK(server.start(true) == Start::Read);
  CHECK(server.addIsDue());
  server.answer(0, "body");
  CHECK(!server.addIsDue());
  server.say(kMore);
  server.turnUntil([&] { return server.exchanges() == 2; });
}

TEST("http1 server: a second request that came before the response to the first is heard") {
  Server server;
  server.say(kMore);
  server.start(true);
  server.say(kMore);
  server.answer(0, "body");
  server.turnUntil([&] { return server.exchanges() == 2; });
}

TEST("http1 server: a client that goes while it is not registered is missed in milliseconds") {
  Server server;
  server.say(kMore);
  server.start(true);
  server.leave();
  server.turnUntil([&] { return server.exchange(0).gone; });
  CHECK(server.closed());
}

TEST("http1 server: a body that is still to come is waited for") {
  Server server;
  server.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
  CHECK(server.start(true) == Start::Read);
  CHECK(!server.addIsDue());
  server.exchange(0).resume();
  server.say("dy");
  server.turnUntil([&] { return server.exchange(0).requestEnded; });
  CHECK_EQ(server.exchange(0).body, "body");
}

TEST("http1 server: a response that the socket has no room for goes on when it has") {
  Server server;
  server.say(kLast);
  server.start(true);
  const std::string body(1'000'000, 'x');
  server.answer(0, body);
  CHECK(!server.addIsDue());
  CHECK(server.exchange(0).blocked);
  std::string heard;
  server.turnUntil([&] {
    heard += server.hear();
    return server.ended();
  });
  CHECK(heard.size() > body.size());
}

TEST("http1 server: where the server ends a connection, what it has not heard of costs nothing") {
  Server server(1);
  server.say(kMore);
  server.start(true);
  server.say(kMore);
  server.answer(0, "body");
  // Closed at once, the bytes that nobody has read would be a reset (RFC 9112 9.6).
  CHECK(!server.closed());
  CHECK(server.hear().ends_with("4\r\nbody\r\n0\r\n\r\n"));
  server.leave();
  server.turnUntil([&] { return server.closed(); });
  CHECK_EQ(server.exchanges(), 1u);
}

// Several connections of one loop, and what became of their requests, in order.
class Crowd final : public ServerHost {
 public:
  explicit Crowd(std::size_t size) {
    settings_.bodyBytes = settings_.headTimeout = settings_.bodyTimeout = settings_.idleTimeout =
        settings_.writeTimeout = settings_.maxRequests = kForever;
    for (std::size_t i = 0; i < size; ++i) {
      std::array<int, 2> files{};
      test::require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, files.data()) == 0,
                    "a pair of sockets");
      clients_.emplace_back(files[1]);
      connections_.push_back(slab_.create(
          *context_, *this, settings_, Transport(Socket(FileHandle(files[0]))), PeerInfo{}, slab_));
      connections_.back()->start(false);
    }
  }
  ~Crowd() {
    for (ServerConnection* connection : connections_) {
      if (connection != nullptr) connection->closeNow();
    }
    loop_.turn(0);
  }

  void say(std::size_t client, std::string_view bytes) {
    test::require(write(clients_[client].get(), bytes.data(), bytes.size()) > 0, "room");
  }
  void leave(std::size_t client) { clients_[client].reset(); }
  void turn() { loop_.turn(0); }
  std::string take() { return std::exchange(log_, {}); }

  // ServerHost
  ClientStreamEvents& onRequest(ClientStream&, RequestHead&) override {
    log_ += "begun ";
    return *requests_.emplace_back(std::make_unique<Request>(log_));
  }
  ClientStreamEvents& onRefused(ClientStream&, Protocol, Reason) override {
    log_ += "refused ";
    return *requests_.emplace_back(std::make_unique<Request>(log_));
  }
  void onProtocol(AcceptedConnection&, Transport, const PeerInfo&, Protocol,
                  const Received&) override {}
  void onClosed(AcceptedConnection& closed) override {
    for (ServerConnection*& connection : connections_) {
      if (connection == &closed) connection = nullptr;
    }
  }

 private:
  class Request final : public ClientStreamEvents {
   public:
    explicit Request(std::string& log) : log_(log) {}
    void onClientBegin() override {}
    void onClientBody(std::string_view) override {}
    void onClientEnd(const HeadFields*) override {}
    void onClientBodyFailure(Reason) override {}
    void onClientGone(Reason) override { log_ += "gone "; }
    void onClientBlocked() override {}
    void onClientDrained() override {}
    void onClientConfirmed() override {}
    void onClientDone() override {}

   private:
    std::string& log_;
  };

  EventLoop loop_;
  BufferPool pool_;
  ThreadCounters counters_;
  std::unique_ptr<CodecContext> context_{new CodecContext{loop_, pool_, counters_, {}, {}, {}, {}}};
  ServerSettings settings_;
  Slab<ServerConnection> slab_;
  std::vector<FileHandle> clients_;
  std::vector<ServerConnection*> connections_;
  std::vector<std::unique_ptr<Request>> requests_;
  std::string log_;
};

TEST("http1 server: requests whose clients go let one through that has come, and end then") {
  Crowd crowd(4);
  for (std::size_t i = 0; i < 3; ++i) crowd.say(i, kMore);
  crowd.turn();
  CHECK_EQ(crowd.take(), "begun begun begun ");
  for (std::size_t i = 0; i < 3; ++i) crowd.leave(i);
  crowd.say(3, kMore);
  crowd.turn();
  std::string log = crowd.take();
  CHECK(log.starts_with("begun "));
  // As many a turn as fit its share.
  for (; log.size() < std::string_view("begun gone gone gone ").size(); log += crowd.take())
    crowd.turn();
  CHECK_EQ(log, "begun gone gone gone ");
}

}  // namespace
}  // namespace tidegate::http1
