#include "tls_client.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace tidegate::bench {
namespace {

// One suite and one group, so that all proxies agree on the same.
SSL_CTX* sharedContext() {
  static SSL_CTX* const kContext = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    if (made == nullptr || SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(made, "X25519") != 1) {
      std::fputs("bench_load: OpenSSL does not do what TLS 1.3 needs\n", stderr);
      std::exit(1);
    }
    SSL_CTX_set_verify(made, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    return made;
  }();
  return kContext;
}

}  // namespace

TlsClient::TlsClient(std::string_view protocol) : ssl_(SSL_new(sharedContext())) {
  std::string offer(1, static_cast<char>(protocol.size()));
  offer.append(protocol);
  SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(offer.data()),
                      static_cast<unsigned>(offer.size()));
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_.get());
  SSL_do_handshake(ssl_.get());
  collect();
}

bool TlsClient::take(std::string_view records, std::string& plain) {
  if (!records.empty()) {
    BIO_write(SSL_get_rbio(ssl_.get()), records.data(), static_cast<int>(records.size()));
  }
  std::array<char, 16u << 10> room;
  for (;;) {
    const int got = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size()));
    if (got <= 0) {
      collect();
      return SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ;
    }
    plain.append(room.data(), static_cast<std::size_t>(got));
  }
}

void TlsClient::protect(std::string_view plain) {
  if (plain.empty()) return;
  SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
  collect();
}

void TlsClient::collect() {
  BIO* const written = SSL_get_wbio(ssl_.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(written, &bytes);
  if (size <= 0) return;
  output_.append(bytes, static_cast<std::size_t>(size));
  static_cast<void>(BIO_reset(written));
}

}  // namespace tidegate::bench
