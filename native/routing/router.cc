// Matching: of all (route, host, path) triples that the request fulfils, the one with the lowest
// rank. Ranks number the order of precedence (precedence.h) when the router is built, so that
// matching compares numbers only:
//
//   host table → for each host pattern that fits (exact, suffixes, any): exact paths, tree of
//   prefixes and templates, regular expressions, routes without path → the tests that are left
//
// A table whose best rank is above what was found is skipped.
#include "routing/router.h"

#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "routing/router_tables.h"

namespace tidegate {
namespace {

// Keeps the candidate with the lowest rank whose tests hold.
class FirstMatch {
 public:
  FirstMatch(const RouterTables& tables, const RouteRequest& request)
      : tables_(tables), request_(request), methodBit_(tables.methodBit(request.method)) {}

  bool wants(std::uint32_t rank) const { return rank < best_; }

  void consider(const RouteCandidate* candidate) {
    while (wants(candidate->rank)) {
      if (passes(*candidate)) {
        best_ = candidate->rank;
        winner_ = candidate;
        return;
      }
      if (candidate->last) return;
      ++candidate;
    }
  }

  const RouteCandidate* winner() const { return winner_; }
  // A candidate failed by its method, and perhaps by nothing else.
  bool sawOtherMethod() const { return sawOtherMethod_; }

 private:
  bool passes(const RouteCandidate& candidate) {
    // A method that no route names has no bit, and passes where none is named.
    if (candidate.methods != kNone && (tables_.methodSets[candidate.methods] & methodBit_) == 0) {
      sawOtherMethod_ = true;
      return false;
    }
    return candidate.tests == kNone ||
           tables_.tests[candidate.tests].firstFailure(request_) == RouteTest::None;
  }

  const RouterTables& tables_;
  const RouteRequest& request_;
  std::uint64_t methodBit_;
  std::uint32_t best_ = kNone;
  bool sawOtherMethod_ = false;
  const RouteCandidate* winner_ = nullptr;
};

// Where no candidate matches: collects the methods with which one would.
class AllowedMethods {
 public:
  AllowedMethods(const RouterTables& tables, const RouteRequest& request)
      : tables_(tables), request_(request) {}

  bool wants(std::uint32_t rank) const { return rank != kNone; }

  void consider(const RouteCandidate* candidate) {
    for (;; ++candidate) {
      // One that takes any method has failed by something else.
      if (candidate->methods != kNone && passes(*candidate))
        mask_ |= tables_.methodSets[candidate->methods];
      if (candidate->last) return;
    }
  }

  std::uint64_t mask() const { return mask_; }

 private:
  bool passes(const RouteCandidate& candidate) const {
    return candidate.tests == kNone ||
           tables_.tests[candidate.tests].firstFailure(request_) == RouteTest::None;
  }

