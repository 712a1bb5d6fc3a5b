// The spine: one request and its response, joining the client's stream and the upstream's.
//
// The states in order:
//   Confirming  only of what came as early data of TLS and must not be replayed, as the client has
//               sent it or, after Asking, as it is sent on: the rest of the handshake is awaited
//   Deciding    the head is here: normalise, route, run the plan's native steps
//   Collecting  policies of the route read the body: it comes in first
//   Asking      policies of the route decide in a worker
//   Connecting  an endpoint is chosen, its connection is not there yet
//   Forwarding  the request is on its way, no response head has come
//   Reviewing   the response head is here: policies look at it, and at the body where they read it
//   Responding  the response head was passed on (or an answer of the gateway's own), its body
//               streams
//   Tunnel      after a 101: bytes pass both ways
// Every failure leads to fail(), which answers while that is possible and breaks the client's
// stream off when it is not. end() is the one way out. One I/O thread owns an exchange from its
// head to its end; in the steady state it allocates nothing.
#pragma once

#include <bitset>
#include <cstdint>

#include "http/stream.h"
#include "io/event_loop.h"
#include "policy/decisions.h"
#include "proxy/charging.h"
#include "proxy/forwarding.h"
#include "proxy/published_snapshot.h"
#include "proxy/thread_services.h"

