// Birth, failures and the end. What lies between stands beside it, in the order in which a request
// passes: exchange_deciding.cc, exchange_forwarding.cc, exchange_responding.cc.
#include "proxy/exchange.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proxy/error_response.h"

namespace tidegate {

Exchange::Exchange(ThreadServices& services, SnapshotRef snapshot, std::uint32_t listener,
                   ClientStream& client)
    : services_(services),
      snapshot_(std::move(snapshot)),
      client_(client),
      listener_(listener),
      startedMicros_(services.loop.nowMicros()) {
  services_.stats.counters.requests.add();
  services_.stats.counters.exchangesActive.add();
}

Exchange::~Exchange() { services_.stats.counters.exchangesActive.sub(); }

void Exchange::start(const RequestHead& head) {
  keepHead(head);
  requestDone_ = !hasBody(line_.body, line_.contentLength);
  client_.limitBody(listener().bodyBytes);
}

void Exchange::onClientBegin() {
  if (!isEarly()) {
    route();
  } else if (mayBeReplayed()) {
    early_ = true;
    services_.stats.counters.tlsEarlyRequests.add();
    route();
  } else {
    awaitConfirmation();
  }
}

void Exchange::startRefused(std::uint8_t majorVersion, Reason reason) {
  line_.majorVersion = majorVersion;
  text_ = services_.pool.acquire(RequestIds::kLength + IpAddress::kMaxText);
  services_.requestIds.write(text_.data());
  requestId_ = {text_.data(), RequestIds::kLength};
  identity_ = {client_.peer().address, client_.peer().port, false};
  char* const client = text_.data() + RequestIds::kLength;
  clientText_ = {client, identity_.address.format(client)};
  answer(reason);
}

void Exchange::startOwn(const RequestHead& head, const OwnRequest& own) {
  keepHead(head);
  own_ = true;
  ownEarly_ = own.early;
  requestId_ = head_.view(own.requestId);
  path_ = head_.view(line_.path);
  identity_ = {client_.peer().address, client_.peer().port, false};
  trustedPeer_ = false;
  bytesIn_ = own.body.size();
  if (!own.body.empty()) {
    // Kept, so that it can be sent again.
    body_ = {services_.collectedBodies, services_.collectedBodies.create(services_.pool)};
    body_->append(own.body);
  }
  match_.route = own.route;
  takePlan(own.timeoutMillis == 0 ? kUnlimited : own.timeoutMillis);
  act();
}

// Failing

void Exchange::onClientBodyFailure(Reason reason) {
  requestDone_ = true;
  fail(reason);
}

void Exchange::onRequestTimeout() {
  EventLoop& loop = services_.loop;  // it may end with this
  fail(state_ == State::Confirming ? Reason::HeadTimeout : Reason::RequestTimeout);
  loop.flushNow();
}

void Exchange::fail(Reason reason) {
  if (state_ != State::Responding && state_ != State::Tunnel) {
    answer(reason);
    return;
  }
  if (responseEnded_ && status_ != 0) {
    // Everything is handed over; only the client's reading is left, which has its own limit.
    return;
  }
  reason_ = reason;
  releaseUpstream();
  if (endsInTrailers()) {
    finishGrpc(reason);
    return;
  }
  client_.abort();
  end();
}

// A gRPC call has a status of its own in its trailers, whatever is missing of its messages. Over
// HTTP/1 nobody speaks gRPC, and a length that was promised allows no end before it.
bool Exchange::endsInTrailers() const {
  return state_ == State::Responding && !lengthPromised_ && line_.majorVersion >= 2 && isGrpcCall();
}

void Exchange::finishGrpc(Reason reason) {
  services_.arena.reset();
  std::array<Field, 2> table;
  HeadFields trailers(table);
  addGrpcTrailers(reason, services_.arena, trailers);
  responseEnded_ = true;
  client_.finish(&trailers);
}

void Exchange::onClientGone(Reason reason) {
  if (state_ != State::Tunnel) reason_ = reason;
  end();
}

void Exchange::onClientDone() { end(); }

// The end

void Exchange::end() {
  requestTimer_.unlink();
  if (waitsForVerdict()) services_.decisions.cancel(*this);
  releaseUpstream();
  record();
  leaveEndpoint();
  if (plan_ != nullptr) routeSlot().active.sub();
  services_.exchanges->destroy(this);
}

std::uint32_t Exchange::microsSince(std::uint64_t start) const {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(services_.loop.nowMicros() - start, kNoTime - 1));
}

}  // namespace tidegate
