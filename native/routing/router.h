// Finds the route of a request: host table, path tables, then the few predicates left. Immutable
// once built; read by every I/O thread without locks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "http/message.h"
#include "routing/route_match.h"

namespace tidegate {

// One request as the router sees it. All views are borrowed for the call.
struct RouteRequest {
  std::uint16_t listener = 0;
  std::string_view host;  // normalised (normalizeHost), without port; may be empty
  std::string_view path;  // normalised (normalizePath)
  std::string_view query;
  std::string_view method;  // token
  const HeadFields* fields = nullptr;
  IpAddress client;
};

// A parameter of a path: a part of RouteRequest::path.
struct RouteParam {
  std::string_view name;  // owned by the router
  std::string_view value;
};

inline constexpr std::size_t kMaxRouteParams = 16;
// Different methods that the routes name together.
inline constexpr std::size_t kMaxRouteMethods = 63;
inline constexpr std::size_t kMaxMethodBytes = 32;
inline constexpr std::uint32_t kNoRoute = 0xffffffff;

struct RouteResult {
  RouteResult() {}

  std::uint32_t route = kNoRoute;  // index into the list that the router was built from
  // No route matched, but one would have with another method: answer 405 with Router::writeAllow(),
  // else 404.
  bool methodMismatch = false;
  std::uint64_t allowedMethods = 0;  // those methods, for writeAllow()
  std::uint8_t paramCount = 0;
  // Of a template, in the order of the path; of a regular expression, its named groups. As they
  // stand in the path, escapes included. Not cleared: paramCount says how many there are.
  union {
    std::array<RouteParam, kMaxRouteParams> params;
  };
  // Of a prefix or a template with a tail: what `*` stood for, without its leading slash.
  std::string_view tail;
};

struct RouterBuildError {
  std::uint32_t route = 0;
  std::string message;  // names what is wrong with which path, header or query pattern
};

struct RouterTables;  // router_tables.h

class Router {
 public:
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;
  ~Router();

  // Refuses regular expressions that the linear-time engine does not support (back-references,
  // look-around), more than kMaxRouteParams parameters, empty or malformed hosts, paths and
  // methods, and templates of one host that overlap so much that finding one would take long
  // (kMaxTreeVisits).
  static Result<Router, RouterBuildError> build(std::vector<RouteMatch> routes);

  // Sets every field of `result`; of `params` the first paramCount. Never allocates (regular
  // expressions and encoded query values use per-thread memory that is made at the first use).
  // Any thread.
  void match(const RouteRequest& request, RouteResult& result) const;

  // The value of Allow (RFC 9110 10.2.1) for a result with methodMismatch, in `out`:
  // `out.size() >= kMaxAllowBytes`.
  static constexpr std::size_t kMaxAllowBytes = kMaxRouteMethods * (kMaxMethodBytes + 2);
  std::string_view writeAllow(const RouteResult& result, std::span<char> out) const;

  // Why each route lost, for `tidegate explain`: one entry a route in the order of precedence.
  // Allocates.
  struct Candidate {
    std::uint32_t route = 0;
    bool matched = false;  // fulfils every predicate
    // For people. The winner: "selected". One that matched too: what it lost by, such as "its
    // priority 0 is lower than 10". Others: what the first failing predicate expected and what
    // came.
    std::string reason;
    // listener | host | path | method | header | query | client | precedence; empty for the winner.
    std::string predicate;
  };
  std::vector<Candidate> explain(const RouteRequest& request) const;

 private:
  explicit Router(std::unique_ptr<const RouterTables> tables);
  std::unique_ptr<const RouterTables> tables_;
};

}  // namespace tidegate
