// native_tests --dump-http1: how our parser reads messages, for tests that compare it with another.
#pragma once

namespace tidegate::test {

// Reads lines `request HEX` or `response METHOD HEX` from standard input, HEX being the bytes of
// one connection, and writes one line of JSON for each:
//
//   {"messages": [{...}], "error": ""}
//
// A message has method and target, or status and reason; minorVersion, fields ([name, value]
// pairs), keepAlive, and where its head and the whole of it end (`end` is -1 while it is not
// complete); body and trailers. Text is Latin-1, the body is hex. Reading stops at the first error,
// behind a message that ends the connection, and behind an upgrade. Every response answers METHOD.
// Returns the exit code.
int dumpHttp1();

}  // namespace tidegate::test
