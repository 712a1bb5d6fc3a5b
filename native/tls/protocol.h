// Which versions and algorithms TLS may choose among, on a listener as towards an upstream.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <string>

#include "tls/pem.h"

namespace tidegate::tls {

enum class Version : std::uint8_t { Tls12, Tls13 };

// Lists are OpenSSL's, in order of preference; an empty one leaves the library's.
struct ProtocolConfig {
  Version minVersion = Version::Tls12;
  Version maxVersion = Version::Tls13;
  std::string ciphers;       // of TLS 1.2
  std::string cipherSuites;  // of TLS 1.3
  std::string groups;        // of the key exchange
};

// Has `context` keep to `config`, without renegotiation and compression (RFC 9113
// 9.2.1). False with `error`, whose place is the member that the library does not take.
bool applyProtocol(SSL_CTX& context, const ProtocolConfig& config, ConfigError& error);

}  // namespace tidegate::tls
