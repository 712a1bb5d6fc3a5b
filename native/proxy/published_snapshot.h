// A snapshot as the I/O threads hold it: the shared immutable tables, and what each thread keeps
// beside them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "balance/balancer.h"
#include "balance/endpoint_state.h"
#include "plan/plan.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// What a listener is known by over reloads: its address, and where any port would do, its name as
// well.
inline std::string listenerKey(const ListenerConfig& config) {
  return config.bind.ends_with(":0") ? config.bind + ' ' + config.name : config.bind;
}

// Made by the control thread; shared read-only by all threads.
struct PublishedSnapshot {
  std::shared_ptr<const Snapshot> tables;
  Plans plans;
  // [upstream][endpoint], as in the tables.
  std::vector<std::vector<std::shared_ptr<EndpointState>>> endpoints;
};

// One I/O thread's view: balancers with their own turn, and a count of the exchanges that began
// with it.
class ThreadSnapshot {
 public:
  ThreadSnapshot(std::shared_ptr<const PublishedSnapshot> published, std::uint32_t seed)
      : published_(std::move(published)) {
    const Snapshot& tables = *published_->tables;
    for (std::size_t u = 0; u < tables.upstreams.size(); ++u) {
      std::vector<BalanceEndpoint> set;
      for (std::size_t e = 0; e < tables.upstreams[u].endpoints.size(); ++e) {
        set.push_back({published_->endpoints[u][e].get(), tables.upstreams[u].endpoints[e].weight});
      }
      balancers_.push_back(makeBalancer(tables.upstreams[u].balance, set, seed));
    }
  }

  const Snapshot& tables() const { return *published_->tables; }
  const Plans& plans() const { return published_->plans; }
  Balancer& balancer(std::uint32_t upstream) { return *balancers_[upstream]; }
  EndpointState& endpoint(std::uint32_t upstream, std::uint32_t index) const {
    return *published_->endpoints[upstream][index];
  }
  const PublishedSnapshot& published() const { return *published_; }

 private:
  std::shared_ptr<const PublishedSnapshot> published_;
  std::vector<std::unique_ptr<Balancer>> balancers_;
  friend class SnapshotRef;
  std::uint32_t references_ = 0;
};

// Counts without atomics: a ThreadSnapshot and its references stay on one thread.
class SnapshotRef {
 public:
  SnapshotRef() = default;
  explicit SnapshotRef(std::unique_ptr<ThreadSnapshot> snapshot) : snapshot_(snapshot.release()) {
    ++snapshot_->references_;
  }
  SnapshotRef(const SnapshotRef& other) : snapshot_(other.snapshot_) {
    if (snapshot_ != nullptr) ++snapshot_->references_;
  }
  SnapshotRef(SnapshotRef&& other) noexcept : snapshot_(std::exchange(other.snapshot_, nullptr)) {}
  SnapshotRef& operator=(SnapshotRef other) noexcept {
    std::swap(snapshot_, other.snapshot_);
    return *this;
  }
  ~SnapshotRef() {
    if (snapshot_ != nullptr && --snapshot_->references_ == 0) delete snapshot_;
  }

  explicit operator bool() const { return snapshot_ != nullptr; }
  ThreadSnapshot* operator->() const { return snapshot_; }
  ThreadSnapshot& operator*() const { return *snapshot_; }

 private:
  ThreadSnapshot* snapshot_ = nullptr;
};

}  // namespace tidegate
