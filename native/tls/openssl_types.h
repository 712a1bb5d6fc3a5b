// Owners of OpenSSL's objects, and its errors as values. Every call of the library stands behind
// clearErrors(), because what an earlier one left in the thread's queue is taken for its own.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

namespace tidegate::tls {

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* object) const {
    Release(object);
  }
};

using SslPointer = std::unique_ptr<SSL, Releaser<SSL_free>>;
using SslContextPointer = std::unique_ptr<SSL_CTX, Releaser<SSL_CTX_free>>;
using BioPointer = std::unique_ptr<BIO, Releaser<BIO_free>>;
using CertificatePointer = std::unique_ptr<X509, Releaser<X509_free>>;
struct ChainRelease {
  void operator()(STACK_OF(X509) * chain) const { sk_X509_pop_free(chain, X509_free); }
};
using ChainPointer = std::unique_ptr<STACK_OF(X509), ChainRelease>;
using RevocationPointer = std::unique_ptr<X509_CRL, Releaser<X509_CRL_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;

// Emptying a queue that is empty costs four times as much as looking.
inline void clearErrors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

// The first error of the queue, packed as OpenSSL packs it, which is the cause of those after it;
// 0 when there is none. The queue is empty then.
unsigned long takeError();

// In OpenSSL's words: "no shared cipher".
std::string errorText(unsigned long error);
// The same where it has words for it; empty where it has none. Lives for ever.
std::string_view errorReason(unsigned long error);

}  // namespace tidegate::tls
