// Order of this file: birth, deciding, connecting, forwarding, reviewing, responding, failing, the
// end.
#include "proxy/exchange.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/ascii.h"
#include "http/grpc.h"
#include "http/web_socket.h"
#include "http1/writer.h"
#include "proxy/error_response.h"

namespace tidegate {

namespace {

// Seconds after which a client may try again when every endpoint is down.
constexpr std::string_view kRetryAfter = "1";

constexpr std::string_view kHsts = "Strict-Transport-Security";

// How often an endpoint is asked again that has not acted on a request; it may be restarting, or
// its limit of streams was not known yet.
constexpr std::uint8_t kRefusals = 3;

constexpr std::string_view kAllButTrace = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

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

// RFC 8470 3: what has no effect may happen twice.
bool mayHappenTwice(Method method) {
  return method == Method::Get || method == Method::Head || method == Method::Options;
}

// The body as the endpoint sends it.
void frameAs(const StatusLine& line, OutgoingResponse& out) {
  out.body = line.body;
  out.contentLength = line.contentLength;
  // A 204 must not have it (RFC 9110 8.6), also where the endpoint says 0.
  out.announceLength = line.body == BodyKind::None && line.hasContentLength && line.status != 204;
}

}  // namespace

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

// Failing

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

void Exchange::record() {
  const std::uint64_t micros = services_.loop.nowMicros() - startedMicros_;
  services_.stats.counters.reasons[static_cast<std::size_t>(reason_)].add();
  const bool failed = reason_ != Reason::None && reason_ != Reason::RouteRedirect &&
                      reason_ != Reason::RouteRespond && reason_ != Reason::PolicyAnswered &&
                      reason_ != Reason::PolicyDenied && reason_ != Reason::PolicyLimited &&
                      reason_ != Reason::AddressDenied;
  if (plan_ != nullptr) {
    const ExchangeSample sample(status_, failed, bytesIn_, bytesOut_, micros);
    sample.addTo(routeSlot());
    if (!plan_->has(PlanStep::Answer)) {
      const UpstreamConfig& upstream = upstreamConfig();
      sample.addTo(services_.stats.slot(upstream.metricSlot));
      if (endpoint_ != kNoEndpoint)
        sample.addTo(services_.stats.slot(upstream.endpoints[endpoint_].metricSlot));
    }
  }

  const AccessLogFormat format = snapshot_->tables().accessLog.format;
  if (format == AccessLogFormat::Off) return;
  AccessRecord entry;
  entry.wallMillis = services_.loop.wallMillis() - micros / 1000;
  entry.client = identity_.address;
  entry.clientPort = identity_.port;
  entry.clientIsUnix = client_.peer().isUnix && !trustedPeer_;
  entry.listener = listener().name;
  entry.status = status_;
  entry.bytesIn = bytesIn_;
  entry.bytesOut = bytesOut_;
  entry.requestId = requestId_;
  entry.reason = reason_;
  entry.retries = retries_;
  entry.reused = reused_;
  entry.policyMicros = policyMicros_;
  entry.queueMicros = queueMicros_;
  entry.connectMicros = connectMicros_;
  entry.firstByteMicros = firstByteMicros_;
  entry.tls = client_.peer().tls;
  entry.early = early_;
  entry.minorVersion = line_.minorVersion;
  entry.majorVersion = line_.majorVersion;
  entry.upstreamTlsError = tlsFailure_;
  entry.upstreamHttp2Error = http2Error_;
  entry.totalMicros = static_cast<std::uint32_t>(std::min<std::uint64_t>(micros, kNoTime - 1));
  if (hasHead_) {
    entry.method = isExtendedConnect() ? "CONNECT" : head_.view(line_.methodToken);
    entry.host = head_.view(line_.authority);
    entry.target = head_.view(line_.target);
    if (const Field* f = head_.find(FieldId::Referer)) entry.referer = head_.value(*f);
    if (const Field* f = head_.find(FieldId::UserAgent)) entry.userAgent = head_.value(*f);
  }
  if (plan_ != nullptr) {
    entry.route = routeConfig().match.name;
    if (!plan_->has(PlanStep::Answer)) {
      entry.upstream = upstreamConfig().name;
      if (endpoint_ != kNoEndpoint) entry.endpoint = upstreamConfig().endpoints[endpoint_].address;
    }
  }
  std::array<AccessPolicy, kMaxAccessPolicies> policies;
  if (plan_ != nullptr) describePolicies(entry, policies);
  const std::size_t length =
      formatAccess(format, entry, services_.logLine.data(), services_.logLine.size());
  if (length > 0 &&
      services_.log.ring(services_.threadIndex).push({services_.logLine.data(), length})) {
    services_.stats.counters.accessLogLines.add();
    services_.log.notify(services_.threadIndex);
  } else {
    services_.stats.counters.accessLogDropped.add();
  }
}

const Verdict& Exchange::verdict() const {
  static const Verdict kNothing;
  return verdict_ ? *verdict_ : kNothing;
}

void Exchange::describePolicies(AccessRecord& entry, std::span<AccessPolicy> policies) const {
  std::size_t count = 0;
  for (; count < accessAsked_ && count < policies.size(); ++count) {
    const AccessConfig& access = snapshot_->tables().access[routeConfig().access[count]];
    policies[count].name = access.name;
    policies[count].access = isAllowed(access) ? AccessAnswer::Allowed : AccessAnswer::Denied;
  }
  if (plan_->has(PlanStep::Policies)) {
    std::size_t ran = count;
    for (const std::string& name : chain().policies) {
      if (count == policies.size()) break;
      policies[count].name = name;
      policies[count++].decides = true;
    }
    verdict().times.each([&](std::uint32_t micros) {
      if (ran < count) policies[ran++].micros = micros;
    });
  }
  if (plan_->has(PlanStep::Review)) count = describeReview(policies, count);
  entry.policies = policies.first(count);
  entry.replayed = replayed_;
  entry.consumer = verdict().consumer;
}

// Returns how many there are now.
std::size_t Exchange::describeReview(std::span<AccessPolicy> policies, std::size_t count) const {
  const std::vector<std::string>& names = review().policies;
  const auto placeOf = [&](std::string_view name) {
    for (std::size_t i = 0; i < count; ++i) {
      if (policies[i].name == name) return i;
    }
    return count;
  };
  for (const std::string& name : names) {
    const std::size_t place = placeOf(name);
    if (place == policies.size()) continue;
    policies[place].name = name;
    policies[place].responds = true;
    count = std::max(count, place + 1);
  }
  if (!held_ || !held_->verdict) return count;
  std::size_t ran = 0;
  held_->verdict->times.each([&](std::uint32_t micros) {
    const std::size_t place = ran < names.size() ? placeOf(names[ran++]) : count;
    if (place < count) policies[place].respondMicros = micros;
  });
  return count;
}

TemplateValues Exchange::templateValues() const {
  TemplateValues values;
  values.clientAddress = clientText_;
  values.clientPort = identity_.port;
  values.host = host_;
  values.scheme = client_.peer().scheme();
  values.method = head_.view(line_.methodToken);
  values.path = path_;
  values.query = head_.view(line_.query);
  values.hasQuery = line_.hasQuery;
  values.requestId = requestId_;
  values.match = &match_;
  values.fields = &head_;
  if (plan_ != nullptr) {
    values.route = &routeConfig();
    if (!plan_->has(PlanStep::Answer)) {
      values.upstream = &upstreamConfig();
      if (endpoint_ != kNoEndpoint) values.endpoint = &upstreamConfig().endpoints[endpoint_];
    }
  }
  return values;
}

std::uint32_t Exchange::microsSince(std::uint64_t start) const {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(services_.loop.nowMicros() - start, kNoTime - 1));
}

}  // namespace tidegate
