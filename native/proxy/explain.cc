#include "proxy/explain.h"

#include <memory>
#include <optional>
#include <string_view>

#include "base/ascii.h"
#include "base/ip_address.h"
#include "http/field_id.h"
#include "http/message.h"
#include "http/reason.h"
#include "routing/path.h"
#include "routing/router.h"
#include "snapshot/decode.h"
#include "snapshot/snapshot.h"
#include "tls/server_context.h"

namespace tidegate {
namespace {

EngineError invalidRequest(std::string message) { return {"request_invalid", std::move(message)}; }

// Fields as the parser would present them: one block of bytes and offsets into it.
struct FieldBlock {
  std::string bytes;
  FieldTable fields;
};

// nullptr when there are more fields than a head may hold.
std::unique_ptr<FieldBlock> buildFields(
    const std::vector<std::pair<std::string, std::string>>& source) {
  auto block = std::make_unique<FieldBlock>();
  for (const auto& [name, value] : source) {
    Field field;
    field.id = fieldIdOf(name);
    field.name = {static_cast<std::uint32_t>(block->bytes.size()),
                  static_cast<std::uint32_t>(name.size())};
    block->bytes += name;
    const std::string_view trimmed = trimOws(value);
    field.value = {static_cast<std::uint32_t>(block->bytes.size()),
                   static_cast<std::uint32_t>(trimmed.size())};
    block->bytes += trimmed;
    if (!block->fields.add(field)) return nullptr;
  }
  block->fields.rebase(block->bytes.data());
  return block;
}

std::optional<std::uint16_t> findListener(const Snapshot& snapshot, std::string_view name) {
  for (std::size_t i = 0; i < snapshot.listeners.size(); ++i) {
    if (name.empty() || snapshot.listeners[i].name == name) return static_cast<std::uint16_t>(i);
  }
  return std::nullopt;
}

std::string_view pathErrorText(PathError error) {
  switch (error) {
    case PathError::None:
      return "";
    case PathError::BadEscape:
      return "`%` is not followed by two hexadecimal digits";
    case PathError::EscapedNul:
      return "the path holds %00";
    case PathError::EscapedSlash:
      return "the path holds an escaped slash or backslash (see paths.escapedSlashes)";
    case PathError::AboveRoot:
      return "the path climbs over the root";
    case PathError::HiddenDotSegment:
      return "an escaped slash hides a dot segment";
    case PathError::BadCharacter:
      return "the path holds a character that no path may hold";
  }
  return "";
}

// What the exchange refuses before it looks for a route; None when it goes on.
Reason refusalOf(const ListenerConfig& listener, std::string_view method) {
  if (method == "CONNECT") return Reason::MethodRefused;
  if (method == "TRACE" && !listener.trace) return Reason::TraceRefused;
  return Reason::None;
}

void recordRoute(const Snapshot& snapshot, const RouteRequest& request, ExplainResult& result) {
  RouteResult found;
  snapshot.router->match(request, found);
  if (found.route == kNoRoute) {
    const Reason reason = found.methodMismatch ? Reason::MethodNotAllowed : Reason::RouteNotFound;
    result.refusal = reasonCode(reason);
  } else {
    result.route = snapshot.routes[found.route].match.name;
    result.tail = found.tail;
    for (std::size_t i = 0; i < found.paramCount; ++i) {
      result.params.emplace_back(found.params[i].name, found.params[i].value);
    }
  }
  for (Router::Candidate& candidate : snapshot.router->explain(request)) {
    result.candidates.push_back({snapshot.routes[candidate.route].match.name, candidate.matched,
                                 std::move(candidate.reason), std::move(candidate.predicate)});
  }
}

}  // namespace

Result<ExplainResult, EngineError> explain(std::span<const std::uint8_t> bytes,
                                           const ExplainRequest& request) {
  auto decoded = decodeSnapshot(bytes);
  if (!decoded) return Failure{EngineError{"snapshot_invalid", decoded.error().message}};
  const Snapshot& snapshot = **decoded;

  const std::optional<std::uint16_t> listenerIndex = findListener(snapshot, request.listener);
  if (!listenerIndex) {
    return Failure{invalidRequest("there is no listener named '" + request.listener + "'")};
  }
  const ListenerConfig& listener = snapshot.listeners[*listenerIndex];

  const std::optional<IpAddress> client = IpAddress::parse(request.client);
  if (!client) {
    return Failure{invalidRequest("expected an IP address for the client but received '" +
                                  request.client + "'")};
  }
  const std::unique_ptr<FieldBlock> block = buildFields(request.fields);
  if (!block) {
    return Failure{invalidRequest("expected at most " + std::to_string(kMaxFields) +
                                  " header fields but received " +
                                  std::to_string(request.fields.size()))};
  }

  const std::string_view target = request.target;
  const std::size_t questionMark = target.find('?');
  const std::string_view rawPath = target.substr(0, questionMark);

  ExplainResult result;
  result.listener = listener.name;
  result.host.resize(request.host.size());
  result.host = normalizeHost(request.host, result.host);
  if (listener.tls) result.certificates = listener.tls->certificatesFor(result.host);
  if (questionMark != std::string_view::npos) result.query = target.substr(questionMark + 1);

  std::string pathBuffer(rawPath.size(), '\0');
  const NormalPath normal = normalizePath(rawPath, listener.paths, pathBuffer);
  result.path = normal.error == PathError::None ? normal.path : rawPath;

  if (const Reason refused = refusalOf(listener, request.method); refused != Reason::None) {
    result.refusal = reasonCode(refused);
    return result;
  }
  if (normal.error != PathError::None) {
    result.refusal = reasonCode(Reason::BadPath);
    result.refusalDetail = pathErrorText(normal.error);
    return result;
  }

  RouteRequest routed;
  routed.listener = *listenerIndex;
  routed.host = result.host;
  routed.path = result.path;
  routed.query = result.query;
  routed.method = request.method;
  routed.fields = &block->fields;
  routed.client = *client;
  recordRoute(snapshot, routed, result);
  return result;
}

}  // namespace tidegate
