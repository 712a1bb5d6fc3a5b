#include "policy/channel.h"

#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <utility>

namespace tidegate {

namespace {

constexpr std::size_t kLengthBytes = 4;
static_assert(std::endian::native == std::endian::little, "lengths are copied as they are");

}  // namespace

Channel::Channel(std::shared_ptr<Bell> clientBell, std::shared_ptr<Bell> serverBell,
                 std::size_t ringBytes)
    : requests_(ringBytes),
      verdicts_(ringBytes),
      clientBell_(std::move(clientBell)),
      serverBell_(std::move(serverBell)) {}

// The client

bool ChannelClient::send(std::span<const std::byte> message) {
  if (channel_.serverClosed_.load(std::memory_order_acquire)) return false;
  ByteRing& ring = channel_.requests_;
  std::span<std::byte> room = ring.reserve(message.size());
  if (room.empty()) {
    // The server can make no room for what it does not see.
    flush();
    if (ring.askForRoom()) return false;
    room = ring.reserve(message.size());
  }
  std::memcpy(room.data(), message.data(), message.size());
  ring.commit(message.size());
  return true;
}

void ChannelClient::flush() {
  if (channel_.requests_.publish()) channel_.serverBell_->ring();
}

bool ChannelClient::serverGone() {
  // In this order: what it gave before it closed is seen then.
  return channel_.serverClosed_.load(std::memory_order_acquire) &&
         channel_.verdicts_.front().empty();
}

bool ChannelClient::trySleep() { return channel_.verdicts_.trySleep(); }

void ChannelClient::close() {
  if (channel_.clientClosed_.exchange(true, std::memory_order_acq_rel)) return;
  channel_.serverBell_->ring();
}

// The server

std::size_t ChannelServer::take(std::span<std::byte> into) {
  ByteRing& ring = channel_.requests_;
  assert(into.size() >= ring.largestMessage() + kLengthBytes);
  if (clientGone()) return 0;
  std::size_t used = 0;
  while (true) {
    const std::span<const std::byte> message = ring.front();
    if (message.empty() || into.size() - used < kLengthBytes + message.size()) break;
    const auto length = static_cast<std::uint32_t>(message.size());
    std::memcpy(into.data() + used, &length, kLengthBytes);
    std::memcpy(into.data() + used + kLengthBytes, message.data(), length);
    used += kLengthBytes + length;
    ring.pop();
  }
  if (ring.release()) channel_.clientBell_->ring();
  return used;
}

std::optional<std::size_t> ChannelServer::give(std::span<const std::byte> batch) {
  ByteRing& ring = channel_.verdicts_;
  const bool dropped = clientGone();
  std::size_t taken = 0;
  while (taken < batch.size()) {
    const std::span<const std::byte> rest = batch.subspan(taken);
    std::uint32_t length = 0;
    if (rest.size() >= kLengthBytes) std::memcpy(&length, rest.data(), kLengthBytes);
    if (length == 0 || length > ring.largestMessage() || length > rest.size() - kLengthBytes) {
      publish();
      return std::nullopt;
    }
    if (!dropped) {
      std::span<std::byte> room = ring.reserve(length);
      if (room.empty()) {
        publish();
        if (ring.askForRoom()) return taken;
        room = ring.reserve(length);
      }
      std::memcpy(room.data(), rest.data() + kLengthBytes, length);
      ring.commit(length);
    }
    taken += kLengthBytes + length;
  }
  publish();
  return taken;
}

void ChannelServer::publish() {
  if (channel_.verdicts_.publish()) channel_.clientBell_->ring();
}

bool ChannelServer::clientGone() const {
  return channel_.clientClosed_.load(std::memory_order_acquire);
}

// After the client has gone its requests are no reason to stay awake.
bool ChannelServer::trySleep() { return clientGone() || channel_.requests_.trySleep(); }

void ChannelServer::close() {
  if (channel_.serverClosed_.exchange(true, std::memory_order_acq_rel)) return;
  channel_.clientBell_->ring();
}

}  // namespace tidegate
