#include "server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../common/sockets.h"
#include "request.h"
#include "responses.h"

namespace tidegate::bench {
namespace {

constexpr std::size_t kInputSize = 256u << 10;
constexpr std::size_t kBatch = 64;  // responses in one write, when requests come pipelined

struct Connection {
  int fd = -1;
  bool closing = false;        // ends once `output` is written
  bool uploading = false;      // in the body of an upload
  std::size_t uploadLeft = 0;  // bytes of it that are still to come
  std::size_t uploadSize = 0;  // bytes of it in all
  std::string input;           // what a read left unanswered; nearly always empty
  std::string answer;          // backs the one response that is not prebuilt
  std::vector<std::string_view>
      output;  // responses that the socket did not take; nearly always none
};

class Server {
 public:
  Server(int listener, bool tcp)
      : listener_(listener), tcp_(tcp), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    epoll_event event{.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.fd = listener_}};
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
  enum class Turn { Again, Wait, End };

  void onAcceptable() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const auto index = static_cast<std::size_t>(fd);
      if (index >= connections_.size()) connections_.resize(index + 1);
      connections_[index] = std::make_unique<Connection>();
      connections_[index]->fd = fd;
      epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
      if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    }
  }

  // Edge-triggered: goes on until the socket has nothing more to say or takes no more.
  void onEvent(int fd, std::uint32_t events) {
    std::unique_ptr<Connection>& connection = connections_[static_cast<std::size_t>(fd)];
    const bool hungUp = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    Turn turn = Turn::Again;
    while (turn == Turn::Again) turn = step(*connection, hungUp);
    if (turn == Turn::Wait) return;
    ::close(fd);
    connection.reset();
  }

  Turn step(Connection& connection, bool hungUp) {
    if (!connection.output.empty()) {
      if (!write(connection, connection.output)) return Turn::End;
      if (!connection.output.empty()) return Turn::Wait;
      if (!connection.input.empty()) return answer(connection, std::exchange(connection.input, {}));
    }
    if (connection.closing) return Turn::End;
    if (connection.uploading) return discard(connection);

    const std::size_t kept = connection.input.size();
    if (kept == kInputSize) return Turn::End;
    const ssize_t got = ::recv(connection.fd, input_.data() + kept, kInputSize - kept, 0);
    if (got < 0) return errno == EAGAIN ? Turn::Wait : Turn::End;
    if (got == 0) return Turn::End;
    std::copy(connection.input.begin(), connection.input.end(), input_.begin());
    connection.input.clear();
    const std::size_t length = kept + static_cast<std::size_t>(got);
    const Turn turn = answer(connection, std::string_view(input_.data(), length));
    // A short read emptied the socket, and what comes later makes an edge of its own.
    return turn == Turn::Again && length < kInputSize && !hungUp && !connection.uploading &&
                   !connection.closing
               ? Turn::Wait
               : turn;
  }

  // Drops what has come of an upload's body. TCP does so without a copy.
  Turn discard(Connection& connection) {
    while (connection.uploadLeft > 0) {
      const std::size_t most =
          tcp_ ? connection.uploadLeft : std::min(connection.uploadLeft, kInputSize);
      const ssize_t got = ::recv(connection.fd, input_.data(), most, tcp_ ? MSG_TRUNC : 0);
      if (got < 0) return errno == EAGAIN ? Turn::Wait : Turn::End;
      if (got == 0) return Turn::End;
      connection.uploadLeft -= static_cast<std::size_t>(got);
    }
    return endUpload(connection);
  }

  Turn endUpload(Connection& connection) {
    connection.uploading = false;
    connection.answer = uploadAnswer(connection.uploadSize);
    std::vector<std::string_view> responses{connection.answer};
    return send(connection, responses);
  }

  // Answers every complete request in `input` and keeps the rest of it.
  Turn answer(Connection& connection, std::string_view input) {
    batch_.clear();
    while (!input.empty() && batch_.size() < kBatch && !connection.closing) {
      const Request request = readRequest(input);
      if (request.want == Want::Incomplete) break;
      // An upload's answer has one place to live, so it is sent before the next request is read.
      if (request.want == Want::Upload && !batch_.empty()) break;
      input.remove_prefix(request.headLength);
      connection.closing =
          request.close || request.want == Want::Close || request.want == Want::Refused;
      if (request.want == Want::Upload) return beginUpload(connection, request.uploadLength, input);
      batch_.push_back(responseTo(connection, request));
    }
    const bool more = batch_.size() == kBatch || (!batch_.empty() && !input.empty());
    connection.input.assign(input);
    const Turn turn = send(connection, batch_);
    if (turn != Turn::Again || !more || connection.closing) return turn;
    return connection.input.empty() ? Turn::Again
                                    : answer(connection, std::exchange(connection.input, {}));
  }

  Turn beginUpload(Connection& connection, std::size_t length, std::string_view rest) {
    const std::size_t here = std::min(length, rest.size());
    connection.uploading = true;
    connection.uploadSize = length;
    connection.uploadLeft = length - here;
    connection.input.assign(rest.substr(here));
    if (connection.uploadLeft > 0) return Turn::Again;
    const Turn turn = endUpload(connection);
    if (turn != Turn::Again || connection.input.empty()) return turn;
    return answer(connection, std::exchange(connection.input, {}));
  }

  std::string_view responseTo(Connection& connection, const Request& request) {
    if (request.want == Want::Body) return responses_.ofSize(request.bodySize);
    if (request.want == Want::Close) return responses_.closing();
    connection.answer = refusal("501 Not Implemented");
    return connection.answer;
  }

  Turn send(Connection& connection, std::vector<std::string_view>& responses) {
    if (responses.empty()) return Turn::Again;
    if (!write(connection, responses)) return Turn::End;
    if (responses.empty()) return connection.closing ? Turn::End : Turn::Again;
    if (&responses != &connection.output) connection.output = responses;
    return Turn::Wait;
  }

  // Writes once or until the socket is full; what was taken leaves `chain`. False: it is broken.
  static bool write(Connection& connection, std::vector<std::string_view>& chain) {
    while (!chain.empty()) {
      std::array<iovec, kBatch> parts;
      const std::size_t count = std::min(chain.size(), parts.size());
      for (std::size_t i = 0; i < count; ++i) {
        parts[i] = {const_cast<char*>(chain[i].data()), chain[i].size()};
      }
      const ssize_t sent =
          count == 1 ? ::send(connection.fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                     : ::writev(connection.fd, parts.data(), static_cast<int>(count));
      if (sent < 0) return errno == EAGAIN;
      std::size_t left = static_cast<std::size_t>(sent);
      std::size_t done = 0;
      while (done < chain.size() && left >= chain[done].size()) left -= chain[done++].size();
      if (done < chain.size()) chain[done].remove_prefix(left);
      chain.erase(chain.begin(), chain.begin() + static_cast<std::ptrdiff_t>(done));
    }
    return true;
  }

  int listener_;
  bool tcp_;
  int epoll_;
  Responses responses_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by descriptor
  std::vector<std::string_view> batch_;
  std::vector<char> input_ = std::vector<char>(kInputSize);
};

}  // namespace

void serve(int listener, bool tcp) { Server(listener, tcp).run(); }

}  // namespace tidegate::bench
