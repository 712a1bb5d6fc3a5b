// An exchange on its way to an endpoint: choosing one, connecting, sending the request, trying
// another one when that fails.
#include <memory>
#include <utility>

#include "proxy/exchange.h"

namespace tidegate {

namespace {

// How often an endpoint is asked again that has not acted on a request; it may be restarting, or
// its limit of streams was not known yet.
constexpr std::uint8_t kRefusals = 3;

Reason reasonOf(StreamFailure failure, bool responseBegun, bool firstByte) {
  switch (failure) {
    case StreamFailure::ConnectRefused:
      return Reason::UpstreamConnectFailed;
    case StreamFailure::ConnectTimeout:
      return Reason::UpstreamConnectTimeout;
    case StreamFailure::TlsFailed:
      return Reason::UpstreamTlsFailed;
    case StreamFailure::Malformed:
      return responseBegun ? Reason::UpstreamBodyAborted : Reason::UpstreamBadResponse;
    case StreamFailure::HeadTooLarge:
      return Reason::UpstreamHeadTooLarge;
    case StreamFailure::Unprocessed:
      return Reason::UpstreamRefused;
    case StreamFailure::UpgradeUnsupported:
      return Reason::UpgradeUnsupported;
    case StreamFailure::Timeout:
      return firstByte ? Reason::UpstreamFirstByteTimeout : Reason::UpstreamIdleTimeout;
    case StreamFailure::RulesBroken:
      return responseBegun ? Reason::UpstreamBodyAborted : Reason::UpstreamProtocolError;
    case StreamFailure::Closed:
    case StreamFailure::WriteFailed:
      break;
  }
  return responseBegun ? Reason::UpstreamBodyAborted : Reason::UpstreamClosed;
}

}  // namespace

// Connecting

std::uint32_t Exchange::chooseEndpoint(const std::bitset<kMaxEndpoints>* tried) {
  const PickContext context{services_.loop.nowMillis(), upstreamConfig().passiveDownFor, tried};
  return snapshot_->balancer(upstreamIndex_).pick(context);
}

void Exchange::connect(std::uint32_t endpoint, bool fresh) {
  const UpstreamConfig& upstream = upstreamConfig();
  state_ = State::Connecting;
  endpoint_ = endpoint;
  endpointState_ = &snapshot_->endpoint(upstreamIndex_, endpoint_);
  if (upstream.balance == BalanceAlgorithm::LeastConnections) {
    endpointState_->begin();
    countsLoad_ = true;
  }
  SlotCounters& slot = services_.stats.slot(upstream.endpoints[endpoint_].metricSlot);
  slot.active.add();
  if (queueMicros_ == kNoTime) queueMicros_ = microsSince(startedMicros_);
  stepMicros_ = services_.loop.nowMicros();
  const bool probe = !isIdempotent(sentMethod());
  const PoolLease lease =
      byHttp1_ ? pool().acquireHttp1(*this, fresh, probe) : pool().acquire(*this, fresh, probe);
  if (lease.stream == nullptr) {
    if (retry(StreamFailure::ConnectRefused)) return;
    fail(Reason::UpstreamConnectFailed);
    return;
  }
  upstream_ = lease.stream;
  reused_ = lease.reused;
  if (!reused_) slot.connects.add();
  if (lease.ready) {
    connectMicros_ = 0;
    forwardHead();
  }
}

void Exchange::onUpstreamReady() {
  connectMicros_ = microsSince(stepMicros_);
  forwardHead();
}

void Exchange::leaveEndpoint() {
  if (endpointState_ == nullptr) return;
  if (countsLoad_) endpointState_->end();
  countsLoad_ = false;
  services_.stats.slot(upstreamConfig().endpoints[endpoint_].metricSlot).active.sub();
  endpointState_ = nullptr;
}

void Exchange::releaseUpstream() {
  if (UpstreamStream* upstream = std::exchange(upstream_, nullptr)) upstream->release();
}

// Forwarding

void Exchange::forwardHead() {
  services_.arena.reset();
  const UpstreamConfig& upstream = upstreamConfig();
  const bool changes = changesMethod();
  const ForwardedRequest what{.listener = listener(),
                              .plan = *plan_,
                              .upstream = upstream,
                              .endpoint = upstream.endpoints[endpoint_],
                              .values = *this,
                              .peer = client_.peer(),
                              .trustedPeer = trustedPeer_,
                              .clientText = clientText_,
                              .method = changes ? verdict_->method : head_.view(line_.methodToken),
                              .path = path_,
                              .originalHost = head_.view(line_.authority),
                              .requestId = requestId_,
                              .verdict = verdict(),
                              .own = own_,
                              .early = isEarly()};
  markedEarly_ = what.early && !saysEarlyData(head_);
  OutgoingRequest out;
  if (!composeRequest(head_, line_, what, services_, out)) {
    fail(Reason::BadPath);
    return;
  }
  if (line_.upgrade) {
    const Field* upgrade = head_.find(FieldId::Upgrade);
    if (upgrade != nullptr) out.upgrade = head_.value(*upgrade);
  }
  const bool replaced = verdict().kind == VerdictKind::GoOn && verdict().hasBody;
  std::string_view body;
  if (replaced) {
    body = verdict().body;
    out.body = BodyKind::Length;
    out.contentLength = body.size();
  } else if (body_) {
    body = body_->bytes();
  }
  // RFC 9110 8.6: no content is said where the method may have some, and only there.
  if (changes && !hasBody(out.body, out.contentLength))
    out.body = expectsBody(sentMethod()) ? BodyKind::Length : BodyKind::None;
  state_ = State::Forwarding;
  stepMicros_ = services_.loop.nowMicros();
  upstream_->sendHead(out);
  if (!body.empty()) upstream_->sendBody(body);
  if (requestDone_) {
    upstream_->finish(body_ && !replaced ? body_->trailers() : nullptr);
    upstream_->expectWithin(plan_->firstByteTimeout);
  } else {
    client_.resumeBody();
  }
}

void Exchange::onClientBody(std::string_view bytes) {
  bytesIn_ += bytes.size();
  if (state_ == State::Collecting) {
    collect(bytes);
    return;
  }
  if (upstream_ == nullptr) return;
  bodyTaken_ = true;
  upstream_->sendBody(bytes);
  if (state_ == State::Tunnel) upstream_->expectWithin(plan_->tunnelTimeout);
}

void Exchange::onClientEnd(const HeadFields* trailers) {
  requestDone_ = true;
  if (state_ <= State::Connecting && body_) {
    // Sent on with what was collected.
    if (trailers != nullptr) body_->keepTrailers(*trailers);
    if (state_ == State::Collecting) askPolicies();
    return;
  }
  if (upstream_ == nullptr) return;
  upstream_->finish(trailers);
  if (state_ == State::Forwarding) {
    stepMicros_ = services_.loop.nowMicros();
    upstream_->expectWithin(plan_->firstByteTimeout);
  }
}

void Exchange::onUpstreamBlocked() {
  client_.pauseBody();
  if (upstream_ == nullptr) return;
  upstream_->expectWithin(state_ == State::Tunnel ? plan_->tunnelTimeout : plan_->idleTimeout);
}

void Exchange::onUpstreamDrained() {
  if (upstream_ == nullptr) return;
  if (state_ == State::Forwarding)
    upstream_->expectWithin(requestDone_ ? plan_->firstByteTimeout : 0);
  client_.resumeBody();
}

// Trying again

bool Exchange::retry(StreamFailure failure) {
  const bool unseen = state_ == State::Connecting || failure == StreamFailure::Unprocessed;
  // Body that has gone cannot be sent again; what did not reach an application may be, whatever the
  // method.
  if (bodyTaken_) return false;
  if (!unseen && !isIdempotent(sentMethod())) return false;
  // A slow endpoint is not a broken one: another would only double the client's wait.
  if (failure == StreamFailure::Timeout || failure == StreamFailure::Malformed ||
      failure == StreamFailure::HeadTooLarge || failure == StreamFailure::UpgradeUnsupported)
    return false;
  if (retries_ >= plan_->retries) return false;
  if (retries_ == 0) std::construct_at(&tried_);
  tried_.set(endpoint_);
  const std::uint32_t next = chooseEndpoint(&tried_);
  if (next == kNoEndpoint) return false;
  ++retries_;
  services_.stats.counters.retries.add();
  routeSlot().retries.add();
  SlotCounters& slot = services_.stats.slot(upstreamConfig().endpoints[endpoint_].metricSlot);
  slot.retries.add();
  slot.failures.add();
  leaveEndpoint();
  client_.pauseBody();
  connect(next, false);
  return true;
}

// RFC 8470 5.2: an endpoint that does not want to take the risk of a replay is asked again where
// there is none any more. What is marked has no body.
bool Exchange::sendAgainConfirmed(std::uint16_t status) {
  if (status != 425 || !markedEarly_ || isEarly()) return false;
  services_.stats.counters.retries.add();
  releaseUpstream();
  leaveEndpoint();
  connect(endpoint_, false);
  return true;
}

void Exchange::onUpstreamFailure(StreamFailure failure) {
  const bool stale = upstream_ != nullptr && reused_ && upstream_->mayBeStale();
  const bool answered = upstream_ != nullptr && upstream_->sawResponse();
  upstream_ = nullptr;
  if (failure == StreamFailure::TlsFailed && !byHttp1_) tlsFailure_ = pool().tlsFailure();
  if (failure == StreamFailure::RulesBroken) http2Error_ = pool().http2Error();
  const bool responseBegun = state_ >= State::Reviewing;
  const bool sawNothing = !responseBegun && failure == StreamFailure::Closed;
  if (state_ == State::Forwarding && stale && sawNothing && !bodyTaken_ &&
      isIdempotent(sentMethod())) {
    // The endpoint closed an idle connection just when it was used: that says nothing about its
    // health.
    services_.stats.counters.retries.add();
    leaveEndpoint();
    client_.pauseBody();
    connect(endpoint_, true);
    return;
  }
  const bool chooses = upstreamConfig().protocol == UpstreamProtocol::Auto;
  if (failure == StreamFailure::UpgradeUnsupported && chooses && !byHttp1_ && !bodyTaken_) {
    byHttp1_ = true;
    leaveEndpoint();
    client_.pauseBody();
    connect(endpoint_, false);
    return;
  }
  const bool unprocessed = failure == StreamFailure::Unprocessed;
  if (unprocessed && !bodyTaken_ && refusals_ < kRefusals) {
    // Its connection is closing or full: another of the same endpoint is as good.
    ++refusals_;
    services_.stats.counters.retries.add();
    leaveEndpoint();
    client_.pauseBody();
    connect(endpoint_, false);
    return;
  }
  if (state_ == State::Forwarding && !unprocessed && failure != StreamFailure::UpgradeUnsupported)
    pool().recordFailure();
  if (!responseBegun && !answered && retry(failure)) return;
  if (state_ == State::Tunnel) {
    // One side broke off: so does the other.
    if (failure == StreamFailure::Timeout) reason_ = Reason::UpstreamIdleTimeout;
    client_.abort();
    end();
    return;
  }
  // It takes no WebSocket over the HTTP that it speaks, and does not speak the other one.
  if (failure == StreamFailure::TlsFailed && byHttp1_) failure = StreamFailure::UpgradeUnsupported;
  fail(reasonOf(failure, responseBegun, state_ == State::Forwarding && requestDone_));
}

}  // namespace tidegate
