// An exchange until it is known what becomes of it: early data, head, route, plan, policies.
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "http/grpc.h"
#include "proxy/exchange.h"

namespace tidegate {

namespace {

// RFC 8470 3: what has no effect may happen twice.
bool mayHappenTwice(Method method) {
  return method == Method::Get || method == Method::Head || method == Method::Options;
}

}  // namespace

// Deciding

bool Exchange::isEarly() const {
  const TlsFacts* const tls = client_.peer().tls;
  return ownEarly_ || (tls != nullptr && tls->early);
}

// As the client has sent it.
bool Exchange::mayBeReplayed() const {
  return mayHappenTwice(line_.method) && requestDone_ && !line_.upgrade;
}

// Not for longer than the time that the request has anyway.
void Exchange::awaitConfirmation() {
  state_ = State::Confirming;
  const std::uint64_t until = services_.loop.nowMillis() + listener().handshakeTimeout;
  if (!requestTimer_.linked() || until < requestTimer_.when())
    services_.loop.timers().schedule(requestTimer_, until);
}

void Exchange::onClientConfirmed() {
  if (state_ != State::Confirming) return;
  state_ = State::Deciding;
  requestTimer_.unlink();
  if (plan_ == nullptr) {
    route();
    return;
  }
  limitTime(startedMicros_ / 1000, kUnlimited);
  act();
}

void Exchange::keepHead(const RequestHead& head) {
  // Room for the head and for all that is derived from it: normalised path and host are never
  // longer than their sources.
  const std::size_t derived =
      head.line.path.length + head.line.host.length + RequestIds::kLength + IpAddress::kMaxText;
  const std::size_t table = head.fields().size_bytes();
  text_ = services_.pool.acquire(table + head.size + derived);
  char* at = text_.data() + table;
  std::memcpy(at, head.base(), head.size);
  head_.assign(head, new (text_.data()) Field[head.fields().size()], at);
  line_ = head.line;
  // Ignored, as RFC 9110 7.8 allows: the request goes on as it would without.
  if (line_.upgrade && upgradesToHttp(head_)) line_.upgrade = false;
  hasHead_ = true;

  at += head.size;
  identity_ = identifyClient(head_, client_.peer(), listener());
  trustedPeer_ = identity_.trustedPeer;
  const std::size_t clientLength =
      client_.peer().isUnix && !trustedPeer_ ? 0 : identity_.address.format(at);
  clientText_ = {at, clientLength};
  at += clientLength;
  requestId_ = acceptedRequestId(head_, listener(), trustedPeer_);
  if (requestId_.empty()) {
    services_.requestIds.write(at);
    requestId_ = {at, RequestIds::kLength};
    at += RequestIds::kLength;
  }
  const std::string_view host = head_.view(line_.host);
  host_ = normalizeHost(host, {at, host.size()});
  if (host_.data() == at) at += host_.size();
  // Where route() writes the normalised path, if it has to change.
  pathRoom_ = at;
}

void Exchange::route() {
  if (line_.method == Method::Trace && !listener().trace) {
    answer(Reason::TraceRefused);
    return;
  }
  const std::string_view raw = head_.view(line_.path);
  const NormalPath normal = normalizePath(raw, listener().paths, {pathRoom_, raw.size()});
  if (normal.error != PathError::None) {
    path_ = {};
    answer(Reason::BadPath);
    return;
  }
  path_ = normal.path;
  if (!listener().redirect.empty()) {
    answerRedirect(308, listener().redirect);
    return;
  }

  RouteRequest request;
  request.listener = static_cast<std::uint16_t>(listener_);
  request.host = host_;
  request.path = path_;
  request.query = head_.view(line_.query);
  request.method = head_.view(line_.methodToken);
  request.fields = &head_;
  request.client = identity_.address;
  snapshot_->tables().router->match(request, match_);
  if (match_.route == kNoRoute) {
    answer(match_.methodMismatch ? Reason::MethodNotAllowed : Reason::RouteNotFound);
    return;
  }
  runPlan();
}

// The plan of the route; no longer than `timeoutMillis`.
void Exchange::takePlan(std::uint64_t timeoutMillis) {
  plan_ = &snapshot_->plans().of(match_.route);
  upstreamIndex_ = plan_->upstream;
  routeSlot().active.add();
  limitTime(services_.loop.nowMillis(), timeoutMillis);
}

// No longer than the route and the client say, either.
void Exchange::limitTime(std::uint64_t sinceMillis, std::uint64_t timeoutMillis) {
  timeoutMillis = std::min({timeoutMillis, plan_->requestTimeout, clientTimeoutMillis()});
  if (timeoutMillis != kUnlimited)
    services_.loop.timers().schedule(requestTimer_, sinceMillis + timeoutMillis);
}

bool Exchange::isGrpcCall() const {
  if (!hasHead_ || line_.method != Method::Post) return false;
  const Field* type = head_.find(FieldId::ContentType);
  return type != nullptr && isGrpc(head_.value(*type));
}

std::uint64_t Exchange::clientTimeoutMillis() const {
  if (!isGrpcCall()) return kUnlimited;
  const Field* timeout = head_.find(FieldId::GrpcTimeout);
  if (timeout == nullptr) return kUnlimited;
  const std::uint64_t millis = grpcTimeoutMillis(head_.value(*timeout));
  return millis == kNoGrpcTimeout ? kUnlimited : millis;
}

void Exchange::runPlan() {
  takePlan(kUnlimited);
  if (plan_->has(PlanStep::Access) && !admitted()) return;
  const std::uint64_t bodyLimit = std::min(plan_->bodyBytes, listener().bodyBytes);
  client_.limitBody(bodyLimit);
  if (line_.body == BodyKind::Length && line_.contentLength > bodyLimit) {
    answer(Reason::BodyTooLarge);
    return;
  }
  if (!plan_->has(PlanStep::Policies)) {
    act();
  } else if (chain().bodyBytes > 0 && !requestDone_) {
    collectBody(chain());
  } else {
    askPolicies();
  }
}

// False: the exchange has been answered.
bool Exchange::admitted() {
  for (const std::uint16_t index : routeConfig().access) {
    const AccessConfig& access = snapshot_->tables().access[index];
    const bool allowed = isAllowed(access);
    ++accessAsked_;
    SlotCounters& slot = services_.stats.slot(access.metricSlot);
    slot.asked.add();
    if (allowed) continue;
    slot.refused.add();
    if (access.shadow) continue;
    reason_ = Reason::AddressDenied;
    services_.arena.reset();
    services_.fields.clear();
    answerError(access.status, access.detail);
    return false;
  }
  return true;
}

bool Exchange::isAllowed(const AccessConfig& access) const {
  const bool hasAddress = !client_.peer().isUnix || trustedPeer_;
  return hasAddress ? access.allowed.contains(identity_.address) : access.others;
}

void Exchange::act() {
  if (plan_->has(PlanStep::Answer)) {
    answerRoute(routeConfig());
    return;
  }
  if (changesMethod() && isEarly() && !mayHappenTwice(sentMethod())) {
    awaitConfirmation();
    return;
  }
  const std::uint32_t endpoint = chooseEndpoint(nullptr);
  if (endpoint == kNoEndpoint) {
    answer(Reason::UpstreamUnavailable);
    return;
  }
  connect(endpoint, false);
}

// Whether the endpoint gets it with the method that a policy says. Not where the client's belongs
// to how both sides are to read what follows: HEAD (RFC 9110 9.3.2), an upgrade and the extended
// CONNECT that stands for one, gRPC. OPTIONS alone asks about the server as a whole (9.3.7).
bool Exchange::changesMethod() const {
  return verdict_ && !verdict_->method.empty() && !isHead() && !line_.upgrade &&
         !line_.serverWide && !isGrpcCall();
}

// Where every request of the listener is sent.
void Exchange::answerRedirect(std::uint16_t status, const TextTemplate& location) {
  reason_ = Reason::RouteRedirect;
  services_.arena.reset();
  services_.fields.clear();
  OutgoingResponse out;
  out.status = status;
  services_.fields.add(
      "Location", renderTemplate(location, templateValues(), TemplateUse::Uri, services_.arena));
  services_.fields.add("Date", services_.date.at(services_.loop.wallMillis()));
  sendAnswer(out, {});
}

void Exchange::answerRoute(const RouteConfig& route) {
  services_.arena.reset();
  services_.fields.clear();
  const TemplateValues values = templateValues();
  OutgoingResponse out;
  out.status = route.status;
  std::string_view body;
  if (route.action == RouteAction::Redirect) {
    reason_ = Reason::RouteRedirect;
    services_.fields.add("Location",
                         renderTemplate(route.location, values, TemplateUse::Uri, services_.arena));
  } else {
    reason_ = Reason::RouteRespond;
    body = renderTemplate(route.body, values, TemplateUse::Text, services_.arena);
  }
  services_.fields.add("Date", services_.date.at(services_.loop.wallMillis()));
  applyEdits(verdict().responseEdits, nullptr, services_);
  if (charges_) charges_->addFields(nullptr, services_.arena, services_.fields);
  applyEdits(route.responseEdits, nullptr, values, services_);
  sendAnswer(out, body);
}

// Policies

void Exchange::collectBody(const PolicyChain& chain) {
  if (line_.body == BodyKind::Length && line_.contentLength > chain.bodyBytes) {
    if (chain.bodyOptional) {
      askPolicies();
    } else {
      answer(Reason::PolicyBodyTooLarge);
    }
    return;
  }
  state_ = State::Collecting;
  body_ = {services_.collectedBodies, services_.collectedBodies.create(services_.pool)};
  if (line_.expectContinue) {
    // The endpoint is asked after the body is here, and has no say in it any more.
    line_.expectContinue = false;
    OutgoingResponse goOn;
    goOn.status = 100;
    client_.sendInformational(goOn);
  }
  client_.resumeBody();
}

void Exchange::collect(std::string_view bytes) {
  if (body_->size() + bytes.size() <= chain().bodyBytes) {
    body_->append(bytes);
  } else if (chain().bodyOptional) {
    body_->append(bytes);
    client_.pauseBody();
    askPolicies();
  } else {
    answer(Reason::PolicyBodyTooLarge);
  }
}

InputSource Exchange::inputSource() const {
  InputSource source;
  source.fields = &head_;
  source.match = &match_;
  source.path = path_;
  source.query = head_.view(line_.query);
  source.method = head_.view(line_.methodToken);
  source.clientAddress = clientText_;
  source.host = host_;
  source.scheme = client_.peer().scheme();
  source.tls = client_.peer().tls;
  source.routeName = routeConfig().match.name;
  if (requestDone_) source.body = body_ ? body_->bytes() : std::string_view{};
  return source;
}

void Exchange::askPolicies() {
  const PolicyChain& chain = this->chain();
  const InputSource source = inputSource();
  switch (
      services_.decisions.ask(*this, {chain.id, chain.timeout, chain.inputs}, source, verdict_)) {
    case Decisions::Asked::Replayed:
      state_ = State::Deciding;
      replayed_ = true;
      policyMicros_ = 0;
      carryOut();
      break;
    case Decisions::Asked::Waiting:
      state_ = State::Asking;
      stepMicros_ = services_.loop.nowMicros();
      break;
    case Decisions::Asked::TooLarge:
      onNoVerdict(Reason::PolicyFailed);
      break;
  }
}

PolicyFetch& Exchange::makeFetch() {
  const PeerInfo client{identity_.address, identity_.port, client_.peer().isUnix && !trustedPeer_};
  return *services_.fetches.create(
      services_, FetchAsker{snapshot_, listener_, client, requestId_, fetchesEarly()});
}

bool Exchange::fetchesEarly() const { return isEarly() || saysEarlyData(head_); }

void Exchange::onVerdict(VerdictRef verdict, bool replayed) {
  if (state_ == State::Reviewing) {
    held_->verdict = std::move(verdict);
    onReviewed(Reason::None);
    return;
  }
  state_ = State::Deciding;
  policyMicros_ = microsSince(stepMicros_);
  verdict_ = std::move(verdict);
  replayed_ = replayed;
  carryOut();
}

void Exchange::onNoVerdict(Reason reason) {
  if (state_ == State::Reviewing) {
    onReviewed(reason);
    return;
  }
  if (state_ == State::Asking) policyMicros_ = microsSince(stepMicros_);
  state_ = State::Deciding;
  if (chain().allowOnFailure) {
    act();
  } else {
    answer(reason);
  }
}

void Exchange::carryOut() {
  if (verdict_->kind == VerdictKind::Failed) {
    const bool late = verdict_->failure == PolicyFailure::TimedOut;
    onNoVerdict(late ? Reason::PolicyTimeout : Reason::PolicyFailed);
    return;
  }
  if (verdict_->kind == VerdictKind::GoOn && !verdict_->upstream.empty()) {
    const std::uint32_t upstream = snapshot_->tables().upstreamIndex(verdict_->upstream);
    if (upstream == kNoUpstream || plan_->has(PlanStep::Answer)) {
      answer(Reason::PolicyFailed);
      return;
    }
    upstreamIndex_ = upstream;
  }
  // The client's own is still on its way: the policy has not read it.
  const bool early = verdict_->kind == VerdictKind::GoOn && verdict_->hasBody && !requestDone_;
  if (early || verdict_->kind == VerdictKind::Pass) {
    answer(Reason::PolicyFailed);
    return;
  }
  if (!verdict_->charges.empty() && !charge()) return;
  if (verdict_->kind == VerdictKind::GoOn) {
    act();
  } else {
    answerVerdict(*verdict_);
  }
}

// False: the exchange has been answered.
bool Exchange::charge() {
  const EventLoop& loop = services_.loop;
  const CounterTime time{loop.nowMicros() * 1000, loop.wallMillis()};
  Charging& charging = services_.charging;
  const Outcome outcome = charging.make(*verdict_, services_.limits, time);
  if (outcome == Outcome::Full) {
    if (chain().allowOnFailure) return true;
    answer(Reason::PolicyCountersFull);
    return false;
  }
  const bool allowed = outcome == Outcome::Allowed;
  if (allowed && !charging.lasts()) return true;
  charges_ = {services_.exchangeCharges, services_.exchangeCharges.create(verdict_, charging)};
  if (!allowed) answerLimited();
  return allowed;
}

void Exchange::answerLimited() {
  reason_ = Reason::PolicyLimited;
  services_.arena.reset();
  services_.fields.clear();
  charges_->addFields(nullptr, services_.arena, services_.fields);
  charges_->addRetryAfter(services_.arena, services_.fields);
  answerError(charges_->refusedStatus(), charges_->refusedReason());
}

// With the policy's own body, or (a deny without one) the gateway's.
void Exchange::answerVerdict(const Verdict& verdict) {
  reason_ = verdict.kind == VerdictKind::Deny ? Reason::PolicyDenied : Reason::PolicyAnswered;
  services_.arena.reset();
  services_.fields.clear();
  bool hasDate = false;
  verdict.fields.each([&](const VerdictEdit& field) {
    hasDate = hasDate || field.id == FieldId::Date;
    services_.fields.add(field.name, field.value);
  });
  if (charges_) charges_->addFields(nullptr, services_.arena, services_.fields);
  if (!verdict.hasBody) {
    answerError(verdict.status, verdict.detail);
    return;
  }
  OutgoingResponse out;
  out.status = verdict.status;
  // A response that a policy has fetched and passes on keeps its own.
  if (!hasDate) services_.fields.add("Date", services_.date.at(services_.loop.wallMillis()));
  sendAnswer(out, verdict.body);
}

const Verdict& Exchange::verdict() const {
  static const Verdict kNothing;
  return verdict_ ? *verdict_ : kNothing;
}

}  // namespace tidegate
