// Certificates and keys from PEM text. Nothing of a key stands in a message.
#pragma once

#include <string>

#include "tls/openssl_types.h"

namespace tidegate::tls {

// `place` is that of the member: "certificates[1].key".
struct ConfigError {
  std::string place;
  std::string message;
};

// A certificate with its chain, and the key that belongs to it.
struct Identity {
  CertificatePointer leaf;
  ChainPointer chain;
  KeyPointer key;
};

// False with `error` (its place is "cert" or "key").
bool readIdentity(const std::string& certificate, const std::string& key, Identity& out,
                  ConfigError& error);

// Certificates (and, for a store that checks it, revocation lists) that are believed. How many were
// added, or -1 when one of them cannot be read.
int addAuthorities(X509_STORE* store, const std::string& pem);
int addRevocationLists(X509_STORE* store, const std::string& pem);

// `what`, and OpenSSL's reason where it has one.
std::string opensslReason(std::string_view what);

}  // namespace tidegate::tls
