// Fuzzes the snapshot decoder: whatever the bytes are, it refuses them with a readable message, or
// gives a snapshot that keeps what snapshot.h and limits.h promise.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/msgpack.h"
#include "snapshot/decode.h"
#include "snapshot/limits.h"
#include "snapshot/text_rules.h"

namespace tidegate {
namespace {

void promise(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}
#define PROMISE(...) promise((__VA_ARGS__), #__VA_ARGS__)

bool within(std::uint64_t value, Range range) {
  return value >= static_cast<std::uint64_t>(range.min) &&
         value <= static_cast<std::uint64_t>(range.max);
}

void checkListener(const ListenerConfig& listener) {
  PROMISE(!listener.name.empty());
  PROMISE(isSocketAddress(listener.bind));
  PROMISE(within(listener.headerBytes, limits::kHeaderBytes));
  PROMISE(within(listener.headerCount, limits::kHeaderCount));
  PROMISE(listener.headTimeout == kUnlimited || within(listener.headTimeout, limits::kTimeout));
}

void checkUpstream(const UpstreamConfig& upstream) {
  PROMISE(!upstream.name.empty());
  PROMISE(!upstream.endpoints.empty());
  for (const EndpointConfig& endpoint : upstream.endpoints) {
    PROMISE(isConnectAddress(endpoint.connectTo));
    PROMISE(within(endpoint.weight, limits::kWeight));
    PROMISE(endpoint.metricSlot < kMaxSlots);
  }
}

void checkEdits(const std::vector<FieldEdit>& edits) {
  for (const FieldEdit& edit : edits) {
    PROMISE(isEditableField(edit.name));
    for (const TemplatePart& part : edit.value) {
      PROMISE(part.variable != Variable::Literal || isFieldText(part.text));
    }
  }
}

void checkRoute(const RouteConfig& route, const Snapshot& snapshot) {
  PROMISE(!route.match.name.empty());
  PROMISE(route.metricSlot < kMaxSlots);
  PROMISE(within(route.retries, limits::kRetries));
  for (const std::uint16_t listener : route.match.listeners) {
    PROMISE(listener < snapshot.listeners.size());
  }
  if (route.action == RouteAction::Proxy) PROMISE(route.upstream < snapshot.upstreams.size());
  for (const HeaderEdits* edits : {&route.requestEdits, &route.responseEdits}) {
    checkEdits(edits->set);
    checkEdits(edits->add);
  }
}

// Any request finds no route, or one that is there.
void checkRouter(const Snapshot& snapshot) {
  PROMISE(snapshot.router != nullptr);
  static const RequestHead kEmpty;
  RouteRequest request;
  request.fields = &kEmpty;
  request.host = "a.example";
  request.method = "GET";
  for (const std::string_view path : {"/", "/a/b/c"}) {
    request.path = path;
    RouteResult result;
    snapshot.router->match(request, result);
    PROMISE(result.route == kNoRoute || result.route < snapshot.routes.size());
  }
}

int checkOne(const std::uint8_t* data, std::size_t size) {
  const auto decoded = decodeSnapshot({data, size});
  if (!decoded.ok()) {
    const std::string& message = decoded.error().message;
    PROMISE(!message.empty() && message.size() < 4096 && isUtf8(message));
    return 0;
  }
  const Snapshot& snapshot = *decoded.value();
  for (const ListenerConfig& listener : snapshot.listeners) checkListener(listener);
  for (const UpstreamConfig& upstream : snapshot.upstreams) checkUpstream(upstream);
  for (const RouteConfig& route : snapshot.routes) checkRoute(route, snapshot);
  checkRouter(snapshot);
  return 0;
}

}  // namespace
}  // namespace tidegate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return tidegate::checkOne(data, size);
}
