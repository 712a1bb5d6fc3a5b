// The kernel's floor: a single-threaded relay that only shovels bytes. Each client connection gets
// one upstream connection of its own; nothing is parsed. No proxy that makes a read and a write for
// each message can cost less.
//
// Edge-triggered epoll: a turn of one direction is one read and one write, and a short read ends
// it.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "../common/sockets.h"

namespace {

using tidegate::bench::fail;
using tidegate::bench::numberOr;

constexpr const char* kUsage = "bench_floor --upstream-port N [--port N]";
constexpr std::size_t kBufferSize = 64u << 10;

// One socket, and what it did not take yet of the bytes that its peer sent.
struct Side {
  int peer = -1;              // the pair's other socket; -1 = not in use
  bool ended = false;         // it sent its last byte
  std::vector<char> waiting;  // nearly always empty
  std::size_t written = 0;    // how many of `waiting` are gone
};

class Relay {
 public:
  Relay(int listener, std::uint16_t upstreamPort)
      : listener_(listener), upstreamPort_(upstreamPort), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    epoll_event event{.events = EPOLLIN, .data = {.fd = listener_}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) fail("epoll_ctl");
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == listener_) {
          onAcceptable();
        } else {
          onEvent(events[i].data.fd, events[i].events);
        }
      }
    }
  }

 private:
  void onAcceptable() {
    for (;;) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return;
      const int upstream = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (upstream < 0) fail("socket");
      const int on = 1;
      ::setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const sockaddr_in address = tidegate::bench::loopback(upstreamPort_);
      const int connected =
          ::connect(upstream, reinterpret_cast<const sockaddr*>(&address), sizeof address);
      if (connected != 0 && errno != EINPROGRESS) fail("connect");
      open(client, upstream);
      open(upstream, client);
    }
  }

  void open(int fd, int peer) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= sides_.size()) sides_.resize(index + 1);
    sides_[index].peer = peer;
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }

  // An event of a pair that ended in this turn is dropped; where its descriptor was taken again, it
  // costs the new owner one read in vain.
  void onEvent(int fd, std::uint32_t events) {
    Side& side = sides_[static_cast<std::size_t>(fd)];
    const int peer = side.peer;
    if (peer < 0) return;
    const bool hungUp = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    bool alive = true;
    if (!side.waiting.empty() && (events & EPOLLOUT) != 0) {
      alive = flush(fd, side);
      // The peer was left unread meanwhile, and its edge is spent.
      if (alive && side.waiting.empty()) alive = forward(peer, true);
    }
    if (alive && (events & EPOLLIN) != 0) alive = forward(fd, hungUp);
    const bool over = side.ended && sides_[static_cast<std::size_t>(peer)].ended;
    if (alive && !over) return;
    for (const int end : {fd, peer}) {
      ::close(end);
      sides_[static_cast<std::size_t>(end)] = {};
    }
  }

  // Moves what `fd` has to its peer until either has had enough. `drain` reads on after a short
  // read. False: the pair is over.
  bool forward(int fd, bool drain) {
    Side& from = sides_[static_cast<std::size_t>(fd)];
    Side& to = sides_[static_cast<std::size_t>(from.peer)];
    while (to.waiting.empty() && !from.ended) {
      const ssize_t got = ::recv(fd, buffer_.data(), buffer_.size(), 0);
      if (got < 0) return errno == EAGAIN;
      if (got == 0) {
        from.ended = true;
        ::shutdown(from.peer, SHUT_WR);
        return true;
      }
      const ssize_t sent =
          ::send(from.peer, buffer_.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      const ssize_t taken = sent < 0 ? 0 : sent;
      if (taken < got) {
        to.waiting.assign(buffer_.begin() + taken, buffer_.begin() + got);
        to.written = 0;
        return flush(from.peer, to);
      }
      if (!drain && static_cast<std::size_t>(got) < buffer_.size()) return true;
    }
    return true;
  }

  // Writes what waits until the socket refuses, so that its next edge tells of room.
  static bool flush(int fd, Side& side) {
    while (side.written < side.waiting.size()) {
      const ssize_t sent = ::send(fd, side.waiting.data() + side.written,
                                  side.waiting.size() - side.written, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
      side.written += static_cast<std::size_t>(sent);
    }
    side.waiting.clear();
    return true;
  }

  int listener_;
  std::uint16_t upstreamPort_;
  int epoll_;
  std::vector<Side> sides_;  // by descriptor
  std::vector<char> buffer_ = std::vector<char>(kBufferSize);
};

}  // namespace

int main(int argc, char** argv) {
  int port = 0;
  int upstreamPort = -1;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) tidegate::bench::refuseUsage(kUsage);
    if (name == "--port") {
      port = numberOr(argv[i + 1], -1);
    } else if (name == "--upstream-port") {
      upstreamPort = numberOr(argv[i + 1], -1);
    } else {
      tidegate::bench::refuseUsage(kUsage);
    }
  }
  if (port < 0 || port > 65535 || upstreamPort < 1 || upstreamPort > 65535) {
    tidegate::bench::refuseUsage(kUsage);
  }
  const int listener = tidegate::bench::listenTcp(static_cast<std::uint16_t>(port));
  tidegate::bench::announce("127.0.0.1", tidegate::bench::portOf(listener));
  Relay(listener, static_cast<std::uint16_t>(upstreamPort)).run();
}
