// What one policy worker holds: the server's end of its channel to each I/O thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "policy/channel.h"

namespace tidegate {

// The worker's thread owns it.
class PolicyPort {
 public:
  // One channel for each I/O thread, by its number.
  explicit PolicyPort(std::vector<std::shared_ptr<Channel>> channels)
      : channels_(std::move(channels)) {}
  ~PolicyPort() { close(); }
  PolicyPort(const PolicyPort&) = delete;
  PolicyPort& operator=(const PolicyPort&) = delete;

  std::size_t threads() const { return channels_.size(); }

  ChannelServer& channel(std::size_t thread) { return channels_[thread]->server(); }

  // True when nothing is there: the bell rings when there is. False: something has come.
  bool sleep() {
    for (const auto& channel : channels_) {
      if (!channel->server().trySleep()) return false;
    }
    return true;
  }

  // The I/O threads learn that the worker is gone. Idempotent.
  void close() {
    for (const auto& channel : channels_) channel->server().close();
  }

 private:
  std::vector<std::shared_ptr<Channel>> channels_;
};

}  // namespace tidegate
