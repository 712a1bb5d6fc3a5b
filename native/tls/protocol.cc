#include "tls/protocol.h"

namespace tidegate::tls {

namespace {

int numberOf(Version version) {
  return version == Version::Tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

}  // namespace

bool applyProtocol(SSL_CTX& context, const ProtocolConfig& config, ConfigError& error) {
  const auto failed = [&error](std::string place, std::string_view what) {
    error = {std::move(place), opensslReason(what)};
    return false;
  };
  SSL_CTX_set_options(&context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_min_proto_version(&context, numberOf(config.minVersion));
  SSL_CTX_set_max_proto_version(&context, numberOf(config.maxVersion));
  if (!config.ciphers.empty() && SSL_CTX_set_cipher_list(&context, config.ciphers.c_str()) != 1)
    return failed("ciphers", "not a list of ciphers");
  if (!config.cipherSuites.empty() &&
      SSL_CTX_set_ciphersuites(&context, config.cipherSuites.c_str()) != 1)
    return failed("cipherSuites", "not a list of cipher suites");
  if (!config.groups.empty() && SSL_CTX_set1_groups_list(&context, config.groups.c_str()) != 1)
    return failed("groups", "not a list of groups");
  return true;
}

}  // namespace tidegate::tls
