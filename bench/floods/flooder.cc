#include "flooder.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "../common/clock.h"
#include "../common/http2.h"
#include "../common/sockets.h"

namespace tidegate::bench {
namespace {

constexpr std::uint64_t kRest = kSecond / 1000;
// Sent in one turn; a loop that was held up makes up for so much of it.
constexpr int kPiecesAtOnce = 16;

std::string authorityOf(std::uint16_t port) {
  std::string authority = "127.0.0.1:";
  return authority.append(std::to_string(port));
}

// NO_ERROR comes behind an answer that was the end already (RFC 9113 8.1).
bool endsStream(const http2::FrameHeader& header, std::string_view payload) {
  constexpr std::string_view kNoError{"\0\0\0\0", 4};
  switch (header.type) {
    case http2::FrameType::Headers:
    case http2::FrameType::Data:
      return (header.flags & http2::kEndStream) != 0;
    case http2::FrameType::RstStream:
      return payload != kNoError;
    default:
      return false;
  }
}

}  // namespace

Flooder::Flooder(int epoll, const Flood& flood, std::uint64_t now)
    : epoll_(epoll),
      flood_(flood),
      held_(heldStreams(flood.kind)),
      senders_(flood.connections, Sender(Script(flood.kind, authorityOf(flood.port)))),
      begun_(now),
      deadline_(now + flood.duration),
      due_(now) {
  for (std::uint32_t i = 0; i < flood.connections; ++i) open(i, now);
}

Flooder::~Flooder() {
  for (std::uint32_t i = 0; i < senders_.size(); ++i) close(i);
}

void Flooder::open(std::uint32_t index, std::uint64_t now) {
  Sender& sender = senders_[index];
  sender.fd = connectTcp(flood_.port);
  sender.connected = false;
  sender.open = 0;
  sender.out.clear();
  sender.received.clear();
  ++sender.generation;
  if (sender.fd < 0) {
    ++totals_.failed;
    if (resting_.empty()) restUntil_ = now + kRest;
    resting_.push_back(index);
    return;
  }
  // It ends with a reset, so that it leaves no port behind.
  const linger atOnce{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(sender.fd, SOL_SOCKET, SO_LINGER, &atOnce, sizeof atOnce);
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                    .data = {.u64 = std::uint64_t{sender.generation} << 32 | index}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, sender.fd, &event) != 0) fail("epoll_ctl");
}

void Flooder::close(std::uint32_t index) {
  Sender& sender = senders_[index];
  if (sender.fd >= 0) ::close(std::exchange(sender.fd, -1));
}

void Flooder::lost(std::uint32_t index, std::uint64_t now) {
  const bool connected = senders_[index].connected;
  ++(connected ? totals_.ended : totals_.failed);
  close(index);
  if (connected) return open(index, now);
  if (resting_.empty()) restUntil_ = now + kRest;
  resting_.push_back(index);
}

void Flooder::onEvent(const epoll_event& event, std::uint64_t now) {
  const auto index = static_cast<std::uint32_t>(event.data.u64);
  Sender& sender = senders_[index];
  if (sender.fd < 0 || sender.generation != event.data.u64 >> 32) return;
  if (!sender.connected && (event.events & (EPOLLOUT | EPOLLERR)) == EPOLLOUT) {
    sender.connected = true;
    ++totals_.opened;
    sender.out = sender.script.open();
  }
  if (!flush(sender) || !receive(sender)) return lost(index, now);
  makeReady(index);
}

// False: its connection has ended.
bool Flooder::flush(Sender& sender) {
  if (sender.out.empty()) return true;
  const ssize_t sent = ::send(sender.fd, sender.out.data(), sender.out.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN;
  totals_.bytes += static_cast<std::uint64_t>(sent);
  sender.out.erase(0, static_cast<std::size_t>(sent));
  return true;
}

bool Flooder::receive(Sender& sender) {
  std::array<char, 64u << 10> buffer;
  for (;;) {
    const ssize_t got = ::recv(sender.fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    if (!readFrames(sender, {buffer.data(), static_cast<std::size_t>(got)})) return false;
  }
}

// What it reads is that it has to go, and which of its streams have ended.
bool Flooder::readFrames(Sender& sender, std::string_view bytes) {
  sender.received.append(bytes);
  std::string_view rest = sender.received;
  while (rest.size() >= http2::kHeaderSize) {
    const http2::FrameHeader header = http2::readHeader(rest);
    if (header.type == http2::FrameType::GoAway) return false;
    if (rest.size() < http2::kHeaderSize + header.length) break;
    const std::string_view payload = rest.substr(http2::kHeaderSize, header.length);
    rest.remove_prefix(http2::kHeaderSize + header.length);
    if (endsStream(header, payload) && sender.open > 0) --sender.open;
  }
  sender.received.erase(0, sender.received.size() - rest.size());
  return true;
}

void Flooder::makeReady(std::uint32_t index) {
  Sender& sender = senders_[index];
  const bool wants = held_ == 0 || sender.open < held_;
  if (sender.queued || !sender.connected || !sender.out.empty() || !wants) return;
  sender.queued = true;
  ready_.push_back(index);
}

bool Flooder::tick(std::uint64_t now) {
  if (now >= deadline_) {
    totals_.elapsed = now - begun_;
    return true;
  }
  if (!resting_.empty() && now >= restUntil_) {
    for (const std::uint32_t index : std::exchange(resting_, {})) open(index, now);
  }
  for (int i = 0; i < kPiecesAtOnce && due_ <= now && !ready_.empty(); ++i) {
    const std::uint32_t index = ready_.front();
    ready_.pop_front();
    Sender& sender = senders_[index];
    sender.queued = false;
    if (sender.fd < 0 || !sender.connected || !sender.out.empty()) continue;
    sender.out = sender.script.next();
    if (held_ > 0) ++sender.open;
    due_ += held_ > 0 ? kSecond / kHeldPerSecond : sender.out.size() * kSecond / flood_.rate;
    if (!flush(sender)) {
      lost(index, now);
    } else {
      makeReady(index);
    }
  }
  // What could not be sent is not made up for.
  if (ready_.empty()) due_ = std::max(due_, now);
  return false;
}

std::uint64_t Flooder::nextDue() const {
  std::uint64_t due = deadline_;
  if (!resting_.empty()) due = std::min(due, restUntil_);
  if (!ready_.empty()) due = std::min(due, due_);
  return due;
}

}  // namespace tidegate::bench
