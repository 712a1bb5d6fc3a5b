// Says which route a request would take and why, without sending anything: the core's half of
// `tidegate explain`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "proxy/engine.h"

namespace tidegate {

struct ExplainRequest {
  std::string listener;  // by name; empty: the first one of the snapshot
  std::string method = "GET";
  std::string host;          // without port, any case; may be empty
  std::string target = "/";  // origin-form: path, and query behind `?`
  std::vector<std::pair<std::string, std::string>> fields;  // names in any case
  std::string client = "127.0.0.1";                         // IPv4 or IPv6 text
};

// One route of the snapshot, as Router::Candidate says it, with its name.
struct ExplainCandidate {
  std::string route;
  bool matched = false;   // fulfils every predicate
  std::string reason;     // for people: "selected", or what it lost by
  std::string predicate;  // listener | host | path | method | header | query | client | precedence;
                          // empty for the winner
};

struct ExplainResult {
  std::string listener;
  // What is matched: normalised by the listener's rules.
  std::string host;
  std::string path;
  std::string query;
  // Of the listener's certificates, by their places, those that a client may get which asks for
  // that host; none where it is refused, and in the clear.
  std::vector<std::size_t> certificates;

  // The request is refused before a route is looked for (a reason code: bad_path, trace_refused,
  // method_refused), or after that (route_not_found, method_not_allowed); empty when a route was
  // found.
  std::string refusal;
  std::string refusalDetail;  // for people; empty when the reason code says all

  std::string route;  // of the winner; empty when there is none
  std::vector<std::pair<std::string, std::string>> params;  // of a template path
  std::string tail;                                         // what `*` stood for
  std::vector<ExplainCandidate> candidates;  // in order of precedence; empty when refused before
};

// Control thread; allocates. Errors: "snapshot_invalid", "request_invalid" (an unknown listener,
// too many fields, a client that is no address).
Result<ExplainResult, EngineError> explain(std::span<const std::uint8_t> bytes,
                                           const ExplainRequest& request);

}  // namespace tidegate
