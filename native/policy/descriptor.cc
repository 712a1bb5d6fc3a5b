#include "policy/descriptor.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/msgpack.h"
#include "http/media_type.h"
#include "http/query.h"
#include "policy/message_writer.h"

namespace tidegate {
namespace {

template <typename Visit>
void eachLine(const HeadFields& fields, const PolicyInput& input, Visit visit) {
  for (const Field& field : fields.fields()) {
    const bool same =
        input.id != FieldId::Other
            ? field.id == input.id
            : field.id == FieldId::Other && equalsIgnoreCase(fields.name(field), input.name);
    if (same) visit(fields.value(field));
  }
}

void writeHeader(MessageWriter& writer, const HeadFields& fields, const PolicyInput& input) {
  std::size_t lines = 0;
  std::string_view last;
  eachLine(fields, input, [&](std::string_view value) {
    ++lines;
    last = value;
  });
  if (lines == 0) return writer.nil();
  if (lines == 1) return writer.latin1Text(last);
  std::size_t size = 0;
  eachLine(fields, input, [&](std::string_view value) { size += latin1Size(value); });
  writer.textHeader(size + 2 * (lines - 1));
  bool first = true;
  eachLine(fields, input, [&](std::string_view value) {
    if (!first) writer.raw(", ");
    first = false;
    writer.latin1(value);
  });
}

void writeHeaders(MessageWriter& writer, const HeadFields& fields, const PolicyInput& input) {
  std::size_t lines = 0;
  eachLine(fields, input, [&](std::string_view) { ++lines; });
  writer.array(lines);
  eachLine(fields, input, [&](std::string_view value) { writer.latin1Text(value); });
}

// RFC 6265 4.2: pairs behind semicolons; 4.1.1: quotes around a value are not part of it.
bool findCookie(std::string_view list, std::string_view name, std::string_view& value) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(';'), list.size());
    const std::string_view pair = trimOws(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || trimOws(pair.substr(0, equals)) != name) continue;
    value = trimOws(pair.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return true;
  }
  return false;
}

void writeCookie(MessageWriter& writer, const HeadFields& fields, std::string_view name) {
  for (const Field& field : fields.fields()) {
    std::string_view value;
    if (field.id == FieldId::Cookie && findCookie(fields.value(field), name, value))
      return writer.latin1Text(value);
  }
  writer.nil();
}

void writeQuery(MessageWriter& writer, std::string_view query, std::string_view name) {
  const bool found = anyParameter(query, [&](EncodedText parameter, EncodedText value) {
    if (!parameter.equals(name)) return false;
    writer.anyText(value.decoded());
    return true;
  });
  if (!found) writer.nil();
}

void writeParam(MessageWriter& writer, const RouteResult& match, std::string_view name) {
  for (std::size_t i = 0; i < match.paramCount; ++i) {
    if (match.params[i].name == name) return writer.anyText(match.params[i].value);
  }
  writer.nil();
}

std::string_view tlsText(const TlsFacts& tls, TlsInput which) {
  switch (which) {
    case TlsInput::Version:
      return tls.version;
    case TlsInput::Cipher:
      return tls.cipher;
    case TlsInput::Sni:
      return tls.sni;
    case TlsInput::Alpn:
      return tls.alpn;
    case TlsInput::Subject:
      return tls.subject;
    case TlsInput::Sans:
      return tls.sans;
    case TlsInput::Fingerprint:
      return tls.fingerprint;
    case TlsInput::Ja4:
      return tls.ja4;
    case TlsInput::Verification:
      return tls.verification;
  }
  return {};
}

void writeTls(MessageWriter& writer, const TlsFacts* tls, TlsInput which) {
  const std::string_view text = tls == nullptr ? std::string_view{} : tlsText(*tls, which);
  return text.empty() ? writer.nil() : writer.anyText(text);
}

void writeValue(MessageWriter& writer, const PolicyInput& input, const InputSource& source) {
  switch (input.kind) {
    case InputKind::Body:
      return source.body ? writer.bytes(*source.body) : writer.nil();
    case InputKind::Header:
      return writeHeader(writer, *source.fields, input);
    case InputKind::Headers:
      return writeHeaders(writer, *source.fields, input);
    case InputKind::Cookie:
      return writeCookie(writer, *source.fields, input.name);
    case InputKind::Query:
      return writeQuery(writer, source.query, input.name);
    case InputKind::Param:
      return writeParam(writer, *source.match, input.name);
    case InputKind::Path:
      return writer.anyText(source.path);
    case InputKind::Method:
      return writer.anyText(source.method);
    case InputKind::ClientAddress:
      return writer.utf8Text(source.clientAddress);
    case InputKind::Host:
      return writer.anyText(source.host);
    case InputKind::Scheme:
      return writer.utf8Text(source.scheme);
    case InputKind::RouteName:
      return writer.anyText(source.routeName);
    case InputKind::Consumer:
      return source.consumer.empty() ? writer.nil() : writer.anyText(source.consumer);
    case InputKind::ResponseStatus:
      return writer.number(source.status);
    case InputKind::ResponseHeader:
      return source.responseFields != nullptr ? writeHeader(writer, *source.responseFields, input)
                                              : writer.nil();
    case InputKind::ResponseHeaders:
      return source.responseFields != nullptr ? writeHeaders(writer, *source.responseFields, input)
                                              : writer.array(0);
    case InputKind::ResponseBody:
      return source.responseBody && source.responseFields != nullptr &&
                     readsBodyOf(input, *source.responseFields)
                 ? writer.bytes(*source.responseBody)
                 : writer.nil();
    case InputKind::Tls:
      return writeTls(writer, source.tls, input.tls);
  }
}

}  // namespace

bool readsBodyOf(const PolicyInput& input, const HeadFields& response) {
  if (input.kind != InputKind::ResponseBody) return false;
  const Field* const field = response.find(FieldId::ContentType);
  const std::string_view type = field != nullptr ? response.value(*field) : std::string_view{};
  return std::ranges::any_of(
      input.types, [&](const std::string& pattern) { return matchesMediaType(pattern, type); });
}

std::size_t writeInputs(std::uint32_t chain, std::span<const PolicyInput> inputs,
                        const InputSource& source, std::span<std::byte> out) {
  MessageWriter writer(out);
  writer.number(chain);
  for (const PolicyInput& input : inputs) writeValue(writer, input, source);
  return writer.size();
}

std::size_t writeCancel(std::uint32_t index, std::uint32_t generation, std::span<std::byte> out) {
  MessageWriter writer(out);
  writer.array(2);
  writer.number(index);
  writer.number(generation);
  return writer.size();
}

std::size_t writeDescriptor(std::uint32_t index, std::uint32_t generation, std::size_t inputCount,
                            std::span<const std::byte> inputs, std::span<std::byte> out) {
  MessageWriter writer(out);
  writer.array(3 + inputCount);
  writer.number(index);
  writer.number(generation);
  writer.raw({reinterpret_cast<const char*>(inputs.data()), inputs.size()});
  return writer.size();
}

}  // namespace tidegate
