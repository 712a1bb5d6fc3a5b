// Writes a text with variables ({host}, {param.id} …) for one exchange.
#pragma once

#include <string_view>

#include "http/message.h"
#include "proxy/text_arena.h"
#include "routing/router.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// What the variables stand for. All views live as long as the exchange.
struct TemplateValues {
  std::string_view clientAddress;
  std::uint16_t clientPort = 0;
  std::string_view host;
  std::string_view scheme;
  std::string_view method;
  std::string_view path;
  std::string_view query;
  bool hasQuery = false;
  std::string_view requestId;
  // Null while there is none. Pointers, because few texts name them and reading a name costs a
  // cache line.
  const RouteConfig* route = nullptr;
  const UpstreamConfig* upstream = nullptr;
  const EndpointConfig* endpoint = nullptr;
  const RouteResult* match = nullptr;
  const HeadFields* fields = nullptr;
};

// Who knows them: they are gathered where a text needs them, which is seldom.
class TemplateSource {
 public:
  virtual TemplateValues templateValues() const = 0;

 protected:
  ~TemplateSource() = default;
};

enum class TemplateUse : std::uint8_t {
  Text,  // header values and bodies: as it is
  Uri,   // paths and locations: what a client's header brings in is percent-encoded
};

// The result lives until the arena's next reset().
std::string_view renderTemplate(const TextTemplate& text, const TemplateValues& values,
                                TemplateUse use, TextArena& arena);

}  // namespace tidegate
