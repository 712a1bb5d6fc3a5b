// What a gateway has to know of gRPC (the "gRPC over HTTP2" protocol of grpc.io): which requests
// are calls, how long their clients wait, and how an answer that is no message says what went
// wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate {

// Of Content-Type: application/grpc, with or without a message format. gRPC-Web is not meant.
bool isGrpc(std::string_view contentType);

inline constexpr std::uint64_t kNoGrpcTimeout = ~std::uint64_t{0};

// Milliseconds of a grpc-timeout field, rounded up; kNoGrpcTimeout for what is none.
std::uint64_t grpcTimeoutMillis(std::string_view value);

// The status of a call for an answer of the gateway's own, "0".."16": what gRPC's own libraries
// take an HTTP status for, but for limits and time limits, which have codes of their own.
std::string_view grpcStatus(std::uint16_t httpStatus);

// grpc-message: all but printable ASCII as %XX. `out` has room for three times the text; returns
// how much was written.
std::size_t writeGrpcMessage(std::string_view text, char* out);

}  // namespace tidegate
