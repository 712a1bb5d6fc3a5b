// Router::build: checks the routes, ranks every (route, host, path) triple, and sorts the triples
// into the tables.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/ascii.h"
#include "http/field_rules.h"
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

class RouterBuilder {
 public:
  explicit RouterBuilder(std::vector<RouteMatch> routes)
      : tables_(std::make_unique<RouterTables>()) {
    tables_->routes = std::move(routes);
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
  struct Host {
    std::string name;
    HostPaths paths;
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
          return fail(route, std::string(place)
                                 .append(": pattern ")
                                 .append(quote(match.value))
                                 .append(": ")
                                 .append(error));
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
    for (std::uint32_t rank = 0; rank < tables_->places.size(); ++rank) {
      if (!addCandidate(rank)) return false;
    }
    for (const Host& host : hosts_) {
      if (host.paths.tree == kNone) continue;
      const std::size_t visits = trees_.worstVisits(host.paths.tree);
      if (visits > kMaxTreeVisits) {
        return fail(host.lastTemplate,
                    "path: the templates of host " + quote(host.name) +
                        " overlap so much that one request may take " + std::to_string(visits) +
                        " steps (limit " + std::to_string(kMaxTreeVisits) +
                        "): where one has a parameter, others have literals, at too many places");
      }
    }

    tables_->tree = trees_.build(tables_->lists, key_);
    std::vector<KeyedTable<CandidateRef>::Entry> exactPaths;
    for (Host& host : hosts_) finishPaths(host, exactPaths);
    tables_->exactPaths = KeyedTable<CandidateRef>(exactPaths, key_);
    fillHosts();
    return true;
  }

  bool addCandidate(std::uint32_t rank) {
    const RoutePlace& place = tables_->places[rank];
    const std::uint32_t pattern = firstPattern_[place.routeIndex] + place.pathIndex;
    RouteCandidate candidate;
    candidate.rank = rank;
    candidate.route = place.routeIndex;
    candidate.methods = methodSet(*place.route);
    candidate.tests = tables_->tests[place.routeIndex].empty() ? kNone : place.routeIndex;
    candidate.kind = place.path->kind;

    Host& host = hostFor(place.host);
    host.paths.best = std::min(host.paths.best, rank);
    switch (candidate.kind) {
      case PathKind::Exact:
        host.paths.exactBest = std::min(host.paths.exactBest, rank);
        host.exact[place.path->text].push_back(candidate);
        break;
      case PathKind::Template:
        if (!shapeOf(*place.path, candidate.detail)) {
          return fail(place.routeIndex, "path " + quote(place.path->text) +
                                            ": the routes use too many parameter names");
        }
        host.lastTemplate = place.routeIndex;
        addToTree(host, *place.path, candidate);
        break;
      case PathKind::Prefix:
        candidate.detail = static_cast<std::uint32_t>(place.path->text.size() - 2);
        addToTree(host, *place.path, candidate);
        break;
      case PathKind::Regex:
        candidate.detail = tables_->patternRegex[pattern];
        host.regexes[candidate.detail].push_back(candidate);
        break;
      case PathKind::Any:
        host.any.push_back(candidate);
        break;
    }
    return true;
  }

  void addToTree(Host& host, const PathPattern& pattern, const RouteCandidate& candidate) {
    if (host.paths.tree == kNone) host.paths.tree = trees_.addRoot();
    trees_.add(host.paths.tree, pattern, candidate);
  }

  std::uint32_t methodSet(const RouteMatch& route) {
    if (route.methods.empty()) return kNone;
    std::uint64_t mask = 0;
    for (const std::string& method : route.methods) mask |= tables_->methodBit(method);
    std::vector<std::uint64_t>& sets = tables_->methodSets;
    const auto [found, isNew] =
        methodSets_.try_emplace(mask, static_cast<std::uint32_t>(sets.size()));
    if (isNew) sets.push_back(mask);
    return found->second;
  }

  // Writes the shape of a template. False when its names have no number left.
  bool shapeOf(const PathPattern& pattern, std::uint32_t& shape) {
    TemplateShapes& shapes = tables_->shapes;
    shape = static_cast<std::uint32_t>(shapes.words.size());
    shapes.words.push_back(static_cast<std::uint16_t>(pattern.segments.size()));
    for (const PathSegment& segment : pattern.segments) {
      std::uint16_t word = TemplateShapes::kLiteral;
      if (segment.kind == PathSegment::Kind::Tail) word = TemplateShapes::kTail;
      if (segment.kind == PathSegment::Kind::Param) {
        const auto next = static_cast<std::uint16_t>(shapes.names.size());
        const auto [found, isNew] = paramNames_.try_emplace(segment.text, next);
        if (isNew && next == TemplateShapes::kTail) return false;
        if (isNew) shapes.names.push_back(segment.text);
        word = found->second;
      }
      shapes.words.push_back(word);
    }
    return true;
  }

  Host& hostFor(std::string_view name) {
    const auto next = static_cast<std::uint32_t>(hosts_.size());
    const auto [found, isNew] = hostIndex_.try_emplace(std::string(name), next);
    if (isNew) {
      hosts_.emplace_back();
      hosts_.back().name = name;
      hosts_.back().paths.id = next;
    }
    return hosts_[found->second];
  }

  void finishPaths(Host& host, std::vector<KeyedTable<CandidateRef>::Entry>& exactPaths) {
    CandidateLists& lists = tables_->lists;
    for (auto& [path, candidates] : host.exact) {
      exactPaths.push_back({host.paths.id, path, CandidateRef(std::move(candidates), lists)});
    }
    if (!host.any.empty()) host.paths.any = lists.add(std::move(host.any));

    std::vector<RouterTables::RegexList>& regexLists = tables_->regexLists;
    host.paths.firstRegex = static_cast<std::uint32_t>(regexLists.size());
    host.paths.regexCount = static_cast<std::uint32_t>(host.regexes.size());
    for (auto& [regex, candidates] : host.regexes)
      regexLists.push_back({regex, lists.add(std::move(candidates))});
    std::sort(regexLists.end() - host.paths.regexCount, regexLists.end(),
              [&](const auto& a, const auto& b) {
                return lists.bestRank(a.list) < lists.bestRank(b.list);
              });
  }

  void fillHosts() {
    std::vector<KeyedTable<HostPaths>::Entry> entries;
    for (const Host& host : hosts_) {
      if (host.name == "*") {
        tables_->anyHost = host.paths;
      } else if (host.name.starts_with("*.")) {
        const std::string suffix = host.name.substr(2);
        const auto labels = static_cast<std::size_t>(1 + std::ranges::count(suffix, '.'));
        tables_->maxSuffixLabels = std::max(tables_->maxSuffixLabels, labels);
        entries.push_back({RouterTables::kHostSuffix, suffix, host.paths});
      } else {
        entries.push_back({RouterTables::kExactHost, host.name, host.paths});
      }
    }
    tables_->hosts = KeyedTable<HostPaths>(entries, key_);
  }

  std::unique_ptr<RouterTables> tables_;
  HashKey key_ = HashKey::random();
  RouterBuildError error_;
  std::vector<std::uint32_t> firstPattern_;
  std::unordered_map<std::string, std::uint32_t> regexes_;
  std::size_t regexTableRoom_ = kRegexTableBudget;
  std::unordered_map<std::uint64_t, std::uint32_t> methodSets_;
  PathTreeBuilder trees_;
  std::unordered_map<std::string, std::uint16_t> paramNames_;
  std::vector<Host> hosts_;
  std::unordered_map<std::string, std::uint32_t> hostIndex_;
};

}  // namespace

Result<Router, RouterBuildError> Router::build(std::vector<RouteMatch> routes) {
  RouterBuilder builder(std::move(routes));
  if (std::optional<RouterBuildError> error = builder.run()) return Failure{std::move(*error)};
  return Router(builder.tables());
}

}  // namespace tidegate
