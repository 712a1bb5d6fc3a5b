// Why an exchange ended the way it did: one stable, machine-readable word for errors, logs and
// metrics. docs/errors.md has the same table; a test holds the two together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate {

// X(Name, "code", status that the gateway answers with (0: none, the connection or stream just
// ends), "sentence")
#define TIDEGATE_REASONS(X)                                                                        \
  X(None, "none", 0, "The exchange ended as the upstream meant it to.")                            \
  X(BadRequest, "bad_request", 400, "The request is malformed or its framing is ambiguous.")       \
  X(BadPath, "bad_path", 400, "The path holds a bad or forbidden escape or climbs over the root.") \
  X(HeadTimeout, "request_head_timeout", 408, "The request head did not arrive in time.")          \
  X(BodyTimeout, "request_body_timeout", 408, "The client stopped sending the request body.")      \
  X(BodyTooLarge, "request_body_too_large", 413, "The request body exceeds the limit.")            \
  X(TargetTooLong, "request_target_too_long", 414, "The request line exceeds the limit.")          \
  X(ExpectationFailed, "expectation_failed", 417, "The expectation in Expect is not supported.")   \
  X(HeadTooLarge, "request_head_too_large", 431,                                                   \
    "The request head exceeds the limit of bytes or fields.")                                      \
  X(MethodRefused, "method_refused", 501, "CONNECT is not supported.")                             \
  X(TraceRefused, "trace_refused", 405, "TRACE is switched off on this listener.")                 \
  X(UnsupportedCoding, "unsupported_transfer_coding", 501,                                         \
    "The transfer coding is not supported.")                                                       \
  X(UnsupportedVersion, "unsupported_version", 505, "The HTTP version is not supported.")          \
  X(RouteNotFound, "route_not_found", 404, "No route matches the request.")                        \
  X(MethodNotAllowed, "method_not_allowed", 405,                                                   \
    "Routes for this path exist, but not for this method.")                                        \
  X(AddressDenied, "address_denied", 403, "The route does not let in the client's address.")       \
  X(PolicyBodyTooLarge, "policy_body_too_large", 413,                                              \
    "The body is longer than what a policy of the route reads.")                                   \
  X(PolicyResponseTooLarge, "policy_response_too_large", 502,                                      \
    "The response is longer than what a policy of the route reads.")                               \
  X(PolicyDenied, "policy_denied", 403, "A policy refused the request.")                           \
  X(PolicyLimited, "policy_limited", 429, "A limit that a policy charges is used up.")             \
  X(PolicyAnswered, "policy_answered", 0, "A policy answered the request.")                        \
  X(PolicyFailed, "policy_failed", 500,                                                            \
    "A policy failed, or what it decided cannot be carried out.")                                  \
  X(PolicyTimeout, "policy_timeout", 500, "A policy did not decide in time.")                      \
  X(PolicyWorkerLost, "policy_worker_lost", 500,                                                   \
    "The worker that had the request to decide died.")                                             \
  X(PolicyUnavailable, "policy_unavailable", 503,                                                  \
    "No policy worker could take the request in time.")                                            \
  X(PolicyCountersFull, "policy_counters_full", 503,                                               \
    "There is no room for another counter of a limit.")                                            \
  X(RouteRedirect, "route_redirect", 0, "The route answered with a redirect.")                     \
  X(RouteRespond, "route_respond", 0, "The route answered with a fixed response.")                 \
  X(UpstreamConnectFailed, "upstream_connect_failed", 502,                                         \
    "No connection to an endpoint could be made.")                                                 \
  X(UpstreamConnectTimeout, "upstream_connect_timeout", 504,                                       \
    "Connecting to the endpoint took too long.")                                                   \
  X(UpstreamTlsFailed, "upstream_tls_failed", 502, "TLS with the endpoint failed.")                \
  X(UpstreamUnavailable, "upstream_unavailable", 503, "Every endpoint of the upstream is down.")   \
  X(UpstreamClosed, "upstream_closed", 502,                                                        \
    "The endpoint closed the connection before a response head.")                                  \
  X(UpstreamProtocolError, "upstream_protocol_error", 502,                                         \
    "The endpoint broke the rules of HTTP/2.")                                                     \
  X(UpstreamRefused, "upstream_refused", 503,                                                      \
    "The endpoint refused the request before it acted on it.")                                     \
  X(UpstreamBadResponse, "upstream_bad_response", 502, "The endpoint's response is malformed.")    \
  X(UpstreamHeadTooLarge, "upstream_head_too_large", 502,                                          \
    "The endpoint's response head exceeds the limit.")                                             \
  X(UpstreamFirstByteTimeout, "upstream_first_byte_timeout", 504,                                  \
    "The endpoint did not answer in time.")                                                        \
  X(UpstreamBodyAborted, "upstream_body_aborted", 502, "The endpoint's response body broke off.")  \
  X(UpstreamIdleTimeout, "upstream_idle_timeout", 504, "The endpoint stopped sending or reading.") \
  X(RequestTimeout, "request_timeout", 504, "The exchange exceeded the route's time limit.")       \
  X(ClientClosed, "client_closed", 0,                                                              \
    "The client closed the connection before the response was complete.")                          \
  X(ClientWriteTimeout, "client_write_timeout", 0, "The client stopped reading the response.")     \
  X(UpgradeRefused, "upgrade_refused", 502,                                                        \
    "The endpoint switched protocols without being asked.")                                        \
  X(UpgradeUnsupported, "upgrade_unsupported", 502,                                                \
    "What answers this request takes no WebSocket, or none over HTTP/2.")                          \
  X(FetchUnknownUpstream, "fetch_unknown_upstream", 0,                                             \
    "The configuration has no upstream of the name that a policy fetches from.")                   \
  X(FetchTooLarge, "fetch_too_large", 0,                                                           \
    "The response to a policy's fetch is longer than what crosses to policies.")                   \
  X(FetchAborted, "fetch_aborted", 0,                                                              \
    "The policy that fetches does not wait for the response any more.")                            \
  X(FloodResets, "flood_resets", 0,                                                                \
    "An HTTP/2 client reset streams, or had them reset, too often.")                               \
  X(FloodFrames, "flood_frames", 0,                                                                \
    "An HTTP/2 client sent too many frames that carry no request.")                                \
  X(FloodHeaders, "flood_headers", 0,                                                              \
    "An HTTP/2 client's field block was far over the limit, or did not end.")                      \
  X(Http2ProtocolError, "http2_protocol_error", 0, "An HTTP/2 client broke the protocol.")         \
  X(Draining, "draining", 0, "The drain time ran out, and the gateway closed the connection.")

enum class Reason : std::uint8_t {
#define X(name, code, status, text) name,
  TIDEGATE_REASONS(X)
#undef X
};

inline constexpr std::size_t kReasonCount = 0
#define X(name, code, status, text) +1
    TIDEGATE_REASONS(X)
#undef X
    ;

std::string_view reasonCode(Reason reason);
std::uint16_t reasonStatus(Reason reason);
std::string_view reasonText(Reason reason);

}  // namespace tidegate
