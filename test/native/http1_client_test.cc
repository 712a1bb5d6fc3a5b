// HTTP/1 connections to endpoints, where no socket is needed to see it.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "base/slab.h"
#include "check.h"
#include "http1/client_connection.h"
#include "http2_harness.h"

namespace tidegate::http1 {
namespace {

class Host final : public ClientHost {
 public:
  bool onUnwanted(ClientConnection&) override { return false; }
  void onReusable(ClientConnection& connection) override { connection.keepIdleFor(idleMillis); }
  void onConnectionClosed(ClientConnection&) override { closed = true; }
  void onDisposed(ClientConnection& connection) override { slab.destroy(&connection); }
  void onConnected(bool) override {}
  void onTlsFailed(std::string_view) override {}

  Slab<ClientConnection> slab;
  std::uint64_t idleMillis = 1'001;
  bool closed = false;
};

// Gives the connection back as soon as its response is complete.
struct OneRequest final : UpstreamStreamEvents {
  explicit OneRequest(ClientConnection& connection) : stream(connection) {}

  void onUpstreamMoved(UpstreamStream&) override {}
  void onUpstreamReady() override {}
  void onUpstreamInformational(ResponseHead&) override {}
  void onUpstreamHead(ResponseHead&) override {}
  void onUpstreamBody(std::string_view) override {}
  void onUpstreamEnd(const HeadFields*) override {
    done = true;
    stream.release();
  }
  void onUpstreamFailure(StreamFailure) override {}
  void onUpstreamBlocked() override {}
  void onUpstreamDrained() override {}

  ClientConnection& stream;
  bool done = false;
};

TEST(
    "http1 client: a pooled connection's transport rests after a second, and it closes in its "
    "time") {
  EventLoop loop;
  BufferPool pool;
  ThreadCounters counters;
  const auto context = std::make_unique<CodecContext>(loop, pool, counters);
  Host host;
  test::MemoryLayer::Bytes bytes;
  std::array<int, 2> pair{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const FileHandle peer(pair[1]);
  const HeadLimits limits{8192, 8192, 100};
  ClientConnection& connection = *host.slab.create(
      *context, host,
      Transport(Socket(FileHandle(pair[0])), std::make_unique<test::MemoryLayer>(bytes)), limits);

  OneRequest first(connection);
  REQUIRE(connection.start(first, 10'000));
  connection.onEvents(EPOLLOUT);
  const auto serve = [&](OneRequest& request) {
    OutgoingRequest head;
    head.method = "GET";
    head.path = "/";
    head.host = "a";
    connection.sendHead(head);
    connection.finish(nullptr);
    loop.flushNow();
    bytes.in += "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    connection.onEvents(EPOLLIN);
    loop.turn(0);
    CHECK(request.done);
  };
  serve(first);
  for (int i = 0; i < 3; ++i) {
    OneRequest next(connection);
    REQUIRE(connection.assign(next, limits, false));
    serve(next);
  }
  CHECK(connection.isIdle());
  CHECK_EQ(bytes.rests, 0);
  while (!host.closed) loop.turn();
  CHECK_EQ(bytes.rests, 1);
  loop.turn(0);
  CHECK_EQ(host.slab.live(), 0);
}

}  // namespace
}  // namespace tidegate::http1
