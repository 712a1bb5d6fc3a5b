// How a TCP connection ends: what was written last, and what the peer can tell of it.
#include "io/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"

namespace tidegate {
namespace {

constexpr std::string_view kRequest = "ask";

// A server's socket and its client's, over loopback; the client has said kRequest.
struct Connection {
  Connection() {
    const ListenResult listener = listenOn(*SocketAddress::parse("127.0.0.1:0"), false);
    test::require(listener.error.empty(), listener.error.c_str());
    client = FileHandle(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    test::require(
        connect(client.get(), listener.address.native(), listener.address.nativeLength()) == 0,
        "a connection");
    say(kRequest);
    waitFor(listener.file.get());
    server = Socket(FileHandle(accept4(listener.file.get(), nullptr, nullptr, SOCK_NONBLOCK)));
    test::require(server.open(), "a client");
  }

  void say(std::string_view bytes) {
    test::require(send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                      static_cast<ssize_t>(bytes.size()),
                  "room in the socket");
  }
  void readRequest() {
    std::array<char, kRequest.size()> request{};
    test::require(server.read(request).bytes == request.size(), "a request");
  }
  void write(std::string_view bytes) {
    const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    test::require(server.write({&part, 1}).bytes == bytes.size(), "room in the socket");
  }
  // All that comes, up to an end or a reset.
  std::string hearAll() {
    std::string heard;
    std::array<char, 256> some{};
    for (ssize_t n = 0; (n = recv(client.get(), some.data(), some.size(), 0)) > 0;)
      heard.append(some.data(), static_cast<std::size_t>(n));
    return heard;
  }
  bool clientHasInput() {
    char byte = 0;
    return recv(client.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }
  // Segments that have come to the client.
  std::uint32_t segments() {
    tcp_info info{};
    socklen_t length = sizeof info;
    test::require(getsockopt(client.get(), IPPROTO_TCP, TCP_INFO, &info, &length) == 0, "TCP_INFO");
    return info.tcpi_segs_in;
  }
  static void waitFor(int fd) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    test::require(poll(&ready, 1, -1) == 1, "something to read");
  }

  FileHandle client;
  Socket server;
};

TEST("socket: where an end follows, what is written last goes out with it in one segment") {
  Connection connection;
  connection.readRequest();
  const std::uint32_t before = connection.segments();
  connection.server.expectEnd();
  connection.write("answer");
  CHECK(!connection.clientHasInput());
  connection.server.close();
  CHECK_EQ(connection.hearAll(), "answer");
  CHECK_EQ(connection.segments() - before, 1u);
}

TEST("socket: an end of one direction sends what waits for it") {
  Connection connection;
  connection.readRequest();
  connection.server.expectEnd();
  connection.write("answer");
  connection.server.shutdownWrite();
  CHECK_EQ(connection.hearAll(), "answer");
}

TEST("socket: what waits for the end is sent also where the peer has said more than was read") {
  Connection connection;
  connection.server.expectEnd();
  connection.write("answer");
  connection.server.close();
  CHECK_EQ(connection.hearAll(), "answer");
}

TEST("socket: a reset takes what waits for the end with it") {
  Connection connection;
  connection.readRequest();
  connection.server.expectEnd();
  connection.write("answer");
  connection.server.abort();
  CHECK_EQ(connection.hearAll(), "");
}

}  // namespace
}  // namespace tidegate
