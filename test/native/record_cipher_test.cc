// Records that go past libssl, held against libssl: it is the other side, and takes its own part of
// the records of this one, in any order.
#include "tls/record_cipher.h"

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "check.h"
#include "tls_harness.h"

namespace tidegate::tls {
namespace {

using test::require;

constexpr std::array<const char*, 3> kSuites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                                "TLS_CHACHA20_POLY1305_SHA256"};

// libssl in one end of a connection; the bytes between both ends are in the test's hands.
struct End {
  End(SslContextPointer made, bool serves) : context(std::move(made)) {
    require(context != nullptr, "a context");
    if (serves) {
      SSL_CTX_use_certificate(context.get(), certificate());
      SSL_CTX_use_PrivateKey(context.get(), key());
    }
    ssl.reset(SSL_new(context.get()));
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl.get(), in, out);
    serves ? SSL_set_accept_state(ssl.get()) : SSL_set_connect_state(ssl.get());
  }

  static X509* certificate() {
    static const CertificatePointer kIts(PEM_read_bio_X509(
        textOf(test::localhostCertificate().certificate).get(), nullptr, nullptr, nullptr));
    return kIts.get();
  }
  static EVP_PKEY* key() {
    static const KeyPointer kIts(PEM_read_bio_PrivateKey(
        textOf(test::localhostCertificate().key).get(), nullptr, nullptr, nullptr));
    return kIts.get();
  }
  static BioPointer textOf(const std::string& text) {
    return BioPointer(BIO_new_mem_buf(text.c_str(), -1));
  }

  std::string take() {
    std::string bytes = test::pemOf(out);
    static_cast<void>(BIO_reset(out));
    return bytes;
  }
  void give(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(in, bytes.data(), static_cast<int>(bytes.size()));
  }
  void write(std::string_view text) {
    require(SSL_write(ssl.get(), text.data(), static_cast<int>(text.size())) ==
                static_cast<int>(text.size()),
            "libssl to write");
  }
  // What libssl makes of what it was given; empty where that is no data.
  std::string read() {
    std::string text(20'000, '\0');
    clearErrors();
    const int n = SSL_read(ssl.get(), text.data(), static_cast<int>(text.size()));
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }

  SslContextPointer context;
  SslPointer ssl;
  BIO* in = nullptr;   // of ssl
  BIO* out = nullptr;  // of ssl
};

// A connection whose server has its records within reach.
class Pair {
 public:
  explicit Pair(const char* suite, int version = TLS1_3_VERSION) {
    SSL_set_min_proto_version(client.ssl.get(), version);
    SSL_set_max_proto_version(client.ssl.get(), version);
    SSL_set_ciphersuites(client.ssl.get(), suite);
    const RecordCiphers::InUse use(ciphers);
    for (int i = 0; i < 4; ++i) {
      SSL_do_handshake(client.ssl.get());
      server.give(client.take());
      SSL_do_handshake(server.ssl.get());
      client.give(server.take());
    }
    require(SSL_is_init_finished(client.ssl.get()) == 1, "a handshake");
  }

  std::string sealed(std::string_view text) {
    std::string record(text.size() + kSealBytes, '\0');
    record.resize(ciphers.write.seal(text, record.data()));
    return record;
  }
  // Whether it is data; then it is not libssl's any more.
  bool open(std::string_view record, std::string& into) {
    into.assign(record.size(), '\0');
    const RecordCipher::Opened opened = ciphers.read.open(record, into.data());
    into.resize(opened.bytes);
    if (opened.type != ContentType::Data) return false;
    ciphers.read.accept();
    return true;
  }
  // libssl's way, at the server.
  std::string serverReads(std::string_view record) {
    const RecordCiphers::InUse use(ciphers);
    server.give(record);
    return server.read();
  }
  std::string serverWrites(std::string_view text) {
    const RecordCiphers::InUse use(ciphers);
    server.write(text);
    return server.take();
  }
  std::string clientWrites(std::string_view text) {
    client.write(text);
    return client.take();
  }
  std::string clientReads(std::string_view records) {
    client.give(records);
    return client.read();
  }
  // Both directions are known after a record of each.
  void warmUp() {
    CHECK_EQ(serverReads(clientWrites("first")), "first");
    CHECK_EQ(clientReads(serverWrites("first")), "first");
  }

