// An exchange on its way back: review by policies, the endpoint's response, answers of the
// gateway's own.
#include <algorithm>
#include <span>

#include "base/ascii.h"
#include "http/web_socket.h"
#include "proxy/error_response.h"
#include "proxy/exchange.h"

namespace tidegate {

namespace {

// Seconds after which a client may try again when every endpoint is down.
constexpr std::string_view kRetryAfter = "1";

constexpr std::string_view kHsts = "Strict-Transport-Security";

constexpr std::string_view kAllButTrace = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

// The body as the endpoint sends it.
void frameAs(const StatusLine& line, OutgoingResponse& out) {
  out.body = line.body;
  out.contentLength = line.contentLength;
  // A 204 must not have it (RFC 9110 8.6), also where the endpoint says 0.
  out.announceLength = line.body == BodyKind::None && line.hasContentLength && line.status != 204;
}

}  // namespace

// Reviewing

void Exchange::holdResponse(const ResponseHead& head) {
  state_ = State::Reviewing;
  held_ = {services_.heldResponses, services_.heldResponses.create(services_.pool)};
  held_->keepHead(head);
  const StatusLine& line = held_->line;
  const PolicyChain& review = this->review();
  const bool collects = hasBody(line.body, line.contentLength) &&
                        std::ranges::any_of(review.inputs, [&](const PolicyInput& input) {
                          return readsBodyOf(input, held_->fields);
                        });
  if (!collects) {
    askReview(false);
  } else if (line.body != BodyKind::Length || line.contentLength <= review.bodyBytes) {
    held_->stage = HeldResponse::Stage::Collecting;
    upstream_->expectWithin(plan_->idleTimeout);
  } else if (review.bodyOptional) {
    askReview(false);
  } else {
    answer(Reason::PolicyResponseTooLarge);
  }
}

void Exchange::collectResponse(std::string_view bytes) {
  // More than what was waited for may come in one piece, while a worker is asked.
  const bool collecting = held_->stage == HeldResponse::Stage::Collecting;
  const bool fits = held_->body.size() + bytes.size() <= review().bodyBytes;
  if (collecting && !fits && !review().bodyOptional) {
    answer(Reason::PolicyResponseTooLarge);
    return;
  }
  held_->body.append(bytes);
  if (!collecting) return;
  if (fits) {
    upstream_->expectWithin(plan_->idleTimeout);
  } else {
    askReview(false);
  }
}

void Exchange::askReview(bool complete) {
  held_->stage = HeldResponse::Stage::Asking;
  const PolicyChain& review = this->review();
  InputSource source = inputSource();
  source.responseFields = &held_->fields;
  source.status = held_->line.status;
  source.consumer = verdict().consumer;
  if (complete) source.responseBody = held_->body.bytes();
  stepMicros_ = services_.loop.nowMicros();
  switch (services_.decisions.ask(*this, {review.id, review.timeout, review.inputs}, source,
                                  held_->verdict)) {
    case Decisions::Asked::Replayed:
      onReviewed(Reason::None);
      break;
    case Decisions::Asked::Waiting:
      if (upstream_ == nullptr) break;
      upstream_->pauseBody();
      upstream_->expectWithin(0);
      break;
    case Decisions::Asked::TooLarge:
      onReviewed(Reason::PolicyFailed);
      break;
  }
}

// None: the verdict is there.
void Exchange::onReviewed(Reason failure) {
  const std::uint32_t micros = microsSince(stepMicros_);
  policyMicros_ = policyMicros_ == kNoTime ? micros : std::min(policyMicros_ + micros, kNoTime - 1);
  const Verdict* const review = held_->verdict ? &*held_->verdict : nullptr;
  if (review != nullptr && review->kind == VerdictKind::Failed) {
    const bool late = review->failure == PolicyFailure::TimedOut;
    failure = late ? Reason::PolicyTimeout : Reason::PolicyFailed;
  } else if (review != nullptr && review->kind == VerdictKind::GoOn) {
    failure = Reason::PolicyFailed;
  }
  if (failure != Reason::None) {
    if (this->review().allowOnFailure) {
      passHeld(nullptr);
    } else {
      answer(failure);
    }
  } else if (review->kind == VerdictKind::Pass) {
    passHeld(review);
  } else {
    leaveEndpoint();
    releaseUpstream();
    answerVerdict(*review);
  }
}

// `review`: nullptr where it passes as it is.
void Exchange::passHeld(const Verdict* review) {
  state_ = State::Responding;
  held_->stage = HeldResponse::Stage::Passed;
  StatusLine& line = held_->line;
  OutgoingResponse out;
  composeHead(held_->fields, line, review, out);
  if (readsAsConsent(out.status)) {
    answer(Reason::UpgradeUnsupported);
    return;
  }
  status_ = out.status;
  const bool bodyless = out.status == 204 || out.status == 304;
  if ((review != nullptr && review->hasBody) || (bodyless && out.status != line.status)) {
    // What the endpoint still sends is of no use.
    releaseUpstream();
    const std::string_view body = review->hasBody && !bodyless ? review->body : std::string_view{};
    out.announceLength = !bodyless;
    out.contentLength = body.size();
    if (!isHead() && !body.empty()) out.body = BodyKind::Length;
    client_.sendHead(out);
    if (out.body == BodyKind::Length) passBody(body);
    finishHeld(nullptr);
    return;
  }
  frameAs(line, out);
  if (out.status != line.status && line.body == BodyKind::None && !isHead()) {
    // One that had no body by its status: with this one a body of no bytes.
    out.announceLength = true;
    out.contentLength = 0;
  }
  lengthPromised_ = out.body == BodyKind::Length;
  client_.sendHead(out);
  const bool room = held_->body.size() == 0 || passBody(held_->body.bytes());
  if (held_->ended) {
    finishHeld(held_->body.trailers());
    return;
  }
  held_->release();
  if (held_->blocked || !room) {
    onClientBlocked();
    return;
  }
  upstream_->expectWithin(plan_->idleTimeout);
  upstream_->resumeBody();
}

bool Exchange::passBody(std::string_view bytes) {
  bytesOut_ += bytes.size();
  return client_.sendBody(bytes);
}

void Exchange::finishHeld(const HeadFields* trailers) {
  responseEnded_ = true;
  client_.finish(trailers);
  held_->release();
}

// Responding

void Exchange::composeHead(HeadFields& fields, const StatusLine& line, const Verdict* review,
                           OutgoingResponse& out) {
  services_.arena.reset();
  composeResponse({fields, line, listener(), *plan_, *this, verdict(), charges_.get(), review},
                  services_, out);
}

void Exchange::onUpstreamInformational(ResponseHead& head) {
  OutgoingResponse out;
  composeHead(head, head.line, nullptr, out);
  client_.sendInformational(out);
}

void Exchange::onUpstreamHead(ResponseHead& head) {
  pool().recordSuccess();
  firstByteMicros_ = microsSince(stepMicros_);
  if (sendAgainConfirmed(head.line.status)) return;
  if (head.line.status == 101) {
    passUpgrade(head);
    return;
  }
  if (readsAsConsent(head.line.status)) {
    fail(Reason::UpgradeUnsupported);
    return;
  }
  if (plan_->has(PlanStep::Review)) {
    holdResponse(head);
    return;
  }
  state_ = State::Responding;
  OutgoingResponse out;
  composeHead(head, head.line, nullptr, out);
  frameAs(head.line, out);
  status_ = out.status;
  lengthPromised_ = out.body == BodyKind::Length;
  client_.sendHead(out);
  upstream_->expectWithin(plan_->idleTimeout);
}

void Exchange::passUpgrade(ResponseHead& head) {
  const Field* upgrade = head.find(FieldId::Upgrade);
  if (!line_.upgrade || !head.line.upgrade || upgrade == nullptr) {
    fail(Reason::UpgradeRefused);
    return;
  }
  // Over HTTP/2 the client has no key to hold it against (RFC 8441 5): it is the gateway's part.
  if (isExtendedConnect() && !acceptsWebSocket(head_, head)) {
    fail(Reason::UpstreamBadResponse);
    return;
  }
  state_ = State::Tunnel;
  services_.stats.counters.tunnels.add();
  OutgoingResponse out;
  composeHead(head, head.line, nullptr, out);
  out.upgrade = head.value(*upgrade);
  // What the client gets.
  status_ = isExtendedConnect() ? 200 : 101;
  requestDone_ = false;
  requestTimer_.unlink();
  client_.sendHead(out);
  client_.startTunnel();
  upstream_->startTunnel();
  upstream_->expectWithin(plan_->tunnelTimeout);
  client_.resumeBody();
}

void Exchange::onUpstreamBody(std::string_view bytes) {
  if (state_ == State::Reviewing) {
    collectResponse(bytes);
    return;
  }
  if (!passBody(bytes)) {
    onClientBlocked();
    return;
  }
  upstream_->expectWithin(state_ == State::Tunnel ? plan_->tunnelTimeout : plan_->idleTimeout);
}

void Exchange::onUpstreamEnd(const HeadFields* trailers) {
  if (state_ == State::Reviewing) {
    if (trailers != nullptr) held_->body.keepTrailers(*trailers);
    held_->ended = true;
    releaseUpstream();
    if (held_->stage == HeldResponse::Stage::Collecting) askReview(true);
    return;
  }
  responseEnded_ = true;
  client_.finish(trailers);
  if (state_ != State::Tunnel) {
    releaseUpstream();
  } else if (!requestDone_) {
    // The other half stays open for as long as the client sends.
    upstream_->expectWithin(plan_->tunnelTimeout);
  }
}

void Exchange::onClientBlocked() {
  if (held_) held_->blocked = true;
  if (upstream_ == nullptr || responseEnded_) return;
  upstream_->pauseBody();
  // The client's own time limit for writes is in force now.
  upstream_->expectWithin(0);
}

void Exchange::onClientDrained() {
  if (held_) held_->blocked = false;
  if (upstream_ == nullptr || responseEnded_) return;
  // Nothing more is wanted of it before the verdict.
  if (state_ == State::Reviewing && held_->stage == HeldResponse::Stage::Asking) return;
  upstream_->resumeBody();
  upstream_->expectWithin(state_ == State::Tunnel ? plan_->tunnelTimeout : plan_->idleTimeout);
}

void Exchange::sendAnswer(OutgoingResponse& out, std::string_view body) {
  if (readsAsConsent(out.status)) {
    answer(Reason::UpgradeUnsupported);
    return;
  }
  state_ = State::Responding;
  const bool bodyless = out.status < 200 || out.status == 204 || out.status == 304;
  // What the answer says itself stays: clients read the first line alone (RFC 6797 8.1).
  const auto isHsts = [](const OutgoingField& f) { return equalsIgnoreCase(f.name, kHsts); };
  if (!listener().hsts.empty() && std::ranges::none_of(services_.fields.all(), isHsts))
    services_.fields.add(kHsts, listener().hsts);
  out.fields = {nullptr, services_.fields.all()};
  out.announceLength = !bodyless;
  out.contentLength = body.size();
  if (!isHead() && !bodyless && !body.empty()) out.body = BodyKind::Length;
  // A body that nobody reads stands between this request and the next.
  if (!requestDone_) out.close = true;
  status_ = out.status;
  responseEnded_ = true;
  client_.sendHead(out);
  if (out.body == BodyKind::Length) {
    bytesOut_ += body.size();
    client_.sendBody(body);
  }
  client_.finish(nullptr);
}

void Exchange::answer(Reason reason) {
  if (waitsForVerdict()) services_.decisions.cancel(*this);
  if (state_ == State::Collecting) client_.pauseBody();
  leaveEndpoint();
  releaseUpstream();
  reason_ = reason;
  services_.arena.reset();
  services_.fields.clear();
  answerError(reasonStatus(reason), {});
}

// With reason_, and the fields that are there already.
void Exchange::answerError(std::uint16_t status, std::string_view detail) {
  const Field* accept = hasHead_ ? head_.find(FieldId::Accept) : nullptr;
  OutgoingResponse out;
  out.status = status;
  std::string_view body;
  if (isGrpcCall()) {
    out.status = 200;
    addGrpcError(reason_, status, detail, services_.arena, services_.fields);
  } else {
    const ErrorBody error = makeErrorBody(
        reason_, status, detail, requestId_,
        accept != nullptr ? head_.value(*accept) : std::string_view{}, services_.arena);
    services_.fields.add("Content-Type", error.contentType);
    body = error.body;
  }
  services_.fields.add("Date", services_.date.at(services_.loop.wallMillis()));
  if (!requestId_.empty()) services_.fields.add("X-Request-Id", requestId_);
  if (reason_ == Reason::MethodNotAllowed) {
    const std::span<char> room(services_.arena.allocate(Router::kMaxAllowBytes),
                               Router::kMaxAllowBytes);
    services_.fields.add("Allow", snapshot_->tables().router->writeAllow(match_, room));
  } else if (reason_ == Reason::TraceRefused) {
    services_.fields.add("Allow", kAllButTrace);
  }
  if (status == 503 && reason_ != Reason::PolicyDenied && reason_ != Reason::PolicyLimited &&
      reason_ != Reason::AddressDenied)
    services_.fields.add("Retry-After", kRetryAfter);
  sendAnswer(out, body);
}

}  // namespace tidegate
