#include "hellos.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "../common/clock.h"
#include "../common/sockets.h"
#include "connection.h"

namespace tidegate::bench {
namespace {

constexpr char kHandshakeRecord = 0x16;
// Begun in one turn; a loop that was held up does not make up for it all at once.
constexpr int kAtOnce = 64;

// The first message of a client of TLS 1.3.
std::string makeHello() {
  const ContextPointer context = makeContext(false);
  const SslPointer ssl(SSL_new(context.get()));
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  if (!ssl || in == nullptr || out == nullptr) fail("SSL_new");
  SSL_set_bio(ssl.get(), in, out);  // which owns them now
  SSL_set_connect_state(ssl.get());
  SSL_do_handshake(ssl.get());
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(out, &bytes);
  return {bytes, static_cast<std::size_t>(length)};
}

}  // namespace

void Hellos::begin(const Run& run, std::uint64_t now) {
  run_ = run;
  totals_ = {};
  hello_ = makeHello();
  attempts_.clear();
  attempts_.resize(run.connections);
  free_.clear();
  for (std::uint32_t i = 0; i < run.connections; ++i) free_.push_back(i);
  begun_ = due_ = now;
  deadline_ = now + run.duration;
  running_ = true;
}

bool Hellos::open(std::uint32_t index) {
  Attempt& attempt = attempts_[index];
  attempt.fd = connectTcp(run_.port);
  if (attempt.fd < 0) return false;
  attempt.sent = false;
  ++attempt.generation;
  // It ends with a reset, so that it leaves neither port nor state behind.
  const linger atOnce{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(attempt.fd, SOL_SOCKET, SO_LINGER, &atOnce, sizeof atOnce);
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                    .data = {.u64 = std::uint64_t{attempt.generation} << 32 | index}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, attempt.fd, &event) != 0) fail("epoll_ctl");
  return true;
}

void Hellos::close(std::uint32_t index) {
  ::close(std::exchange(attempts_[index].fd, -1));
  free_.push_back(index);
}

void Hellos::onEvent(const epoll_event& event) {
  const auto index = static_cast<std::uint32_t>(event.data.u64);
  if (index >= attempts_.size()) return;
  Attempt& attempt = attempts_[index];
  if (attempt.fd < 0 || attempt.generation != event.data.u64 >> 32) return;
  if (!attempt.sent && (event.events & EPOLLOUT) != 0) {
    attempt.sent = ::send(attempt.fd, hello_.data(), hello_.size(), MSG_NOSIGNAL) ==
                   static_cast<ssize_t>(hello_.size());
  }
  std::array<char, 4096> answer;
  const ssize_t got = ::recv(attempt.fd, answer.data(), answer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0 && answer[0] == kHandshakeRecord) {
    ++totals_.requests;
    totals_.bytes += static_cast<std::uint64_t>(got);
  } else {
    ++(got < 0 && errno == ECONNREFUSED ? totals_.refused : totals_.connect);
  }
  close(index);
}

bool Hellos::tick(std::uint64_t now) {
  if (!running_) return false;
  if (now >= deadline_) {
    totals_.elapsed = now - begun_;
    for (std::uint32_t i = 0; i < attempts_.size(); ++i) {
      if (attempts_[i].fd >= 0) close(i);
    }
    running_ = false;
    return true;
  }
  const std::uint64_t gap = kSecond / std::max<std::uint64_t>(run_.rate, 1);
  for (int i = 0; i < kAtOnce && due_ <= now && !free_.empty(); ++i, due_ += gap) {
    const std::uint32_t index = free_.back();
    if (!open(index)) break;
    free_.pop_back();
  }
  due_ = std::max(due_, now + 1);
  return false;
}

std::uint64_t Hellos::nextDue() const {
  if (!running_) return ~std::uint64_t{0};
  return free_.empty() ? deadline_ : std::min(due_, deadline_);
}

}  // namespace tidegate::bench
