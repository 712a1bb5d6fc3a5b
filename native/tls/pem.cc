#include "tls/pem.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

namespace tidegate::tls {

namespace {

// Nobody is there to type it.
int noPassphrase(char*, int, int, void*) { return -1; }

BioPointer textBio(const std::string& text) {
  return BioPointer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// The end of the text is an error as well, and the one that is expected.
bool wasEnd() {
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (end) clearErrors();
  return end;
}

}  // namespace

std::string opensslReason(std::string_view what) {
  std::string text(what);
  // A file without anything in it is no error of OpenSSL's.
  if (const unsigned long error = takeError(); error != 0) text += ": " + errorText(error);
  return text;
}

bool readIdentity(const std::string& certificate, const std::string& key, Identity& out,
                  ConfigError& error) {
  const BioPointer certificates = textBio(certificate);
  out.leaf.reset(PEM_read_bio_X509_AUX(certificates.get(), nullptr, noPassphrase, nullptr));
  if (out.leaf == nullptr) {
    error = {"cert", opensslReason("expected a certificate in PEM")};
    return false;
  }
  out.chain.reset(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(certificates.get(), nullptr, noPassphrase, nullptr)) {
    sk_X509_push(out.chain.get(), next);
  }
  if (!wasEnd()) {
    error = {"cert", opensslReason("a certificate of the chain cannot be read")};
    return false;
  }
  const BioPointer keys = textBio(key);
  out.key.reset(PEM_read_bio_PrivateKey(keys.get(), nullptr, noPassphrase, nullptr));
  if (out.key == nullptr) {
    error = {"key", opensslReason("expected a private key in PEM, not encrypted")};
    return false;
  }
  if (X509_check_private_key(out.leaf.get(), out.key.get()) != 1) {
    clearErrors();
    error = {"key", "expected the key of the certificate, but it is the key of another one"};
    return false;
  }
  return true;
}

int addAuthorities(X509_STORE* store, const std::string& pem) {
  const BioPointer bio = textBio(pem);
  int count = 0;
  while (
      const CertificatePointer next{PEM_read_bio_X509(bio.get(), nullptr, noPassphrase, nullptr)}) {
    X509_STORE_add_cert(store, next.get());
    ++count;
  }
  return wasEnd() ? count : -1;
}

int addRevocationLists(X509_STORE* store, const std::string& pem) {
  const BioPointer bio = textBio(pem);
  int count = 0;
  while (const RevocationPointer next{
      PEM_read_bio_X509_CRL(bio.get(), nullptr, noPassphrase, nullptr)}) {
    X509_STORE_add_crl(store, next.get());
    ++count;
  }
  return wasEnd() ? count : -1;
}

}  // namespace tidegate::tls