  const RouterTables& tables_;
  const RouteRequest& request_;
  std::uint64_t mask_ = 0;
};

void setTemplateParams(const TemplateShapes& shapes, std::uint32_t shape, std::string_view path,
                       RouteResult& result) {
  const std::uint16_t* word = &shapes.words[shape];
  std::size_t at = 1;
  for (unsigned left = *word++; left > 0; --left, ++word) {
    if (*word == TemplateShapes::kTail) {
      if (at != std::string_view::npos) result.tail = path.substr(at);
      return;
    }
    const std::string_view value = takeSegment(path, at);
    if (*word != TemplateShapes::kLiteral)
      result.params[result.paramCount++] = {shapes.names[*word], value};
  }
}

void setRegexParams(const Regex& regex, std::string_view path, RouteResult& result) {
  static_assert(kMaxRegexGroups <= kMaxRouteParams);
  const std::vector<std::string>& names = regex.names();
  if (names.empty()) return;
  std::array<std::string_view, kMaxRegexGroups> values;
  regex.capture(path, {values.data(), names.size()});
  for (std::size_t i = 0; i < names.size(); ++i)
    result.params[result.paramCount++] = {names[i], values[i]};
}

}  // namespace

std::uint64_t RouterTables::methodBit(std::string_view method) const {
  for (std::size_t i = 0; i < methods.size(); ++i) {
    if (methods[i] == method) return std::uint64_t{1} << i;
  }
  return 0;
}

template <typename Visitor>
void RouterTables::visitPaths(const HostPaths& host, std::string_view path,
                              Visitor& visitor) const {
  if (!visitor.wants(host.best)) return;
  if (visitor.wants(host.exactBest)) {
    const CandidateRef* list = exactPaths.find(host.id, path);
    if (list != nullptr) visitor.consider(list->in(lists));
  }
  if (host.tree != kNone) tree.visit(host.tree, path, lists, visitor);
  for (std::uint32_t i = 0; i < host.regexCount; ++i) {
    const RegexList& entry = regexLists[host.firstRegex + i];
    if (!visitor.wants(lists.bestRank(entry.list))) break;
    if (regexes[entry.regex]->search(path)) visitor.consider(lists.list(entry.list));
  }
  if (host.any != kNone) visitor.consider(lists.list(host.any));
}

template <typename Visitor>
void RouterTables::visit(const RouteRequest& request, Visitor& visitor) const {
  const std::string_view host = request.host;
  const HostPaths* exact = hosts.find(kExactHost, host);
  if (exact != nullptr) visitPaths(*exact, request.path, visitor);

  // No suffix has more labels than maxSuffixLabels, so only that many dots from the right are
  // tried.
  std::size_t dot = host.size();
  for (std::size_t i = 0; i < maxSuffixLabels && dot > 0; ++i) {
    const std::size_t next = host.rfind('.', dot - 1);
    if (next == std::string_view::npos) break;
    dot = next;
  }
  for (; dot < host.size(); dot = host.find('.', dot + 1)) {
    if (dot == 0) continue;  // `*` stands for one label at least
    const HostPaths* suffix = hosts.find(kHostSuffix, host.substr(dot + 1));
    if (suffix != nullptr) visitPaths(*suffix, request.path, visitor);
  }

  visitPaths(anyHost, request.path, visitor);
}

Router::Router(std::unique_ptr<const RouterTables> tables) : tables_(std::move(tables)) {}
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;
Router::~Router() = default;

void Router::match(const RouteRequest& request, RouteResult& result) const {
  result.route = kNoRoute;
  result.methodMismatch = false;
  result.allowedMethods = 0;
  result.paramCount = 0;
  result.tail = {};

  const RouterTables& tables = *tables_;
  FirstMatch first(tables, request);
  tables.visit(request, first);
  if (first.winner() == nullptr) {
    if (!first.sawOtherMethod()) return;
    AllowedMethods allowed(tables, request);
    tables.visit(request, allowed);
    result.allowedMethods = allowed.mask();
    result.methodMismatch = allowed.mask() != 0;
    return;
  }

  const RouteCandidate& winner = *first.winner();
  result.route = winner.route;
  if (winner.kind == PathKind::Prefix) {
    if (request.path.size() > winner.detail) result.tail = request.path.substr(winner.detail + 1);
  } else if (winner.kind == PathKind::Template) {
    setTemplateParams(tables.shapes, winner.detail, request.path, result);
  } else if (winner.kind == PathKind::Regex) {
    setRegexParams(*tables.regexes[winner.detail], request.path, result);
  }
}

std::string_view Router::writeAllow(const RouteResult& result, std::span<char> out) const {
  assert(out.size() >= kMaxAllowBytes);
  std::size_t size = 0;
  for (std::size_t i = 0; i < tables_->methods.size(); ++i) {
    if ((result.allowedMethods >> i & 1) == 0) continue;
    const std::string_view separator = size > 0 ? ", " : "";
    size += separator.copy(out.data() + size, separator.size());
    size += tables_->methods[i].copy(out.data() + size, kMaxMethodBytes);
  }
  return {out.data(), size};
}

}  // namespace tidegate
