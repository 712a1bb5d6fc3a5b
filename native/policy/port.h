// What one policy worker holds: the server's end of its channel to each I/O thread. The watcher of
// the workers sees by the use of it how the worker gets on.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "policy/channel.h"
#include "policy/worker_thread.h"
#include "policy/worker_watcher.h"

namespace tidegate {

// The worker's thread owns it.
class PolicyPort {
 public:
  // One channel for each I/O thread, by its number; `thread` is the caller's.
  PolicyPort(std::vector<std::shared_ptr<Channel>> channels, std::shared_ptr<WorkerThread> thread,
             std::shared_ptr<WorkerWatcher> watcher)
      : channels_(std::move(channels)), thread_(std::move(thread)), watcher_(std::move(watcher)) {
    watcher_->add(thread_);
  }
  ~PolicyPort() { close(); }
  PolicyPort(const PolicyPort&) = delete;
  PolicyPort& operator=(const PolicyPort&) = delete;

  std::size_t threads() const { return channels_.size(); }

  // As ChannelServer has them; `thread` is an I/O thread's number.
  std::size_t take(std::size_t thread, std::span<std::byte> into) {
    const std::size_t size = channels_[thread]->server().take(into);
    if (size > 0) {
      thread_->getOn();
      watcher_->onTaken();
    }
    return size;
  }
  std::optional<std::size_t> give(std::size_t thread, std::span<const std::byte> batch) {
    thread_->getOn();
    return channels_[thread]->server().give(batch);
  }

  // True when nothing is there: the bell rings when there is. False: something has come.
  bool sleep() {
    thread_->getOn();
    for (const auto& channel : channels_) {
      if (!channel->server().trySleep()) return false;
    }
    return true;
  }

  // The I/O threads learn that the worker is gone. Idempotent.
  void close() {
    watcher_->remove(*thread_);
    thread_->comeForward();
    for (const auto& channel : channels_) channel->server().close();
  }

 private:
  std::vector<std::shared_ptr<Channel>> channels_;
  const std::shared_ptr<WorkerThread> thread_;
  const std::shared_ptr<WorkerWatcher> watcher_;
};

}  // namespace tidegate
