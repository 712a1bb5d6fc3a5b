#include "client_side.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../common/head.h"
#include "../common/sockets.h"
#include "tag.h"

namespace tidegate::bench {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kRest = kSecond / 1000;   // after a failure
constexpr std::uint64_t kPatience = 2 * kSecond;  // for an answer, once the run has ended
constexpr std::uint32_t kOpeningAtOnce = 64;      // in `hold` mode
constexpr std::size_t kStride = 7919;  // a prime: neighbours in time are none in the table

constexpr std::size_t kTaggedSizes = 1009;  // another prime: sizes repeat out of step with all else

std::size_t taggedSize(std::uint64_t number) { return 64 + number % kTaggedSizes; }

std::string taggedRequest(const Run& run, std::uint64_t number, bool fresh) {
  std::string text = "GET /b/";
  text.append(std::to_string(taggedSize(number))).append(" HTTP/1.1\r\nHost: 127.0.0.1:");
  text.append(std::to_string(run.port)).append("\r\nX-Tag: ").append(std::to_string(number));
  return text.append(fresh ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
}

std::string requestText(const Run& run, std::size_t number, bool fresh) {
  std::string path = run.path;
  if (const std::size_t at = path.find("{n}"); at != std::string::npos) {
    path.replace(at, 3, std::to_string(number % run.paths));
  }
  std::string text = run.upload > 0 ? "POST " : "GET ";
  text.append(path).append(" HTTP/1.1\r\nHost: 127.0.0.1:").append(std::to_string(run.port));
  if (!run.headers.empty()) text.append("\r\n").append(run.headers[number % run.headers.size()]);
  if (fresh) text.append("\r\nConnection: close");
  if (run.upload > 0) text.append("\r\nContent-Length: ").append(std::to_string(run.upload));
  return text.append("\r\n\r\n").append(run.upload, 'x');
}

// "HTTP/1.1 200 ..."
int statusOf(std::string_view head) {
  return head.size() < 12 ? 0 : static_cast<int>(leadingNumber(head.substr(9, 3)));
}

}  // namespace

void ClientSide::begin(const Run& run) {
  release();
  run_ = run;
  phase_ = Phase::Starting;
}

void ClientSide::start(std::uint64_t now) {
  const Run& run = run_;
  phase_ = Phase::Running;
  totals_ = {};
  begun_ = now;
  deadline_ = now + run.duration;
  issued_ = 0;
  nextRequest_ = 0;
  address_ = loopback(static_cast<std::uint16_t>(run.port));
  tags_ = 0;
  asideDue_ = now + kSecond / 2;
  asideRequest_ = "GET ";
  asideRequest_.append(run.aside).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  requests_.clear();
  const std::size_t texts = std::max<std::size_t>(run.paths, run.headers.size());
  for (std::size_t i = 0; i < 2 * texts; ++i) {
    requests_.push_back(requestText(run, i % texts, i >= texts));
  }
  idle_.clear();
  resting_.clear();
  clients_.clear();
  clients_.resize(run.connections + (run.aside.empty() ? 0 : 1));
  const auto all = static_cast<std::uint32_t>(clients_.size());
  opened_ = run.hold ? std::min(kOpeningAtOnce, run.connections) : all;
  for (std::uint32_t i = 0; i < run.connections; ++i) clients_[i].fresh = i < run.fresh;
  if (!run.aside.empty()) clients_.back().aside = true;
  for (std::uint32_t i = 0; i < opened_; ++i) open(i);
}

void ClientSide::release() {
  for (Client& client : clients_) {
    if (client.fd >= 0) ::shutdown(client.fd, SHUT_RDWR);
  }
}

bool ClientSide::tick(std::uint64_t now) {
  if (phase_ == Phase::Quiet) return false;
  if (phase_ == Phase::Starting) {
    if (alive_ == 0) start(now);
    return false;
  }
  if (phase_ == Phase::Ending) {
    if (alive_ > 0) return false;
    phase_ = Phase::Quiet;
    return true;
  }
  if (run_.hold) {
    const std::uint64_t settled =
        totals_.requests + totals_.refused + totals_.connect + totals_.broken + totals_.status;
    if (settled < run_.connections && now < deadline_) return false;
    totals_.timeout = run_.connections - settled;
    totals_.elapsed = now - begun_;
    phase_ = Phase::Quiet;
    return true;
  }
  if (now >= deadline_) {
    end(now);
    return false;
  }
  while (!resting_.empty() && resting_.front().until <= now) {
    const std::uint32_t index = resting_.front().client;
    resting_.pop_front();
    open(index);
  }
  while (run_.rate > 0 && !idle_.empty()) {
    // Late or not, a request counts from when it was due.
    const std::uint64_t due = begun_ + issued_ * kSecond / run_.rate;
    if (due > now) break;
    const std::uint32_t index = idle_.front();
    idle_.pop_front();
    if (clients_[index].state != State::Ready) continue;  // its peer closed it meanwhile
    ++issued_;
    request(index, due);
  }
  if (!run_.aside.empty() && asideDue_ <= now) requestAside(now);
  return false;
}

// One that is not answered yet is not asked again.
void ClientSide::requestAside(std::uint64_t now) {
  asideDue_ += kSecond;
  if (clients_.back().state == State::Ready) request(run_.connections, now);
}

void ClientSide::end(std::uint64_t now) {
  totals_.elapsed = now - begun_;
  phase_ = Phase::Ending;
  resting_.clear();
  for (std::uint32_t i = 0; i < clients_.size(); ++i) {
    const Client& client = clients_[i];
    if (client.state == State::Waiting && now - client.start > kPatience) ++totals_.timeout;
    if (client.fd >= 0) close(i, false, now);
  }
}

void ClientSide::open(std::uint32_t index) {
  Client& client = clients_[index];
  client.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client.fd < 0) fail("socket");
  ++alive_;
  if (!client.fresh) {
    const int on = 1;
    ::setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  client.state = State::Connecting;
  client.failed = client.inBody = client.lastAnswer = false;
  client.head.clear();
  ring_.connect(client.fd, &address_, sizeof address_, tagOf(Operation::ClientConnect, index));
}

void ClientSide::onConnect(std::uint32_t index, std::int32_t result, std::uint64_t now) {
  Client& client = clients_[index];
  if (result == 0 && client.state == State::Connecting) {
    ready(index, now);
    return;
  }
  if (client.state == State::Connecting) {
    ++(result == -ECONNREFUSED ? totals_.refused : totals_.connect);
    client.failed = true;
  }
  client.state = State::Closing;
  settle(index, now);
}

void ClientSide::ready(std::uint32_t index, std::uint64_t now) {
  Client& client = clients_[index];
  client.state = State::Ready;
  if (client.aside) return;
  if (run_.rate > 0) {
    idle_.push_back(index);
  } else {
    request(index, now);
  }
}

void ClientSide::request(std::uint32_t index, std::uint64_t start) {
  Client& client = clients_[index];
  client.state = State::Waiting;
  client.start = start;
  ring_.send(client.fd, nextRequest(client), tagOf(Operation::ClientSend, index));
  client.sending = true;
  if (!client.receiving) {
    // A fresh connection takes one answer and must hold no receive when it closes.
    ring_.receive(client.fd, !client.fresh, tagOf(Operation::ClientReceive, index));
    client.receiving = true;
  }
}

std::string_view ClientSide::nextRequest(Client& client) {
  if (client.aside) return asideRequest_;
  if (run_.tagged) {
    client.number = tags_++;
    client.request = taggedRequest(run_, client.number, client.fresh);
    return client.request;
  }
  const std::size_t texts = requests_.size() / 2;
  const std::size_t number = nextRequest_;
  nextRequest_ = (nextRequest_ + kStride) % texts;
  return requests_[client.fresh ? texts + number : number];
}

void ClientSide::onSend(std::uint32_t index, std::int32_t result, std::uint64_t now) {
  Client& client = clients_[index];
  client.sending = false;
  if (client.state == State::Closing) {
    settle(index, now);
  } else if (result < 0) {
    ++totals_.broken;
    close(index, true, now);
  }
}

void ClientSide::onReceive(std::uint32_t index, std::int32_t result, std::uint32_t flags,
                           std::uint64_t now) {
  Client& client = clients_[index];
  if ((flags & IORING_CQE_F_MORE) == 0) client.receiving = false;
  if (client.state == State::Closing) {
    ring_.recycle(flags);
    settle(index, now);
    return;
  }
  if (result > 0) {
    totals_.bytes += static_cast<std::uint64_t>(result);
    consume(index, ring_.received(result, flags), now);
    ring_.recycle(flags);
  } else if (result != -ENOBUFS) {
    if (client.state == State::Waiting) ++totals_.broken;
    close(index, client.state == State::Waiting, now);
    return;
  }
  const bool connected = client.state == State::Ready || client.state == State::Waiting;
  if (connected && !client.receiving) {
    ring_.receive(client.fd, !client.fresh, tagOf(Operation::ClientReceive, index));
    client.receiving = true;
  }
}

void ClientSide::consume(std::uint32_t index, std::string_view bytes, std::uint64_t now) {
  Client& client = clients_[index];
  std::string joined;
  if (!client.inBody) {
    if (!client.head.empty()) {
      joined = std::move(client.head.append(bytes));
      client.head.clear();
      bytes = joined;
    }
    const std::size_t length = headLength(bytes);
    if (length == 0) {
      client.head.assign(bytes);
      return;
    }
    const std::string_view head = bytes.substr(0, length);
    const std::string_view bodyLength = headerValue(head, "content-length:");
    client.status = statusOf(head);
    client.lastAnswer = saysClose(headerValue(head, "connection:"));
    client.bodyLeft = leadingNumber(bodyLength);
    client.inBody = true;
    if (run_.tagged && client.status < 400 &&
        (client.bodyLeft != taggedSize(client.number) ||
         leadingNumber(headerValue(head, "x-tag:")) != client.number)) {
      ++totals_.crossed;
    }
    bytes.remove_prefix(length);
    // Every answer of the origin has a length, and a proxy has no reason to take it away.
    if (bodyLength.empty() || client.state != State::Waiting) {
      ++totals_.broken;
      close(index, true, now);
      return;
    }
  }
  if (bytes.size() > client.bodyLeft) {
    ++totals_.broken;
    close(index, true, now);
    return;
  }
  client.bodyLeft -= bytes.size();
  if (client.bodyLeft == 0) answered(index, now);
}

void ClientSide::answered(std::uint32_t index, std::uint64_t now) {
  Client& client = clients_[index];
  client.inBody = false;
  if (client.status >= 400) {
    ++totals_.status;
    if (client.status == 429) ++totals_.limited;
  } else if (!client.aside) {
    ++totals_.requests;
    totals_.latency.record(now - client.start);
  }
  if (run_.hold) {
    client.state = State::Ready;
    if (phase_ == Phase::Running && opened_ < run_.connections) open(opened_++);
  } else if (client.fresh || client.lastAnswer) {
    close(index, false, now);
  } else {
    ready(index, now);
  }
}

void ClientSide::close(std::uint32_t index, bool failed, std::uint64_t now) {
  Client& client = clients_[index];
  if (client.state == State::Closing) return;
  const bool connecting = client.state == State::Connecting;
  client.state = State::Closing;
  client.failed = failed;
  // The kernel keeps a socket for as long as an operation is with it.
  if (client.receiving || client.sending || connecting) ::shutdown(client.fd, SHUT_RDWR);
  if (!connecting) settle(index, now);
}

// Goes on once the kernel holds nothing of a closing connection.
void ClientSide::settle(std::uint32_t index, std::uint64_t now) {
  Client& client = clients_[index];
  if (client.receiving || client.sending) return;
  ring_.close(client.fd);
  client.fd = -1;
  client.state = State::Closed;
  --alive_;
  if (phase_ != Phase::Running || run_.hold) return;
  if (client.failed) {
    resting_.push_back({now + kRest, index});
  } else {
    open(index);
  }
}

}  // namespace tidegate::bench
