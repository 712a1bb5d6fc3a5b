#include "tls/client_context.h"

#include <openssl/x509v3.h>

#include <array>
#include <initializer_list>

#include "base/ip_address.h"
#include "tls/connector.h"
#include "tls/record_cipher.h"

namespace tidegate::tls {

namespace {

// Of everything that makes a connection one of this configuration.
std::string fingerprintOf(const ClientConfig& config, const std::string& authorities) {
  std::string text;
  const ProtocolConfig& protocol = config.protocol;
  const std::string versions = {config.verify ? 'v' : '-',
                                static_cast<char>('0' + static_cast<int>(protocol.minVersion)),
                                static_cast<char>('0' + static_cast<int>(protocol.maxVersion))};
  for (const std::string* part : {&versions, &authorities, &config.certificate, &config.key,
                                  &protocol.ciphers, &protocol.cipherSuites, &protocol.groups}) {
    text += std::to_string(part->size()) + ':' + *part;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int bytes = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &bytes, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest.data()), bytes};
}

}  // namespace

Result<std::shared_ptr<ClientContext>, ConfigError> ClientContext::create(
    const ClientConfig& config, const std::string& systemAuthorities) {
  clearErrors();
  std::shared_ptr<ClientContext> context(new ClientContext());
  ConfigError error;
  const bool built = context->build(config, systemAuthorities, error);
  clearErrors();
  if (!built) return Failure{std::move(error)};
  return context;
}

bool ClientContext::build(const ClientConfig& config, const std::string& systemAuthorities,
                          ConfigError& error) {
  verify_ = config.verify;
  const std::string& authorities =
      config.authorities.empty() ? systemAuthorities : config.authorities;
  fingerprint_ = fingerprintOf(config, verify_ ? authorities : config.authorities);
  context_ = RecordCiphers::newContext(TLS_client_method());
  const auto failed = [&error](std::string place, std::string_view what) {
    error = {std::move(place), opensslReason(what)};
    return false;
  };
  if (context_ == nullptr) return failed("", "no context can be made");
  SSL_CTX* const ctx = context_.get();
  if (!applyProtocol(*ctx, config.protocol, error)) return false;
  if (verify_) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
    if (addAuthorities(SSL_CTX_get_cert_store(ctx), authorities) <= 0)
      return failed("ca", "expected certificates in PEM");
  }
  if (!config.certificate.empty()) {
    Identity identity;
    if (!readIdentity(config.certificate, config.key, identity, error)) return false;
    if (SSL_CTX_use_cert_and_key(ctx, identity.leaf.get(), identity.key.get(), identity.chain.get(),
                                 1) != 1)
      return failed("cert", "the certificate cannot be used");
  }
  // Nobody who speaks HTTP/1.1 alone may be fed frames, while many who do choose nothing.
  if (config.http2 && !config.either) requiredProtocol_ = "h2";
  std::string offer;
  if (config.http2) offer += "\x02h2";
  if (!config.http2 || config.either) offer += "\x08http/1.1";
  SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(offer.data()),
                          static_cast<unsigned int>(offer.size()));
  Connector::keepSessionsOf(ctx);
  return true;
}

SslPointer ClientContext::newConnection(const std::string& name) const {
  clearErrors();
  SslPointer ssl(SSL_new(context_.get()));
  if (ssl == nullptr) return ssl;
  SSL_set_connect_state(ssl.get());
  if (name.empty()) return ssl;
  // An address is no name to ask for (RFC 6066 3).
  const bool isAddress = IpAddress::parse(name).has_value();
  if (!isAddress) SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  if (verify_) {
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl.get());
    if (isAddress) {
      X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str());
    } else {
      X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size());
    }
  }
  return ssl;
}

}  // namespace tidegate::tls
