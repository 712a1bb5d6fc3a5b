// A policy's fetch as an exchange sees it: a client whose request is there whole, and that takes
// the whole response, up to a size, before the policy hears of it.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/stream.h"
#include "io/buffer_pool.h"
#include "io/event_loop.h"
#include "policy/fetch.h"
#include "proxy/collected_body.h"
#include "proxy/published_snapshot.h"

namespace tidegate {

class Exchange;
struct ThreadServices;

// Of the exchange whose policies fetch. Borrowed until begin().
struct FetchAsker {
  const SnapshotRef& snapshot;
  std::uint32_t listener;
  PeerInfo client;
  std::string_view requestId;
  bool early;  // the request may be a replay, and so what is asked because of it
};

// Lives in services.fetches and gives itself back when both sides are done with it: PolicyCalls,
// and the exchange.
class FetchStream final : public ClientStream, public PolicyFetch, private Pollable {
 public:
  FetchStream(ThreadServices& services, const FetchAsker& asker);

  // PolicyFetch
  void begin(const FetchMessage& message) override;
  std::size_t describe(const FetchId& id, std::span<std::byte> out) override;
  void onReplied() override;
  void onUnwanted() override;

  // ClientStream
  void resumeBody() override {}
  void pauseBody() override {}
  void sendInformational(const OutgoingResponse&) override {}
  void sendHead(const OutgoingResponse& head) override;
  bool sendBody(std::string_view bytes) override;
  void finish(const HeadFields* trailers) override;
  void startTunnel() override {}
  void abort() override;
  const PeerInfo& peer() const override { return client_; }
  void limitBody(std::uint64_t) override {}

 private:
  // Pollable: what a command has begun goes on, outside of it.
  void onEvents(std::uint32_t) override {}
  void onReady() override;
  void onDispose() override;

  void start(const FetchMessage& message, std::uint32_t route);
  void refuse(Reason reason);
  void overflow();
  void reply();
  void leaveCall();
  void disposeWhenDone();

  ThreadServices& services_;
  SnapshotRef snapshot_;
  const std::uint32_t listener_;
  const PeerInfo client_;
  std::string_view requestId_;  // until begin()
  const bool early_;
  Exchange* exchange_ = nullptr;
  bool inCall_ = true;
  bool replied_ = false;           // PolicyCalls has been asked to tell the worker
  Reason failure_ = Reason::None;  // None: there is a response
  std::uint16_t status_ = 0;
  Block fields_;  // as packFetchFields() writes them
  std::size_t fieldBytes_ = 0;
  CollectedBody body_;
};

}  // namespace tidegate
