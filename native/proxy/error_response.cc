// Request ids come from clients at times, and details from policies: they hold no control
// characters by then, and quotes and backslashes are escaped here.
#include "proxy/error_response.h"

#include <array>
#include <charconv>
#include <cstring>

#include "http/grpc.h"
#include "http1/writer.h"

namespace tidegate {

namespace {

std::string_view escapeJson(std::string_view text, TextArena& arena) {
  char* const begin = arena.allocate(text.size() * 2);
  char* at = begin;
  for (const char c : text) {
    if (c == '"' || c == '\\') *at++ = '\\';
    *at++ = c;
  }
  return {begin, static_cast<std::size_t>(at - begin)};
}

bool wantsText(std::string_view accept) {
  return accept.find("json") == std::string_view::npos &&
         accept.find("text/") != std::string_view::npos;
}

constexpr std::string_view kGrpcStatus = "grpc-status";
constexpr std::string_view kGrpcMessage = "grpc-message";

std::string_view grpcMessage(Reason reason, std::string_view detail, TextArena& arena) {
  if (detail.empty()) detail = reasonText(reason);
  const std::string_view text = arena.join({detail, " (", reasonCode(reason), ")"});
  char* const message = arena.allocate(text.size() * 3);
  return {message, writeGrpcMessage(text, message)};
}

}  // namespace

ErrorBody makeErrorBody(Reason reason, std::uint16_t status, std::string_view detail,
                        std::string_view requestId, std::string_view accept, TextArena& arena) {
  if (detail.empty()) detail = reasonText(reason);
  std::array<char, 5> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), status).ptr;
  const std::string_view statusText(digits.data(), static_cast<std::size_t>(end - digits.data()));
  const std::string_view title = http1::statusPhrase(status);
  if (wantsText(accept)) {
    return {"text/plain; charset=utf-8",
            arena.join({statusText, " ", title, "\n", detail, "\nreason: ", reasonCode(reason),
                        "\nrequest id: ", requestId, "\n"})};
  }
  return {"application/problem+json",
          arena.join({R"({"type":"about:blank","title":")", title, R"(","status":)", statusText,
                      R"(,"detail":")", escapeJson(detail, arena), R"(","reason":")",
                      reasonCode(reason), R"(","request_id":")", escapeJson(requestId, arena),
                      "\"}\n"})};
}

void addGrpcError(Reason reason, std::uint16_t status, std::string_view detail, TextArena& arena,
                  ExtraFields& fields) {
  fields.add("Content-Type", "application/grpc");
  fields.add(kGrpcStatus, grpcStatus(status));
  fields.add(kGrpcMessage, grpcMessage(reason, detail, arena));
}

void addGrpcTrailers(Reason reason, TextArena& arena, HeadFields& trailers) {
  const std::string_view status = grpcStatus(reasonStatus(reason));
  const std::string_view message = grpcMessage(reason, {}, arena);
  trailers.rebase(arena.join({kGrpcStatus, status, kGrpcMessage, message}).data());
  std::uint32_t at = 0;
  const auto take = [&at](std::string_view text) {
    const Slice slice{at, static_cast<std::uint32_t>(text.size())};
    at += slice.length;
    return slice;
  };
  const auto add = [&](std::string_view name, std::string_view value) {
    Field field;
    field.name = take(name);
    field.value = take(value);
    trailers.add(field);
  };
  add(kGrpcStatus, status);
  add(kGrpcMessage, message);
}

}  // namespace tidegate
