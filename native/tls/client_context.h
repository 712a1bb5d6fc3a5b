// TLS towards the endpoints of an upstream: whom we believe, and who we are.
//
// Made by the control thread with each snapshot and never changed after that; all I/O threads share
// it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tls/client_config.h"
#include "tls/openssl_types.h"
#include "tls/pem.h"

namespace tidegate::tls {

using StorePointer = std::unique_ptr<X509_STORE, Releaser<X509_STORE_free>>;

class ClientContext {
 public:
  // `systemAuthorities`: PEM, for configurations that name none.
  static Result<std::shared_ptr<ClientContext>, ConfigError> create(
      const ClientConfig& config, const std::string& systemAuthorities);

  // For a connection to an endpoint of that name (or address), which is asked for (SNI) and, where
  // the context verifies, has to be the one of its certificate. Empty where memory is short.
  SslPointer newConnection(const std::string& name) const;

  // What an endpoint has to choose by ALPN, in so many bytes; empty: it need not choose.
  std::string_view requiredProtocol() const { return requiredProtocol_; }

  // Contexts with different ones must not share connections.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  ClientContext() = default;
  bool build(const ClientConfig& config, const std::string& systemAuthorities, ConfigError& error);

  SslContextPointer context_;
  bool verify_ = true;
  std::string_view requiredProtocol_;  // lives for ever
  std::string fingerprint_;
};

}  // namespace tidegate::tls