namespace tidegate {

// A request of the gateway's own, for a policy.
struct OwnRequest {
  std::uint32_t route;          // UpstreamConfig::fetchRoute
  Slice requestId;              // of the request that asked; stands in the head
  std::string_view body;        // the whole of it; borrowed for the call
  std::uint64_t timeoutMillis;  // 0: only the route's
  bool early;  // it comes of one that may be a replay, and the endpoint is told so (RFC 8470 5.1)
};

class Exchange final : public ClientStreamEvents,
                       public UpstreamStreamEvents,
                       public DecisionWaiter,
                       private TemplateSource {
 public:
  // `listener` indexes the snapshot's listeners. The exchange lives in services.exchanges and
  // destroys itself in end().
  Exchange(ThreadServices& services, SnapshotRef snapshot, std::uint32_t listener,
           ClientStream& client);
  ~Exchange();

  // Exactly one of them, once, right after it was made. With start(), onClientBegin() follows.
  void start(const RequestHead& head);
  // `majorVersion` of HTTP, which is all that is known of the request.
  void startRefused(std::uint8_t majorVersion, Reason reason);
  void startOwn(const RequestHead& head, const OwnRequest& own);

  // Why it ends, as far as it is known; None where an upstream's response is passed on.
  Reason reason() const { return reason_; }

  // ClientStreamEvents
  void onClientBegin() override;
  void onClientBody(std::string_view bytes) override;
  void onClientEnd(const HeadFields* trailers) override;
  void onClientBodyFailure(Reason reason) override;
  void onClientGone(Reason reason) override;
  void onClientBlocked() override;
  void onClientDrained() override;
  void onClientConfirmed() override;
  void onClientDone() override;

  // UpstreamStreamEvents
  void onUpstreamMoved(UpstreamStream& stream) override { upstream_ = &stream; }
  void onUpstreamReady() override;
  void onUpstreamInformational(ResponseHead& head) override;
  void onUpstreamHead(ResponseHead& head) override;
  void onUpstreamBody(std::string_view bytes) override;
  void onUpstreamEnd(const HeadFields* trailers) override;
  void onUpstreamFailure(StreamFailure failure) override;
  void onUpstreamBlocked() override;
  void onUpstreamDrained() override;

  // DecisionWaiter
  PolicyFetch& makeFetch() override;
  bool fetchesEarly() const override;
  void onVerdict(VerdictRef verdict, bool replayed) override;
  void onNoVerdict(Reason reason) override;

 private:
  enum class State : std::uint8_t {
    Confirming,
    Deciding,
    Collecting,
    Asking,
    Connecting,
    Forwarding,
    Reviewing,
    Responding,
    Tunnel
  };

  // Deciding
  bool isEarly() const;
  bool mayBeReplayed() const;
  void awaitConfirmation();
  void keepHead(const RequestHead& head);
  void route();
  void runPlan();
  void takePlan(std::uint64_t timeoutMillis);
  void limitTime(std::uint64_t sinceMillis, std::uint64_t timeoutMillis);
  bool isGrpcCall() const;
  // For which the client waits, as far as it says so; kUnlimited otherwise.
  std::uint64_t clientTimeoutMillis() const;
  bool admitted();
  void collectBody(const PolicyChain& chain);
  void collect(std::string_view bytes);
  void askPolicies();
  InputSource inputSource() const;
  void carryOut();
  bool charge();
  void act();
  bool changesMethod() const;
  // Of the request that the endpoint gets.
  Method sentMethod() const { return changesMethod() ? methodOf(verdict_->method) : line_.method; }
  void answerRedirect(std::uint16_t status, const TextTemplate& location);
  void answerRoute(const RouteConfig& route);
  void answerVerdict(const Verdict& verdict);
  void answerLimited();

  // Connecting and forwarding
  // kNoEndpoint when every one is down or was `tried`, which may be nullptr.
  std::uint32_t chooseEndpoint(const std::bitset<kMaxEndpoints>* tried);
  // `fresh`: not over a pooled connection.
  void connect(std::uint32_t endpoint, bool fresh);
  void forwardHead();
  bool retry(StreamFailure failure);
  bool sendAgainConfirmed(std::uint16_t status);
  void leaveEndpoint();
  void releaseUpstream();

  // Reviewing
  void holdResponse(const ResponseHead& head);
  void collectResponse(std::string_view bytes);
  // `complete`: the body was collected.
  void askReview(bool complete);
  void onReviewed(Reason failure);
  void passHeld(const Verdict* review);
  // False: the client takes no more for now.
  bool passBody(std::string_view bytes);
  void finishHeld(const HeadFields* trailers);

  // Responding
  // Status and fields; the views of `out` live until the arena's next reset().
  void composeHead(HeadFields& fields, const StatusLine& line, const Verdict* review,
                   OutgoingResponse& out);
  void passUpgrade(ResponseHead& head);
  void answer(Reason reason);
  void answerError(std::uint16_t status, std::string_view detail);
  void sendAnswer(OutgoingResponse& out, std::string_view body);
  void fail(Reason reason);
  bool endsInTrailers() const;
  void finishGrpc(Reason reason);
  void onRequestTimeout();
  void end();
  void record();
  // Whether the list lets the client in.
  bool isAllowed(const AccessConfig& access) const;
  void describePolicies(AccessRecord& entry, std::span<AccessPolicy> policies) const;
  std::size_t describeReview(std::span<AccessPolicy> policies, std::size_t count) const;

  TemplateValues templateValues() const override;
  // Where no policy decided, a verdict that changes nothing.
  const Verdict& verdict() const;
  const ListenerConfig& listener() const { return snapshot_->tables().listeners[listener_]; }
  // With PlanStep::Policies only.
  const PolicyChain& chain() const { return snapshot_->tables().chains[plan_->chain]; }
  // With PlanStep::Review only.
  const PolicyChain& review() const { return snapshot_->tables().chains[plan_->review]; }
  // With a plan only.
  const RouteConfig& routeConfig() const { return snapshot_->tables().routes[match_.route]; }
  SlotCounters& routeSlot() {
    return services_.stats.slot(snapshot_->plans().metricSlot(match_.route));
  }
  const UpstreamConfig& upstreamConfig() const {
    return snapshot_->tables().upstreams[upstreamIndex_];
  }
  EndpointPool& pool() { return *services_.pools[endpointState_->id]; }
  bool waitsForVerdict() const { return state_ == State::Asking || state_ == State::Reviewing; }
  // Of the client, and then of the endpoint as well.
  bool isHead() const { return line_.method == Method::Head; }
  // RFC 8441: the codec has made a handshake of HTTP/1 of it.
  bool isExtendedConnect() const { return line_.majorVersion >= 2 && line_.upgrade; }
  // Whether the client would take a response for the beginning of its WebSocket, and what follows
  // for frames of it (RFC 8441 4): it asks whether there is one, and 2xx says yes.
  bool readsAsConsent(std::uint16_t status) const {
    return isExtendedConnect() && status >= 200 && status < 300;
  }
  std::uint32_t microsSince(std::uint64_t start) const;

  ThreadServices& services_;
  SnapshotRef snapshot_;
  ClientStream& client_;
  UpstreamStream* upstream_ = nullptr;
  const Plan* plan_ = nullptr;
  EndpointState* endpointState_ = nullptr;
  const std::uint32_t listener_;
  std::uint32_t upstreamIndex_ = 0;  // of the plan, unless a policy chose another
  std::uint32_t endpoint_ = kNoEndpoint;

  State state_ = State::Deciding;
  Reason reason_ = Reason::None;
  std::uint16_t status_ = 0;
  std::uint8_t retries_ = 0;
  std::uint8_t refusals_ = 0;  // of endpoints, before they acted on the request
  bool hasHead_ = false;
  bool own_ = false;  // the gateway's own request, for a policy
  bool ownEarly_ = false;
  bool reused_ = false;
  bool requestDone_ = true;
  bool bodyTaken_ = false;  // body bytes went to an endpoint: the request cannot be sent again
  bool responseEnded_ = false;
  bool lengthPromised_ = false;  // the response that passes has a Content-Length
  bool trustedPeer_ = false;
  // How many of the route's address lists were asked.
  std::uint8_t accessAsked_ = 0;
  bool early_ = false;        // taken from early data of TLS
  bool markedEarly_ = false;  // the endpoint was told so by us, and not by the client
  bool replayed_ = false;     // the verdict was not decided for this request
  bool byHttp1_ = false;      // to an endpoint that chooses: its HTTP/2 takes no WebSocket
  bool countsLoad_ = false;   // this exchange is in the endpoint's active count
  std::uint32_t policyMicros_ = kNoTime;
  std::uint32_t queueMicros_ = kNoTime;
  std::uint32_t connectMicros_ = kNoTime;
  std::uint32_t firstByteMicros_ = kNoTime;
  std::uint64_t startedMicros_;
  std::uint64_t stepMicros_ = 0;  // when the step under way began
  std::uint64_t bytesIn_ = 0;
  std::uint64_t bytesOut_ = 0;
  TimerFor<Exchange, &Exchange::onRequestTimeout> requestTimer_{*this};

  // Views below point into text_: the head's bytes, then what was derived from them.
  Block text_;
  // What the policies decided and what it was charged with; only with PlanStep::Policies.
  VerdictRef verdict_;
  SlabOwner<ExchangeCharges> charges_;
  // Of the request, where a policy reads it: as much as has come before the head was forwarded.
  SlabOwner<CollectedBody> body_;
  // Where policies look at the response.
  SlabOwner<HeldResponse> held_;
  char* pathRoom_ = nullptr;
  std::string_view path_;
  std::string_view host_;
  std::string_view clientText_;
  std::string_view requestId_;
  std::string_view tlsFailure_;  // of the last endpoint with which TLS failed
  std::string_view http2Error_;  // of the last endpoint that broke its rules
  ClientIdentity identity_;
  // Not cleared before the first retry, and of no meaning without one.
  union {
    std::bitset<kMaxEndpoints> tried_;
  };
  RouteResult match_;
  HeadFields head_{std::span<Field>{}};
  RequestLine line_;
};

}  // namespace tidegate
