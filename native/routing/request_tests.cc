// Header, query, listener and client tests.
#include "routing/request_tests.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "http/query.h"

namespace tidegate {
namespace {

template <typename Visit>
bool anyField(const HeadFields* fields, std::string_view name, Visit visit) {
  if (fields == nullptr) return false;
  return std::ranges::any_of(fields->fields(), [&](const Field& field) {
    return equalsIgnoreCase(fields->name(field), name) && visit(fields->value(field));
  });
}

bool fieldValueMatches(const CompiledValueMatch& match, std::string_view value) {
  switch (match.test) {
    case ValueTest::Exact:
      return value == match.value;
    case ValueTest::Prefix:
      return value.starts_with(match.value);
    case ValueTest::Regex:
      return match.regex->search(value);
    case ValueTest::Present:
    case ValueTest::Absent:
      return true;
  }
  return false;
}

bool parameterMatches(const CompiledValueMatch& match, EncodedText value) {
  switch (match.test) {
    case ValueTest::Exact:
      return value.equals(match.value);
    case ValueTest::Prefix:
      return value.startsWith(match.value);
    case ValueTest::Regex:
      return match.regex->search(value.decoded());
    case ValueTest::Present:
    case ValueTest::Absent:
      return true;
  }
  return false;
}

// Adds one more value that came to a list for people.
void addValue(std::string& list, std::string_view value) {
  if (!list.empty()) list += ", ";
  list += "`" + std::string(value) + "`";
}

}  // namespace

void RequestTests::setClients(const std::vector<IpPrefix>& clients) {
  anyClient_ = clients.empty();
  std::vector<PrefixRule> rules;
  for (const IpPrefix& prefix : clients) rules.push_back({prefix, true});
  clients_ = PrefixSet(std::move(rules), false);
}

bool RequestTests::empty() const {
  return listeners.empty() && headers.empty() && query.empty() && anyClient_;
}

bool RequestTests::listenerMatches(std::uint16_t listener) const {
  return listeners.empty() || std::ranges::find(listeners, listener) != listeners.end();
}

bool RequestTests::clientMatches(const IpAddress& client) const {
  return anyClient_ || clients_.contains(client);
}

RouteTest RequestTests::firstFailure(const RouteRequest& request) const {
  if (!listenerMatches(request.listener)) return RouteTest::Listener;
  for (const CompiledValueMatch& match : headers) {
    if (!headerMatches(match, request.fields)) return RouteTest::Header;
  }
  for (const CompiledValueMatch& match : query) {
    if (!queryMatches(match, request.query)) return RouteTest::Query;
  }
  if (!clientMatches(request.client)) return RouteTest::Client;
  return RouteTest::None;
}

bool headerMatches(const CompiledValueMatch& match, const HeadFields* fields) {
  const bool found = anyField(
      fields, match.name, [&](std::string_view value) { return fieldValueMatches(match, value); });
  return found != (match.test == ValueTest::Absent);
}

bool queryMatches(const CompiledValueMatch& match, std::string_view query) {
  const bool found = anyParameter(query, [&](EncodedText name, EncodedText value) {
    return name.equals(match.name) && parameterMatches(match, value);
  });
  return found != (match.test == ValueTest::Absent);
}

std::string describeHeader(std::string_view name, const HeadFields* fields) {
  std::string list;
  anyField(fields, name, [&](std::string_view value) {
    addValue(list, value);
    return false;
  });
  return list.empty() ? "nothing" : list;
}

std::string describeQuery(std::string_view name, std::string_view query) {
  std::string list;
  anyParameter(query, [&](EncodedText parameter, EncodedText value) {
    if (parameter.equals(name)) addValue(list, value.decoded());
    return false;
  });
  return list.empty() ? "nothing" : list;
}

std::string describeExpectation(const CompiledValueMatch& match) {
  switch (match.test) {
    case ValueTest::Exact:
      return "`" + match.value + "`";
    case ValueTest::Prefix:
      return "a value that begins with `" + match.value + "`";
    case ValueTest::Regex:
      return "a value that matches `" + match.value + "`";
    case ValueTest::Present:
      return "any value";
    case ValueTest::Absent:
      return "none";
  }
  return {};
}

}  // namespace tidegate
