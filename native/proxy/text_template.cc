// Two passes: the length, then the bytes, so that the result is contiguous and never outgrows its
// memory.
#include "proxy/text_template.h"

#include <array>
#include <charconv>
#include <cstring>

#include "base/ascii.h"

namespace tidegate {

namespace {

struct Piece {
  std::string_view prefix;  // "?" before a query
  std::string_view text;
  bool encode = false;
};

std::string_view paramValue(const RouteResult* match, std::string_view name) {
  if (match == nullptr) return {};
  for (std::size_t i = 0; i < match->paramCount; ++i) {
    if (match->params[i].name == name) return match->params[i].value;
  }
  return {};
}

std::string_view headerValue(const HeadFields* fields, std::string_view name) {
  if (fields == nullptr) return {};
  for (const Field& f : fields->fields()) {
    if (equalsIgnoreCase(fields->name(f), name)) return fields->value(f);
  }
  return {};
}

Piece pieceOf(const TemplatePart& part, const TemplateValues& values, std::string_view port) {
  switch (part.variable) {
    case Variable::Literal:
      return {{}, part.text};
    case Variable::ClientAddress:
      return {{}, values.clientAddress};
    case Variable::ClientPort:
      return {{}, port};
    case Variable::Host:
      return {{}, values.host};
    case Variable::Scheme:
      return {{}, values.scheme};
    case Variable::Method:
      return {{}, values.method};
    case Variable::Path:
      return {{}, values.path};
    case Variable::Query:
      return {{}, values.query};
    case Variable::QuestionQuery:
      return {values.hasQuery ? "?" : "", values.query};
    case Variable::RouteName:
      return {{}, values.route != nullptr ? values.route->match.name : std::string_view{}};
    case Variable::UpstreamName:
      return {{}, values.upstream != nullptr ? values.upstream->name : std::string_view{}};
    case Variable::EndpointAddress:
      return {{}, values.endpoint != nullptr ? values.endpoint->address : std::string_view{}};
    case Variable::RequestId:
      return {{}, values.requestId};
    case Variable::Param:
      return {{}, paramValue(values.match, part.text)};
    case Variable::Header:
      return {{}, headerValue(values.fields, part.text), true};
    case Variable::Tail:
      return {{}, values.match != nullptr ? values.match->tail : std::string_view{}};
  }
  return {};
}

// RFC 3986: unreserved, sub-delims, and the delimiters that paths and queries may hold as they are.
bool isUriByte(char c) {
  const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || isDigit(c);
  return alnum || std::string_view("-._~!$&'()*+,;=:@/").find(c) != std::string_view::npos;
}

std::size_t encodedSize(std::string_view text) {
  std::size_t size = 0;
  for (const char c : text) size += isUriByte(c) ? 1 : 3;
  return size;
}

char* putEncoded(char* at, std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    if (isUriByte(c)) {
      *at++ = c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    *at++ = '%';
    *at++ = kHex[byte >> 4];
    *at++ = kHex[byte & 15];
  }
  return at;
}

char* put(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

}  // namespace

std::string_view renderTemplate(const TextTemplate& text, const TemplateValues& values,
                                TemplateUse use, TextArena& arena) {
  std::array<char, 5> portText{};
  const char* portEnd =
      std::to_chars(portText.data(), portText.data() + portText.size(), values.clientPort).ptr;
  const std::string_view port(portText.data(), static_cast<std::size_t>(portEnd - portText.data()));

  std::size_t size = 0;
  for (const TemplatePart& part : text) {
    const Piece piece = pieceOf(part, values, port);
    const bool encode = piece.encode && use == TemplateUse::Uri;
    size += piece.prefix.size() + (encode ? encodedSize(piece.text) : piece.text.size());
  }
  char* const begin = arena.allocate(size);
  char* at = begin;
  for (const TemplatePart& part : text) {
    const Piece piece = pieceOf(part, values, port);
    at = put(at, piece.prefix);
    at = piece.encode && use == TemplateUse::Uri ? putEncoded(at, piece.text) : put(at, piece.text);
  }
  return {begin, size};
}

}  // namespace tidegate
