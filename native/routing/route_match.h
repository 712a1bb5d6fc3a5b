// What one route asks of a request: plain data, as the snapshot carries it. The router compiles a
// set of these.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "http/message.h"

namespace tidegate {

// How a header or query value is tested.
enum class ValueTest : std::uint8_t { Exact, Prefix, Regex, Present, Absent };

struct ValueMatch {
  std::string name;  // lower-case for headers
  ValueTest test = ValueTest::Present;
  std::string value;  // Exact, Prefix: the text; Regex: the pattern (unanchored search, `^` and `$`
                      // as written)
};

enum class PathKind : std::uint8_t {
  Any,       // no path was asked for
  Exact,     // `/a/b`
  Prefix,    // `/a/*`: /a and everything below it, by whole segments; `/*` is every path
  Template,  // `/a/:id/b`, also with a tail: `/a/:id/*`
  Regex,     // searched over the normalised path
};

struct PathMatch {
  PathKind kind = PathKind::Any;
  std::string text;  // as written in the configuration (for Regex the pattern), normalised the way
                     // requests are
};

struct RouteMatch {
  std::string name;
  std::int32_t priority = 0;             // higher first
  std::vector<std::uint16_t> listeners;  // indices; empty: every listener
  std::vector<std::string> hosts;        // lower-case: exact, `*.suffix`, or `*`; empty: any host
  std::vector<PathMatch> paths;          // empty: any path
  std::vector<std::string> methods;  // tokens, case-sensitive; empty: any. GET does not imply HEAD
  std::vector<ValueMatch> headers;
  std::vector<ValueMatch> query;
  std::vector<IpPrefix> clients;  // empty: any network
};

}  // namespace tidegate
