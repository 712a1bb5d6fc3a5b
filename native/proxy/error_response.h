// Answers that the gateway makes itself: problem+json (RFC 9457) or plain text, by what the client
// accepts, and for gRPC the status of a call.
#pragma once

#include <string_view>

#include "http/message.h"
#include "http/reason.h"
#include "proxy/extra_fields.h"
#include "proxy/text_arena.h"

namespace tidegate {

struct ErrorBody {
  std::string_view contentType;
  std::string_view body;  // lives until the arena's next reset()
};

// `accept`: the request's Accept value, empty when there is none. JSON unless text/plain or text/*
// (or text/html) is named and JSON is not.
// `detail`: a sentence without control characters in place of the reason's own; empty: that one.
ErrorBody makeErrorBody(Reason reason, std::uint16_t status, std::string_view detail,
                        std::string_view requestId, std::string_view accept, TextArena& arena);

// The same for a gRPC call, whose answer has status 200 and no body ("Trailers-Only"): adds
// Content-Type, grpc-status and grpc-message to `fields`. They live as the body above.
void addGrpcError(Reason reason, std::uint16_t status, std::string_view detail, TextArena& arena,
                  ExtraFields& fields);

// The same for a call whose response has begun: what its trailers say. Needs two places; the texts
// are the arena's.
void addGrpcTrailers(Reason reason, TextArena& arena, HeadFields& trailers);

}  // namespace tidegate