  RecordCiphers ciphers;
  End server{RecordCiphers::newContext(TLS_server_method()), true};
  End client{SslContextPointer(SSL_CTX_new(TLS_client_method())), false};
};

TEST("record cipher: whoever handles a record, the other side reads it") {
  std::mt19937 random(7);
  for (const char* suite : kSuites) {
    Pair pair(suite);
    pair.warmUp();
    // Padding is the sender's business (RFC 8446 5.4).
    SSL_set_block_padding(pair.client.ssl.get(), 100);
    for (int step = 0; step < 2'000; ++step) {
      const std::size_t size = 1 + random() % (step % 10 == 0 ? 16'384 : 300);
      std::string text(size, '\0');
      for (char& c : text) c = static_cast<char>(random());
      std::string opened;
      switch (random() % 5) {
        case 0:
          CHECK_EQ(pair.serverReads(pair.clientWrites(text)) == text, true);
          break;
        case 1:
          CHECK_EQ(pair.clientReads(pair.serverWrites(text)) == text, true);
          break;
        case 2:
          if (!pair.ciphers.read.ready()) break;
          CHECK(pair.open(pair.clientWrites(text), opened));
          CHECK_EQ(opened == text, true);
          break;
        case 3:
          if (!pair.ciphers.write.ready()) break;
          CHECK_EQ(pair.clientReads(pair.sealed(text)) == text, true);
          break;
        case 4: {
          // New keys for what the client sends, and when it asks for them, for what we send.
          if (random() % 10 != 0) break;
          SSL_key_update(pair.client.ssl.get(), random() % 2 == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED
                                                                  : SSL_KEY_UPDATE_REQUESTED);
          SSL_do_handshake(pair.client.ssl.get());
          const std::string record = pair.client.take();
          if (pair.ciphers.read.ready()) CHECK(!pair.open(record, opened));
          CHECK_EQ(pair.serverReads(record), "");
          CHECK(!pair.ciphers.read.ready());
          CHECK_EQ(pair.clientReads(pair.serverWrites("still here")), "still here");
          break;
        }
      }
    }
    CHECK(pair.ciphers.read.ready() || !pair.serverReads(pair.clientWrites("x")).empty());
    CHECK(pair.ciphers.read.ready());
  }
}

TEST("record cipher: what does not open is left to libssl, which refuses it") {
  for (const char* suite : kSuites) {
    Pair pair(suite);
    pair.warmUp();
    std::string record = pair.clientWrites("to be changed");
    std::string opened;
    for (std::size_t i = 0; i < record.size(); ++i) {
      record[i] = static_cast<char>(record[i] ^ 1);
      CHECK(!pair.open(record, opened));
      record[i] = static_cast<char>(record[i] ^ 1);
    }
    for (std::size_t size = 0; size < record.size(); ++size)
      CHECK(!pair.open(std::string_view(record).substr(0, size), opened));
    // None of the attempts has moved the count.
    CHECK(pair.open(record, opened));
    CHECK_EQ(opened, "to be changed");
    // Nor is a record taken twice.
    CHECK(!pair.open(record, opened));
    CHECK_EQ(pair.serverReads(record), "");
    CHECK_EQ(SSL_get_error(pair.server.ssl.get(), -1), SSL_ERROR_SSL);
  }
}

TEST("record cipher: an alert is libssl's, and so is ours") {
  Pair pair(kSuites[0]);
  pair.warmUp();
  std::string opened;
  CHECK(pair.open(pair.clientWrites("data"), opened));
  SSL_shutdown(pair.client.ssl.get());
  const std::string alert = pair.client.take();
  CHECK(!pair.open(alert, opened));
  CHECK_EQ(pair.serverReads(alert), "");
  CHECK((SSL_get_shutdown(pair.server.ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0);
  CHECK_EQ(pair.clientReads(pair.sealed("data")), "data");
  {
    const RecordCiphers::InUse use(pair.ciphers);
    SSL_shutdown(pair.server.ssl.get());
  }
  CHECK_EQ(pair.clientReads(pair.server.take()), "");
  CHECK((SSL_get_shutdown(pair.client.ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0);
}

TEST("record cipher: a record without data is data of no bytes") {
  Pair pair(kSuites[1]);
  pair.warmUp();
  // libssl writes none, but we can.
  CHECK_EQ(pair.clientReads(pair.sealed("")), "");
  CHECK_EQ(pair.clientReads(pair.sealed("after it")), "after it");
}

TEST("record cipher: TLS 1.2 stays with libssl") {
  Pair pair(kSuites[0], TLS1_2_VERSION);
  pair.warmUp();
  CHECK(!pair.ciphers.read.ready());
  CHECK(!pair.ciphers.write.ready());
  CHECK_EQ(pair.clientReads(pair.serverWrites("more")), "more");
}

}  // namespace
}  // namespace tidegate::tls
