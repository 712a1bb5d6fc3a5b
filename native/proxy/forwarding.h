// What a gateway changes in heads on their way: forwarding fields, Via, request id, Date, Server,
// and the route's edits.
#pragma once

#include <string_view>

#include "http/stream.h"
#include "plan/plan.h"
#include "policy/verdict.h"
#include "proxy/charging.h"
#include "proxy/text_template.h"
#include "proxy/thread_services.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// Who the client is, looking through proxies that the listener trusts (X-Forwarded-For, else
// Forwarded, from the right).
struct ClientIdentity {
  IpAddress address;
  std::uint16_t port = 0;  // of the connection; 0 when the address is taken from a field
  bool trustedPeer =
      false;  // the peer is a trusted proxy: its forwarding fields and request id are believed
};
ClientIdentity identifyClient(const HeadFields& fields, const PeerInfo& peer,
                              const ListenerConfig& listener);

// The id that the request came with, where the listener accepts it; empty: one is to be made. Only
// visible ASCII, at most 128 bytes.
std::string_view acceptedRequestId(const HeadFields& fields, const ListenerConfig& listener,
                                   bool trustedPeer);

// Whether Upgrade names HTTP itself (`h2c`, `HTTP/2.0`). Such an upgrade is not passed on: in the
// tunnel behind it requests would reach the upstream that no route has seen.
bool upgradesToHttp(const HeadFields& fields);

// Whether a hop before this one has taken the request from early data (RFC 8470 5.1).
bool saysEarlyData(const HeadFields& fields);

struct ForwardedRequest {
  const ListenerConfig& listener;
  const Plan& plan;
  const UpstreamConfig& upstream;
  const EndpointConfig& endpoint;
  const TemplateSource& values;
  const PeerInfo& peer;
  bool trustedPeer;
  std::string_view clientText;    // the client's address
  std::string_view method;        // that the endpoint gets
  std::string_view path;          // normalised
  std::string_view originalHost;  // as the client sent it, with port
  std::string_view requestId;
  const Verdict& verdict;  // of the policies
  // The gateway's own, for a policy: nobody is forwarded for, and there is no Host to preserve.
  bool own = false;
  // The client's TLS handshake is not complete: upstreams are told by Early-Data (RFC 8470 5.1).
  bool early = false;
};

// Fills path, host and fields of `out`; may be called again for another endpoint. False when the
// rewritten path or host is not valid. The views of `out` live until the arena's next reset().
bool composeRequest(HeadFields& head, const RequestLine& line, const ForwardedRequest& what,
                    ThreadServices& services, OutgoingRequest& out);

struct PassedResponse {
  HeadFields& fields;
  const StatusLine& line;
  const ListenerConfig& listener;
  const Plan& plan;
  const TemplateSource& values;
  const Verdict& verdict;          // of the policies, about the request
  const ExchangeCharges* charges;  // may be nullptr
  const Verdict* review;           // of the policies, about the response; may be nullptr
};

// Status and fields of a response that is passed on.
void composeResponse(const PassedResponse& what, ThreadServices& services, OutgoingResponse& out);

// Appends the fields of `edits` to services.fields, and marks in `fields` what they replace or
// remove.
void applyEdits(const HeaderEdits& edits, HeadFields* fields, const TemplateValues& values,
                ThreadServices& services);

// The same for what policies decided.
void applyEdits(const VerdictEdits& edits, HeadFields* fields, ThreadServices& services);

}  // namespace tidegate
