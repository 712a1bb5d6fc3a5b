// What a chain of policies reads of a request or a response: plain data, as the snapshot carries
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "http/field_id.h"

namespace tidegate {

enum class InputKind : std::uint8_t {
  Body,     // the whole of it
  Header,   // all lines of that name, joined by ", "
  Headers,  // each line
  Cookie,
  Query,  // the first parameter of that name, decoded
  Param,  // of the route's path
  Path,   // normalised
  Method,
  ClientAddress,
  Host,
  Scheme,
  RouteName,
  // Those of a review, which has a response and knows who the request is from.
  Consumer,  // its id
  ResponseStatus,
  ResponseHeader,   // as Header
  ResponseHeaders,  // as Headers
  ResponseBody,     // the whole of it, where its media type is one of the input's
  Tls,              // of the client's connection, by what the name says; nil in the clear
};

// The fact that an input of kind Tls is about, by its name.
enum class TlsInput : std::uint8_t {
  Version,
  Cipher,
  Sni,
  Alpn,
  // Of the client's certificate.
  Subject,
  Sans,
  Fingerprint,
  Ja4,
  Verification,  // of the client's certificate
};

struct PolicyInput {
  InputKind kind = InputKind::Path;
  std::string name;                  // lower-case for headers; empty for the kinds that have none
  FieldId id = FieldId::Other;       // of fields
  std::vector<std::string> types;    // of ResponseBody: isMediaPattern()
  TlsInput tls = TlsInput::Version;  // of Tls
};

}  // namespace tidegate
