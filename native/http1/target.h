// Request targets and authorities: which form a target has, and which host it names (RFC 9112 3.2).
#pragma once

#include <cstdint>
#include <string_view>

#include "http/message.h"
#include "http1/parser.h"

namespace tidegate::http1 {

// uri-host [":" port], borrowed from the text that was parsed.
struct Authority {
  std::string_view host;   // an IPv6 literal keeps its brackets
  std::uint32_t port = 0;  // 0: none is given
};

// False unless `text` is uri-host [":" port] with a host; `readable` is where readable bytes begin,
// which may be before `text` and helps to scan it. Stricter than RFC 3986 where a host could be
// spelt in two ways or read as two: no percent-encoding, no sub-delims (a comma above all), no
// IPvFuture, no zone; a port is 1..65535.
bool parseAuthority(const char* readable, std::string_view text, Authority& authority);

// What an absolute target says of the host; no host in the other forms.
struct TargetHost {
  Authority authority;
  std::uint32_t defaultPort = 80;  // of the target's scheme
};

// Takes `line.target` apart by its form and the method. `query` is where its first '?' stands, or
// its end when there is none. Fills in path, query and, of an absolute target, authority and host.
ParseError parseTarget(const char* base, const char* query, RequestLine& line, TargetHost& host);

// Checks the value of a Host field, also against the target's host; takes authority and host from
// it when the target has none.
ParseError applyHost(const char* base, Slice value, const TargetHost& host, RequestLine& line);

}  // namespace tidegate::http1
