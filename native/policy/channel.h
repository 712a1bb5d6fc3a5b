// Between one I/O thread and one policy worker: a ring each way, and a bell for whoever sleeps.
//
// Both hold the channel by std::shared_ptr, since either may outlive the other. Messages are opaque
// here, 1 to the ring's largest message bytes each. Nothing blocks, locks or allocates once made.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "shared/byte_ring.h"

namespace tidegate {

// Wakes a thread: what it was told of is seen at its next look. Rings before that may be one.
class Bell {
 public:
  virtual ~Bell() = default;
  // Any thread.
  virtual void ring() = 0;
};

class Channel;

// The I/O thread's end; that thread only.
class ChannelClient {
 public:
  explicit ChannelClient(Channel& channel) : channel_(channel) {}

  // The server may see it from the next flush() on. False: no room (our bell rings when there is),
  // or the server is gone.
  bool send(std::span<const std::byte> message);

  // At the end of a turn: shows what was sent, rings the server's bell when it sleeps.
  void flush();

  // Calls `visit` with each verdict, at most `most`; returns how many. The bytes are valid during
  // the call, which may send() but not receive().
  template <typename Visit>
  std::size_t receive(Visit&& visit, std::size_t most);

  // True when the server has closed and all that it gave before has been received.
  bool serverGone();

  // True: our bell rings when a verdict comes. False: there is one already.
  bool trySleep();

  // Idempotent. What is in the rings is dropped; the server's bell rings.
  void close();

 private:
  Channel& channel_;
};

// The policy worker's end; that thread only.
class ChannelServer {
 public:
  explicit ChannelServer(Channel& channel) : channel_(channel) {}

  // Copies as many whole messages as fit, each behind its length in 4 bytes, little-endian; returns
  // the bytes used, 0 when there is no message. `into` has room for the largest message and its
  // length.
  std::size_t take(std::span<std::byte> into);

  // Sends the messages of a batch in the framing of take(). Returns the bytes taken, always whole
  // messages: less than all when there is no room for the rest (our bell rings when there is).
  // nullopt: a length was 0, above the largest, or ran past the end; the messages before it were
  // sent, nothing after. When the client is gone everything is taken and dropped.
  std::optional<std::size_t> give(std::span<const std::byte> batch);

  bool clientGone() const;

  // True: our bell rings when a request comes. False: there is one already.
  bool trySleep();

  // Idempotent. Requests that were not taken are dropped, what was given still arrives; the
  // client's bell rings.
  void close();

 private:
  void publish();

  Channel& channel_;
};

class Channel {
 public:
  static constexpr std::size_t kRingBytes = 1024 * 1024;
  static constexpr std::size_t kLargestMessage = ByteRing::largestMessage(kRingBytes);

  // `ringBytes` as ByteRing takes it.
  Channel(std::shared_ptr<Bell> clientBell, std::shared_ptr<Bell> serverBell,
          std::size_t ringBytes = kRingBytes);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  ChannelClient& client() { return client_; }
  ChannelServer& server() { return server_; }

 private:
  friend class ChannelClient;
  friend class ChannelServer;

  ByteRing requests_;
  ByteRing verdicts_;
  const std::shared_ptr<Bell> clientBell_;
  const std::shared_ptr<Bell> serverBell_;
  std::atomic<bool> clientClosed_{false};
  std::atomic<bool> serverClosed_{false};
  ChannelClient client_{*this};
  ChannelServer server_{*this};
};

template <typename Visit>
std::size_t ChannelClient::receive(Visit&& visit, std::size_t most) {
  ByteRing& ring = channel_.verdicts_;
  std::size_t count = 0;
  for (; count < most; ++count) {
    const std::span<const std::byte> message = ring.front();
    if (message.empty()) break;
    visit(message);
    ring.pop();
  }
  if (ring.release()) channel_.serverBell_->ring();
  return count;
}

}  // namespace tidegate
