// The criteria of precedence.h in one table each way: how a triple scores, and what to say when the
// score decides.
#include "routing/precedence.h"

#include <algorithm>
#include <array>
#include <compare>

namespace tidegate {
namespace {

using Order = std::strong_ordering;

std::size_t hostScore(std::string_view host) {
  if (host == "*") return 0;
  // A host is at most 255 bytes, so that an exact one is above every suffix.
  return host.starts_with("*.") ? host.size() : 1024;
}

int pathClass(PathKind kind) {
  switch (kind) {
    case PathKind::Exact:
      return 4;
    case PathKind::Template:
      return 3;
    case PathKind::Regex:
      return 2;
    case PathKind::Prefix:
      return 1;
    case PathKind::Any:
      return 0;
  }
  return 0;
}

// How specific a template is at segment `i`.
int segmentScore(const PathPattern& path, std::size_t i) {
  if (i == path.segments.size()) return 1;
  switch (path.segments[i].kind) {
    case PathSegment::Kind::Literal:
      return 3;
    case PathSegment::Kind::Param:
      return 2;
    case PathSegment::Kind::Tail:
      return 0;
  }
  return 0;
}

// More specific is greater.
Order comparePaths(const PathPattern& a, const PathPattern& b) {
  if (a.kind != b.kind) return pathClass(a.kind) <=> pathClass(b.kind);
  if (a.kind == PathKind::Prefix) return a.segments.size() <=> b.segments.size();
  if (a.kind == PathKind::Template) {
    for (std::size_t i = 0; i <= std::min(a.segments.size(), b.segments.size()); ++i) {
      const Order order = segmentScore(a, i) <=> segmentScore(b, i);
      if (order != 0) return order;
    }
  }
  return Order::equal;
}

// 0 without clients, else 1 + the length of the widest network.
int clientScore(const RouteMatch& route) {
  int widest = 0;
  for (const IpPrefix& prefix : route.clients) {
    const int score = 1 + prefix.length;
    widest = widest == 0 ? score : std::min(widest, score);
  }
  return widest;
}

enum class Criterion : std::uint8_t { Priority, Host, Path, Methods, Headers, Query, Clients };

constexpr std::array kCriteria = {Criterion::Priority, Criterion::Host,    Criterion::Path,
                                  Criterion::Methods,  Criterion::Headers, Criterion::Query,
                                  Criterion::Clients};

// Greater goes first.
Order compareBy(Criterion criterion, const RoutePlace& a, const RoutePlace& b) {
  switch (criterion) {
    case Criterion::Priority:
      return a.route->priority <=> b.route->priority;
    case Criterion::Host:
      return hostScore(a.host) <=> hostScore(b.host);
    case Criterion::Path:
      return comparePaths(*a.path, *b.path);
    case Criterion::Methods:
      return static_cast<int>(!a.route->methods.empty()) <=>
             static_cast<int>(!b.route->methods.empty());
    case Criterion::Headers:
      return a.route->headers.size() <=> b.route->headers.size();
    case Criterion::Query:
      return a.route->query.size() <=> b.route->query.size();
    case Criterion::Clients:
      return clientScore(*a.route) <=> clientScore(*b.route);
  }
  return Order::equal;
}

std::string quotedPath(const PathPattern& path) {
  return path.kind == PathKind::Any ? "any path" : "`" + path.text + "`";
}

std::string sentence(Criterion criterion, const RoutePlace& winner, const RoutePlace& loser) {
  const RouteMatch& route = *loser.route;
  const RouteMatch& other = *winner.route;
  switch (criterion) {
    case Criterion::Priority:
      return "its priority " + std::to_string(route.priority) + " is lower than " +
             std::to_string(other.priority);
    case Criterion::Host:
      return "its host `" + std::string(loser.host) + "` is less specific than `" +
             std::string(winner.host) + "`";
    case Criterion::Path:
      return "its path " + quotedPath(*loser.path) + " is less specific than " +
             quotedPath(*winner.path);
    case Criterion::Methods:
      return "it names no methods";
    case Criterion::Headers:
      return "it tests fewer headers: " + std::to_string(route.headers.size()) + " against " +
             std::to_string(other.headers.size());
    case Criterion::Query:
      return "it tests fewer query parameters: " + std::to_string(route.query.size()) +
             " against " + std::to_string(other.query.size());
    case Criterion::Clients:
      return route.clients.empty() ? "it names no client networks"
                                   : "its client networks are wider";
  }
  return {};
}

}  // namespace

bool goesBefore(const RoutePlace& a, const RoutePlace& b) {
  for (const Criterion criterion : kCriteria) {
    const Order order = compareBy(criterion, a, b);
    if (order != 0) return order > 0;
  }
  if (a.routeIndex != b.routeIndex) return a.routeIndex < b.routeIndex;
  if (a.hostIndex != b.hostIndex) return a.hostIndex < b.hostIndex;
  return a.pathIndex < b.pathIndex;
}

std::string describeLoss(const RoutePlace& winner, const RoutePlace& loser) {
  for (const Criterion criterion : kCriteria) {
    if (compareBy(criterion, winner, loser) != 0) return sentence(criterion, winner, loser);
  }
  return "it comes later in the configuration";
}

}  // namespace tidegate
