#include "wire_side.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "../common/sockets.h"
#include "tag.h"

namespace tidegate::bench {

void WireSide::begin(const Run& run, std::uint64_t now) {
  run_ = run;
  totals_ = {};
  begun_ = now;
  deadline_ = now + run.duration;
  address_ = loopback(static_cast<std::uint16_t>(run.port));
  question_ = {"127.0.0.1:" + std::to_string(run.port), run.path, run.encrypted, run.grpc};
  phase_ = Phase::Running;
  clients_.clear();
  closed_.clear();
  for (std::uint32_t i = 0; i < run.connections; ++i) {
    clients_.push_back(std::make_unique<Client>());
    open(i);
  }
}

bool WireSide::tick(std::uint64_t now) {
  if (phase_ == Phase::Running && now >= deadline_) {
    totals_.elapsed = now - begun_;
    phase_ = Phase::Ending;
    for (std::uint32_t i = 0; i < clients_.size(); ++i) close(i);
  }
  for (; !closed_.empty(); closed_.pop_back()) {
    if (phase_ == Phase::Running) open(closed_.back());
  }
  if (phase_ != Phase::Ending || alive_ > 0) return false;
  phase_ = Phase::Quiet;
  return true;
}

void WireSide::open(std::uint32_t index) {
  Client& client = *clients_[index];
  client = {};
  client.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client.fd < 0) fail("socket");
  ++alive_;
  const int on = 1;
  ::setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (run_.encrypted) client.tls = std::make_unique<TlsClient>(run_.http2 ? "h2" : "http/1.1");
  client.asking = run_.http2 ? askOverHttp2(question_, run_.streams) : askOverHttp1(question_);
  client.connecting = true;
  ring_.connect(client.fd, &address_, sizeof address_, tagOf(Operation::WireConnect, index));
}

void WireSide::onConnect(std::uint32_t index, std::int32_t result, std::uint64_t now) {
  Client& client = *clients_[index];
  client.connecting = false;
  if (result != 0 && !client.closing) {
    ++(result == -ECONNREFUSED ? totals_.refused : totals_.connect);
    // Whoever refuses one of few connections is not under test: the run is over.
    deadline_ = 0;
    close(index);
  }
  if (client.closing) return settle(index);
  ring_.receive(client.fd, true, tagOf(Operation::WireReceive, index));
  client.receiving = true;
  goOn(index, now);
}

void WireSide::onSend(std::uint32_t index, std::int32_t result) {
  Client& client = *clients_[index];
  client.sending = false;
  if (result < 0) close(index);
  if (client.closing) return settle(index);
  send(index);
}

void WireSide::onReceive(std::uint32_t index, std::int32_t result, std::uint32_t flags,
                         std::uint64_t now) {
  Client& client = *clients_[index];
  if ((flags & IORING_CQE_F_MORE) == 0) client.receiving = false;
  if (result > 0 && !client.closing) {
    totals_.bytes += static_cast<std::uint64_t>(result);
    take(index, ring_.received(result, flags), now);
  } else if (result <= 0 && result != -ENOBUFS) {
    close(index);
  }
  ring_.recycle(flags);
  if (client.closing) return settle(index);
  if (!client.receiving) {
    ring_.receive(client.fd, true, tagOf(Operation::WireReceive, index));
    client.receiving = true;
  }
}

void WireSide::take(std::uint32_t index, std::string_view bytes, std::uint64_t now) {
  Client& client = *clients_[index];
  if (client.tls) {
    client.plain.clear();
    if (!client.tls->take(bytes, client.plain)) return close(index);
    bytes = client.plain;
  }
  const bool good = bytes.empty() || client.asking->take(bytes);
  std::vector<Answer>& answers = client.asking->answers();
  for (const Answer& answer : answers) count(answer, now);
  client.underWay -= static_cast<std::uint32_t>(answers.size());
  answers.clear();
  if (good) {
    goOn(index, now);
  } else {
    close(index);
  }
}

// Asks until as many requests are under way as may be.
void WireSide::goOn(std::uint32_t index, std::uint64_t now) {
  Client& client = *clients_[index];
  const bool ready = !client.tls || client.tls->isEstablished();
  const std::uint32_t most = run_.http2 ? run_.streams : 1;
  for (; ready && client.underWay < most; ++client.underWay) client.asking->ask(now);
  send(index);
}

// What there is goes out at once; one send at a time.
void WireSide::send(std::uint32_t index) {
  Client& client = *clients_[index];
  if (client.sending || client.connecting) return;
  std::string& asked = client.asking->output();
  if (client.tls) {
    if (client.tls->isEstablished()) {
      client.tls->protect(asked);
      asked.clear();
    }
    client.batch.swap(client.tls->output());
    client.tls->output().clear();
  } else {
    client.batch.swap(asked);
    asked.clear();
  }
  if (client.batch.empty()) return;
  ring_.send(client.fd, client.batch, tagOf(Operation::WireSend, index));
  client.sending = true;
}

void WireSide::count(const Answer& answer, std::uint64_t now) {
  if (answer.status == 0) {
    ++totals_.broken;
  } else if (answer.status >= 400) {
    ++totals_.status;
    if (answer.status == 429) ++totals_.limited;
  } else {
    ++totals_.requests;
    totals_.latency.record(now - answer.asked);
  }
}

void WireSide::close(std::uint32_t index) {
  Client& client = *clients_[index];
  if (client.closing || client.fd < 0) return;
  client.closing = true;
  if (phase_ == Phase::Running) totals_.broken += client.underWay;
  // The kernel keeps a socket for as long as an operation is with it.
  ::shutdown(client.fd, SHUT_RDWR);
  settle(index);
}

// Goes on once the kernel holds nothing of a closing connection: it is opened again with the next
// tick.
void WireSide::settle(std::uint32_t index) {
  Client& client = *clients_[index];
  if (client.fd < 0 || client.receiving || client.sending || client.connecting) return;
  ring_.close(client.fd);
  client.fd = -1;
  --alive_;
  closed_.push_back(index);
}

}  // namespace tidegate::bench
