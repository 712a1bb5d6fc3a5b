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
  FirstMatch(const CandidateLists& lists, const std::vector<RequestTests>& tests,
             const RouteRequest& request, std::uint64_t methodBit)
      : lists_(lists), tests_(tests), request_(request), methodBit_(methodBit) {}

  bool wants(std::uint32_t rank) const { return rank < best_; }

  void consider(std::uint32_t list) {
    const RouteCandidate* candidate = lists_.list(list);
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
    if (candidate.tests == kNone) return true;
    const RouteTest failed = tests_[candidate.tests].firstFailure(request_, methodBit_);
    sawOtherMethod_ |= failed == RouteTest::Method;
    return failed == RouteTest::None;
  }

  const CandidateLists& lists_;
  const std::vector<RequestTests>& tests_;
  const RouteRequest& request_;
  std::uint64_t methodBit_;
  std::uint32_t best_ = kNone;
  bool sawOtherMethod_ = false;
  const RouteCandidate* winner_ = nullptr;
};

// Collects the methods with which some route would match.
class AllowedMethods {
 public:
  AllowedMethods(const CandidateLists& lists, const std::vector<RequestTests>& tests,
                 const RouteRequest& request)
      : lists_(lists), tests_(tests), request_(request) {}

  bool wants(std::uint32_t rank) const { return rank != kNone; }

  void consider(std::uint32_t list) {
    for (const RouteCandidate* candidate = lists_.list(list);; ++candidate) {
      assert(candidate->tests != kNone);  // it would have matched
      const RequestTests& tests = tests_[candidate->tests];
      if (tests.firstFailure(request_, ~std::uint64_t{0}) == RouteTest::None)
        mask_ |= tests.methods;
      if (candidate->last) return;
    }
  }

  std::uint64_t mask() const { return mask_; }

 private:
  const CandidateLists& lists_;
  const std::vector<RequestTests>& tests_;
  const RouteRequest& request_;
  std::uint64_t mask_ = 0;
};

void setPrefixTail(const PathPattern& pattern, std::string_view path, RouteResult& result) {
  const std::size_t tail = pattern.text.size() - 1;  // `/a/*` without its `*`
  if (path.size() > tail) result.tail = path.substr(tail);
}

void setTemplateParams(const PathPattern& pattern, std::string_view path, RouteResult& result) {
  std::size_t at = 1;
  for (const PathSegment& segment : pattern.segments) {
    if (segment.kind == PathSegment::Kind::Tail) {
      if (at != std::string_view::npos) result.tail = path.substr(at);
      return;
    }
    const std::string_view value = takeSegment(path, at);
    if (segment.kind == PathSegment::Kind::Param)
      result.params[result.paramCount++] = {segment.text, value};
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
void RouterTables::visitBucket(std::uint32_t index, std::string_view path, Visitor& visitor) const {
  const HostBucket& bucket = buckets[index];
  if (!visitor.wants(bucket.best)) return;
  if (visitor.wants(bucket.exactBest)) {
    const std::uint32_t list = exactPaths.find(index, path);
    if (list != kNone) visitor.consider(list);
  }
  if (bucket.tree != kNone) tree.visit(bucket.tree, path, visitor);
  for (std::uint32_t i = 0; i < bucket.regexCount; ++i) {
    const RegexList& entry = regexLists[bucket.firstRegex + i];
    if (!visitor.wants(lists.bestRank(entry.list))) break;
    if (regexes[entry.regex]->search(path)) visitor.consider(entry.list);
  }
  if (bucket.any != kNone) visitor.consider(bucket.any);
}

template <typename Visitor>
void RouterTables::visit(const RouteRequest& request, Visitor& visitor) const {
  const std::string_view host = request.host;
  const std::uint32_t exact = hosts.find(kExactHost, host);
  if (exact != kNone) visitBucket(exact, request.path, visitor);

  // No suffix has more labels than maxSuffixLabels, so only that many dots from the right are
  // tried.
  std::size_t dot = host.size();
  for (std::size_t i = 0; i < maxSuffixLabels && dot != std::string_view::npos && dot > 0; ++i) {
    const std::size_t next = host.rfind('.', dot - 1);
    if (next == std::string_view::npos) break;
    dot = next;
  }
  // `*` stands for one label at least, so the first dot is not at 0.
  while (maxSuffixLabels > 0 && dot < host.size()) {
    if (dot > 0) {
      const std::uint32_t bucket = hosts.find(kHostSuffix, host.substr(dot + 1));
      if (bucket != kNone) visitBucket(bucket, request.path, visitor);
    }
    dot = host.find('.', dot + 1);
  }

  if (anyHost != kNone) visitBucket(anyHost, request.path, visitor);
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
  FirstMatch first(tables.lists, tables.tests, request, tables.methodBit(request.method));
  tables.visit(request, first);
  if (first.winner() == nullptr) {
    if (!first.sawOtherMethod()) return;
    AllowedMethods allowed(tables.lists, tables.tests, request);
    tables.visit(request, allowed);
    result.allowedMethods = allowed.mask();
    result.methodMismatch = allowed.mask() != 0;
    return;
  }

  result.route = first.winner()->route;
  const std::uint32_t index = first.winner()->pattern;
  const PathPattern& pattern = tables.patterns[index];
  if (pattern.kind == PathKind::Prefix) {
    setPrefixTail(pattern, request.path, result);
  } else if (pattern.kind == PathKind::Template) {
    setTemplateParams(pattern, request.path, result);
  } else if (pattern.kind == PathKind::Regex) {
    setRegexParams(*tables.regexes[tables.patternRegex[index]], request.path, result);
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
