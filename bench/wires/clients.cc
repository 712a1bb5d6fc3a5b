#include "clients.h"

#include <openssl/ssl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

#include "../common/clock.h"
#include "../common/http2.h"
#include "../common/sockets.h"

namespace tidegate::bench {
namespace {

constexpr std::uint64_t kRest = kSecond / 1000;     // after a failure
constexpr std::uint64_t kPatience = 2 * kSecond;    // for an answer, once the run has ended
constexpr std::uint64_t kPreparing = 30 * kSecond;  // the most for what comes before the run
constexpr std::uint32_t kOpeningAtOnce = 64;        // of those that stay
constexpr std::uint64_t kNever = ~std::uint64_t{0};

}  // namespace

void Clients::begin(const Run& run, std::uint64_t now) {
  release();
  run_ = run;
  totals_ = {};
  session_.reset();
  context_.reset();
  if (run.encrypted) {
    context_ = makeContext(run.http2);
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
  }
  std::string authority = "127.0.0.1:";
  authority.append(std::to_string(run.port));
  request_ = "GET ";
  request_.append(run.path).append(" HTTP/1.1\r\nHost: ").append(authority);
  request_.append(stays() ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
  block_ = http2::requestBlock(run.encrypted, run.path, authority);
  greeting_ = Answers::greeting(run.http2);
  free_.clear();
  resting_.clear();
  clients_.clear();
  clients_.resize(run.connections);
  issued_ = opened_ = settled_ = 0;
  begun_ = now;
  deadline_ = now + (run.task == Task::Hold ? run.duration : kPreparing);
  if (run.resumed) {
    phase_ = Phase::First;
    SSL_CTX_set_app_data(context_.get(), this);
    SSL_CTX_sess_set_new_cb(context_.get(), keepSession);
    SSL_CTX_set_session_cache_mode(context_.get(),
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    open(0, now);
  } else {
    start(now);
  }
}

void Clients::start(std::uint64_t now) {
  if (stays()) {
    phase_ = Phase::Connecting;
    opened_ = std::min(kOpeningAtOnce, run_.connections);
  } else {
    phase_ = Phase::Running;
    opened_ = run_.connections;
    begun_ = now;
    deadline_ = now + run_.duration;
    totals_ = {};
  }
  for (std::uint32_t i = 0; i < opened_; ++i) open(i, now);
}

void Clients::release() { clients_.clear(); }

int Clients::keepSession(SSL* ssl, SSL_SESSION* session) {
  auto* const clients = static_cast<Clients*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  if (clients->phase_ != Phase::First) return 0;
  clients->session_.reset(session);
  return 1;
}

void Clients::open(std::uint32_t index, std::uint64_t now) {
  Client& client = clients_[index];
  client.state = State::Establishing;
  client.stream = 1;
  client.start = now;
  client.answers.begin(run_.http2);
  if (!client.connection.open(run_.port, context_.get(), session_.get())) {
    return failed(index, totals_.connect, now);
  }
  ++client.generation;
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                    .data = {.u64 = std::uint64_t{client.generation} << 32 | index}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, client.connection.fd(), &event) != 0) fail("epoll_ctl");
}

void Clients::onEvent(const epoll_event& event, std::uint64_t now) {
  const auto index = static_cast<std::uint32_t>(event.data.u64);
  if (index >= clients_.size()) return;
  Client& client = clients_[index];
  if (client.generation != event.data.u64 >> 32 || client.state == State::Closed) return;
  if (client.state != State::Establishing) return read(index, now);
  switch (client.connection.establish(event.events)) {
    case Connection::Progress::NotYet:
      return;
    case Connection::Progress::Refused:
      return failed(index, totals_.refused, now);
    case Connection::Progress::Failed:
      return failed(index, totals_.connect, now);
    case Connection::Progress::Done:
      return established(index, now);
  }
}

void Clients::established(std::uint32_t index, std::uint64_t now) {
  Client& client = clients_[index];
  if (run_.encrypted && client.connection.resumed() != (session_ != nullptr)) {
    std::fprintf(stderr, "bench_wires: a handshake was %s\n",
                 session_ ? "full, not resumed" : "resumed, not full");
    return failed(index, totals_.connect, now);
  }
  client.state = State::Ready;
  if (!greeting_.empty() && !client.connection.send(greeting_)) {
    return failed(index, totals_.connect, now);
  }
  if (run_.task == Task::Requests) {
    free_.push_back(index);
    return settle(index, now);
  }
  ask(index);
}

void Clients::ask(std::uint32_t index) {
  Client& client = clients_[index];
  client.state = State::Waiting;
  bool sent = false;
  if (run_.http2) {
    std::string frame;
    http2::appendFrame(frame, http2::FrameType::Headers, http2::kEndHeaders | http2::kEndStream,
                       std::exchange(client.stream, client.stream + 2), block_);
    sent = client.connection.send(frame);
  } else {
    sent = client.connection.send(request_);
  }
  if (!sent) failed(index, totals_.broken, nanoseconds());
}

void Clients::read(std::uint32_t index, std::uint64_t now) {
  static std::array<char, 64u << 10> buffer;
  Client& client = clients_[index];
  for (;;) {
    const std::ptrdiff_t got = client.connection.receive(buffer);
    if (got == 0) return;
    if (got < 0) return failed(index, totals_.broken, now);
    totals_.bytes += static_cast<std::uint64_t>(got);
    std::string reply;
    const Outcome outcome =
        client.answers.feed(std::string_view(buffer.data(), static_cast<std::size_t>(got)), reply);
    if (!reply.empty() && !client.connection.send(reply)) {
      return failed(index, totals_.broken, now);
    }
    if (outcome == Outcome::Incomplete) continue;
    if (outcome == Outcome::Broken) return failed(index, totals_.broken, now);
    answered(index, outcome == Outcome::Good, now);
    // Its connection may be a new one.
    if (client.state != State::Ready) return;
  }
}

void Clients::answered(std::uint32_t index, bool good, std::uint64_t now) {
  Client& client = clients_[index];
  if (phase_ == Phase::First) {
    client.state = State::Closed;
    client.connection.close();
    if (session_) {
      // With a cache, however empty, OpenSSL lets a session be used once only.
      SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
      return start(now);
    }
    std::fputs("bench_wires: the server gave no session to resume\n", stderr);
    ++totals_.connect;
    deadline_ = 0;
    return;
  }
  ++(good ? totals_.requests : totals_.status);
  client.state = State::Ready;
  switch (run_.task) {
    case Task::Requests:
      totals_.latency.record(now - client.start);
      free_.push_back(index);
      return;
    case Task::Hold:
      return settle(index, now);
    default:
      totals_.latency.record(now - client.start);
      client.connection.close();
      return open(index, now);
  }
}

// One of those that stay is ready, or will never be: the next one's turn.
void Clients::settle(std::uint32_t /*index*/, std::uint64_t now) {
  if (phase_ != Phase::Connecting) return;
  ++settled_;
  if (opened_ < run_.connections) open(opened_++, now);
}

void Clients::failed(std::uint32_t index, std::uint64_t& counter, std::uint64_t now) {
  ++counter;
  Client& client = clients_[index];
  client.connection.close();
  client.state = State::Closed;
  if (phase_ == Phase::First) {
    deadline_ = 0;
    return;
  }
  if (phase_ == Phase::Connecting) return settle(index, now);
  if (run_.task == Task::Hold) return;
  if (resting_.empty()) restUntil_ = now + kRest;
  resting_.push_back(index);
}

bool Clients::tick(std::uint64_t now) {
  if (phase_ == Phase::Quiet) return false;
  if (phase_ == Phase::Connecting && settled_ == run_.connections) {
    if (run_.task == Task::Hold) {
      totals_.elapsed = now - begun_;
      phase_ = Phase::Quiet;
      return true;
    }
    phase_ = Phase::Running;
    begun_ = now;
    deadline_ = now + run_.duration;
    totals_.idle = 0;
  }
  if (now >= deadline_) {
    end(now);
    return true;
  }
  if (!resting_.empty() && now >= restUntil_) {
    for (const std::uint32_t index : std::exchange(resting_, {})) open(index, now);
  }
  while (phase_ == Phase::Running && run_.task == Task::Requests && !free_.empty()) {
    // Late or not, a request counts from when it was due.
    const std::uint64_t due = dueAt(issued_);
    if (due > now) break;
    const std::uint32_t index = free_.front();
    free_.pop_front();
    if (clients_[index].state != State::Ready) continue;  // its peer closed it meanwhile
    ++issued_;
    clients_[index].start = due;
    ask(index);
  }
  return false;
}

std::uint64_t Clients::dueAt(std::uint64_t number) const {
  return begun_ + number * kSecond / std::max<std::uint64_t>(run_.rate, 1);
}

std::uint64_t Clients::nextDue() const {
  if (phase_ == Phase::Quiet) return kNever;
  std::uint64_t due = deadline_;
  if (!resting_.empty()) due = std::min(due, restUntil_);
  if (phase_ == Phase::Running && run_.task == Task::Requests && !free_.empty()) {
    due = std::min(due, dueAt(issued_));
  }
  return due;
}

void Clients::end(std::uint64_t now) {
  totals_.elapsed = now - begun_;
  for (const Client& client : clients_) {
    if (client.state == State::Waiting && now - client.start > kPatience) ++totals_.timeout;
  }
  if (run_.task == Task::Hold) {
    totals_.timeout = run_.connections - settled_;
  } else {
    release();
  }
  phase_ = Phase::Quiet;
}

}  // namespace tidegate::bench
