// Router::build: checks the routes, ranks every (route, host, path) triple, and sorts the triples
// into the tables.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/ascii.h"
#include "routing/router.h"
#include "routing/router_tables.h"

namespace tidegate {
namespace {

// What the state tables of all regular expressions may take together; those that find no room are
// simulated.
constexpr std::size_t kRegexTableBudget = std::size_t{16} * 1024 * 1024;

// The order of Allow; other methods follow by name.
constexpr std::array<std::string_view, 8> kUsualMethods = {"GET",   "HEAD",   "POST",    "PUT",
                                                           "PATCH", "DELETE", "OPTIONS", "TRACE"};

std::size_t usualPlace(std::string_view method) {
  return static_cast<std::size_t>(std::ranges::find(kUsualMethods, method) - kUsualMethods.begin());
}

bool isToken(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110 5.6.2
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return isDigit(c) || (toLower(c) >= 'a' && toLower(c) <= 'z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

// What is wrong with a host of a route; empty when nothing is.
std::string hostError(std::string_view host) {
  if (host == "*") return {};
  const std::string_view name = host.starts_with("*.") ? host.substr(2) : host;
  if (name.empty()) return "it is empty";
  if (name.size() > 255) return "it is longer than 255 bytes";
  if (name.find('*') != std::string_view::npos)
    return "`*` stands only at the start, as `*.example.com`";
  if (name.find_first_of("/?#@ ") != std::string_view::npos) return "it is no host name";
  if (name.starts_with('.') || name.ends_with('.')) return "it begins or ends with a dot";
  if (std::ranges::any_of(name, [](char c) { return c != toLower(c); }))
    return "it is not in lower case";
  return {};
}

std::string quote(std::string_view text) { return "`" + std::string(text) + "`"; }

}  // namespace

class RouterBuilder {
 public:
  explicit RouterBuilder(const std::vector<RouteMatch>& routes)
      : tables_(std::make_unique<RouterTables>()) {
    tables_->routes = routes;
  }

  // Nothing when it went well: then tables() is complete.
  std::optional<RouterBuildError> run() {
    if (!collectMethods()) return error_;
    for (std::uint32_t i = 0; i < tables_->routes.size(); ++i) {
      if (!addPatterns(i) || !addTests(i)) return error_;
    }
    rank();
    if (!fillTables()) return error_;
    return std::nullopt;
  }

  std::unique_ptr<RouterTables> tables() { return std::move(tables_); }

 private:
  // What the candidates of one host are sorted into.
  struct Bucket {
    HostBucket built;
    std::map<std::string, std::vector<RouteCandidate>> exact;
    std::map<std::uint32_t, std::vector<RouteCandidate>> regexes;
    std::vector<RouteCandidate> any;
    std::uint32_t lastTemplate = kNone;  // the route that added one last
  };

  bool fail(std::uint32_t route, std::string message) {
    error_ = {route, std::move(message)};
    return false;
  }

  bool collectMethods() {
    std::vector<std::string>& methods = tables_->methods;
    for (std::uint32_t i = 0; i < tables_->routes.size(); ++i) {
      for (const std::string& method : tables_->routes[i].methods) {
        if (!isToken(method) || method.size() > kMaxMethodBytes) {
          return fail(i, "method " + quote(method) + ": it is not a token of at most 32 bytes");
        }
        if (std::ranges::find(methods, method) != methods.end()) continue;
        if (methods.size() == kMaxRouteMethods) {
          return fail(i, "method " + quote(method) + ": the routes name more than " +
                             std::to_string(kMaxRouteMethods) + " different methods");
        }
        methods.push_back(method);
      }
    }
    std::ranges::sort(methods, [](const std::string& a, const std::string& b) {
      return std::pair(usualPlace(a), std::string_view(a)) <
             std::pair(usualPlace(b), std::string_view(b));
    });
    return true;
  }

  // The patterns of route i are patterns[firstPattern_[i]] and those that follow.
  bool addPatterns(std::uint32_t index) {
    RouteMatch& route = tables_->routes[index];
    for (const std::string& host : route.hosts) {
      const std::string error = hostError(host);
      if (!error.empty()) return fail(index, "host " + quote(host) + ": " + error);
    }
    if (route.hosts.empty()) route.hosts.emplace_back("*");
    if (route.paths.empty()) route.paths.emplace_back();

    firstPattern_.push_back(static_cast<std::uint32_t>(tables_->patterns.size()));
    for (const PathMatch& path : route.paths) {
      Result<PathPattern, std::string> pattern = parsePath(path);
      if (!pattern) return fail(index, "path " + quote(path.text) + ": " + pattern.error());
      std::uint32_t regex = kNone;
      if (path.kind == PathKind::Regex) {
        std::string error;
        regex = regexIndex(path.text, error);
        if (regex == kNone) return fail(index, "path pattern " + quote(path.text) + ": " + error);
      }
      tables_->patterns.push_back(std::move(*pattern));
      tables_->patternRegex.push_back(regex);
    }
    return true;
  }

  // The same expression is compiled once. kNone with `error` where it is refused.
  std::uint32_t regexIndex(const std::string& pattern, std::string& error) {
    const auto found = regexes_.find(pattern);
    if (found != regexes_.end()) return found->second;
    const std::size_t room = std::min(regexTableRoom_, Regex::kMaxTableBytes);
    Result<Regex, std::string> regex = Regex::compile(pattern, room);
    if (!regex) {
      error = std::move(regex.error());
      return kNone;
    }
    // A table that came to nothing has cost the time of a large one.
    regexTableRoom_ -= regex->tableBytes() > 0 ? regex->tableBytes() : room;
    const auto index = static_cast<std::uint32_t>(tables_->regexes.size());
    tables_->regexes.push_back(std::make_unique<const Regex>(std::move(*regex)));
    regexes_.emplace(pattern, index);
    return index;
  }

  bool addTests(std::uint32_t index) {
    const RouteMatch& route = tables_->routes[index];
    RequestTests tests;
    tests.listeners = route.listeners;
    if (!route.methods.empty()) {
      tests.methods = 0;
      for (const std::string& method : route.methods) tests.methods |= tables_->methodBit(method);
    }
    tests.setClients(route.clients);
    if (!addValueTests(index, "header ", route.headers, tests.headers)) return false;
    if (!addValueTests(index, "query parameter ", route.query, tests.query)) return false;
    tables_->tests.push_back(std::move(tests));
    return true;
  }

  bool addValueTests(std::uint32_t route, std::string_view what,
                     const std::vector<ValueMatch>& matches,
                     std::vector<CompiledValueMatch>& compiled) {
    for (const ValueMatch& match : matches) {
      const std::string place = std::string(what) + quote(match.name);
      if (match.name.empty()) return fail(route, place + ": the name is empty");
      const Regex* regex = nullptr;
      if (match.test == ValueTest::Regex) {
        std::string error;
        const std::uint32_t index = regexIndex(match.value, error);
        if (index == kNone)
          return fail(route, place + ": pattern " + quote(match.value) + ": " + error);
        regex = tables_->regexes[index].get();
      }
      compiled.push_back({match.name, match.test, match.value, regex});
    }
    return true;
  }

  void rank() {
    for (std::uint32_t r = 0; r < tables_->routes.size(); ++r) {
      const RouteMatch& route = tables_->routes[r];
      for (std::uint32_t h = 0; h < route.hosts.size(); ++h) {
        for (std::uint32_t p = 0; p < route.paths.size(); ++p) {
          const PathPattern* pattern = &tables_->patterns[firstPattern_[r] + p];
          tables_->places.push_back({r, h, p, &route, route.hosts[h], pattern});
        }
      }
    }
    std::ranges::sort(tables_->places, goesBefore);
  }

  bool fillTables() {
    for (std::uint32_t rank = 0; rank < tables_->places.size(); ++rank) addCandidate(rank);

    for (const Bucket& bucket : buckets_) {
      if (bucket.built.tree == kNone) continue;
      const std::size_t visits = trees_.worstVisits(bucket.built.tree);
      if (visits > kMaxTreeVisits) {
        return fail(bucket.lastTemplate,
                    "path: the templates of this host overlap so much that one request may take " +
                        std::to_string(visits) + " steps (limit " + std::to_string(kMaxTreeVisits) +
                        "): where one has a parameter, others have literals, at too many places");
      }
    }

    tables_->tree = trees_.build(tables_->lists, key_);
    std::vector<KeyedTable::Entry> exact;
    for (std::uint32_t i = 0; i < buckets_.size(); ++i) finishBucket(i, exact);
    tables_->exactPaths = KeyedTable(exact, key_);
    tables_->hosts = KeyedTable(hosts_, key_);
    return true;
  }

  void addCandidate(std::uint32_t rank) {
    const RoutePlace& place = tables_->places[rank];
    const std::uint32_t patternIndex = firstPattern_[place.routeIndex] + place.pathIndex;
    const bool asks = !tables_->tests[place.routeIndex].empty();
    const RouteCandidate candidate{rank, place.routeIndex, asks ? place.routeIndex : kNone,
                                   patternIndex, false};

    Bucket& bucket = buckets_[bucketFor(place.host)];
    bucket.built.best = std::min(bucket.built.best, rank);
    switch (place.path->kind) {
      case PathKind::Exact:
        bucket.built.exactBest = std::min(bucket.built.exactBest, rank);
        bucket.exact[place.path->text].push_back(candidate);
        break;
      case PathKind::Template:
        bucket.lastTemplate = place.routeIndex;
        [[fallthrough]];
      case PathKind::Prefix:
        if (bucket.built.tree == kNone) bucket.built.tree = trees_.addRoot();
        trees_.add(bucket.built.tree, *place.path, candidate);
        break;
      case PathKind::Regex:
        bucket.regexes[tables_->patternRegex[patternIndex]].push_back(candidate);
        break;
      case PathKind::Any:
        bucket.any.push_back(candidate);
        break;
    }
  }

  std::uint32_t bucketFor(std::string_view host) {
    const auto [found, isNew] =
        bucketOfHost_.try_emplace(std::string(host), static_cast<std::uint32_t>(buckets_.size()));
    if (!isNew) return found->second;
    const std::uint32_t bucket = found->second;
    buckets_.emplace_back();
    if (host == "*") {
      tables_->anyHost = bucket;
    } else if (host.starts_with("*.")) {
      const std::string_view suffix = host.substr(2);
      const auto labels = static_cast<std::size_t>(1 + std::ranges::count(suffix, '.'));
      tables_->maxSuffixLabels = std::max(tables_->maxSuffixLabels, labels);
      hosts_.push_back({RouterTables::kHostSuffix, std::string(suffix), bucket});
    } else {
      hosts_.push_back({RouterTables::kExactHost, std::string(host), bucket});
    }
    return bucket;
  }

  void finishBucket(std::uint32_t index, std::vector<KeyedTable::Entry>& exact) {
    Bucket& bucket = buckets_[index];
    HostBucket& built = bucket.built;
    CandidateLists& lists = tables_->lists;
    for (auto& [path, candidates] : bucket.exact)
      exact.push_back({index, path, lists.add(std::move(candidates))});
    if (!bucket.any.empty()) built.any = lists.add(std::move(bucket.any));

    std::vector<RouterTables::RegexList>& regexLists = tables_->regexLists;
    built.firstRegex = static_cast<std::uint32_t>(regexLists.size());
    built.regexCount = static_cast<std::uint32_t>(bucket.regexes.size());
    for (auto& [regex, candidates] : bucket.regexes)
      regexLists.push_back({regex, lists.add(std::move(candidates))});
    std::sort(regexLists.end() - built.regexCount, regexLists.end(),
              [&](const auto& a, const auto& b) {
                return lists.bestRank(a.list) < lists.bestRank(b.list);
              });
    tables_->buckets.push_back(built);
  }

  std::unique_ptr<RouterTables> tables_;
  HashKey key_ = HashKey::random();
  RouterBuildError error_;
  std::vector<std::uint32_t> firstPattern_;
  std::unordered_map<std::string, std::uint32_t> regexes_;
  std::size_t regexTableRoom_ = kRegexTableBudget;
  PathTreeBuilder trees_;
  std::vector<Bucket> buckets_;
  std::unordered_map<std::string, std::uint32_t> bucketOfHost_;
  std::vector<KeyedTable::Entry> hosts_;
};

Result<Router, RouterBuildError> Router::build(const std::vector<RouteMatch>& routes) {
  RouterBuilder builder(routes);
  if (std::optional<RouterBuildError> error = builder.run()) return Failure{std::move(*error)};
  return Router(builder.tables());
}

}  // namespace tidegate
