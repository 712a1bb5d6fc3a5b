// TLS connections in memory: the server's side is the layer under test over a socket pair, the
// client is OpenSSL alone, so that the test has every byte between them in hand. Used by the unit
// tests and by the fuzzer.
#pragma once

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"
#include "tls/layer.h"
#include "tls/server_context.h"

namespace tidegate::tls::test {

using tidegate::test::require;

inline std::string pemOf(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(bytes)};
}

// A certificate for `localhost` that is its own authority, on P-256.
inline CertificateConfig makeCertificate() {
  const KeyPointer key(EVP_EC_gen("P-256"));
  const CertificatePointer certificate(X509_new());
  require(key != nullptr && certificate != nullptr, "a key");
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24L * 60 * 60);
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key.get());
  X509_EXTENSION* const names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
  X509_add_ext(certificate.get(), names, -1);
  X509_EXTENSION_free(names);
  require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "a certificate");
  const BioPointer certificateText(BIO_new(BIO_s_mem()));
  const BioPointer keyText(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificateText.get(), certificate.get());
  PEM_write_bio_PrivateKey(keyText.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {pemOf(certificateText.get()), pemOf(keyText.get()), {}};
}

// The same one for the whole process.
inline const CertificateConfig& localhostCertificate() {
  static const CertificateConfig kCertificate = makeCertificate();
  return kCertificate;
}

inline std::shared_ptr<ServerContext> makeServer(
    const ServerConfig& config, std::string_view identity = "public",
    std::shared_ptr<TicketKeys> keys = std::make_shared<TicketKeys>()) {
  auto made = ServerContext::create(config, identity);
  require(made.ok(), "the server's context");
  made.value()->useTicketKeys(std::move(keys));
  return made.value();
}

inline ServerConfig serverConfig() {
  ServerConfig config;
  config.certificates.push_back(localhostCertificate());
  config.http2 = true;
  return config;
}

// What the connections of one thread share.
class Thread {
 public:
  ThreadBuffers& buffers() { return *buffers_; }
  ThreadCounters& counters() { return counters_; }
  BufferPool& pool() { return pool_; }

 private:
  EventLoop loop_;
  BufferPool pool_;
  ThreadCounters counters_;
  std::unique_ptr<ThreadBuffers> buffers_{
      new ThreadBuffers{loop_, pool_, counters_, {}, 0, {}, {}}};
};

// Two connected, non-blocking sockets.
inline std::pair<FileHandle, FileHandle> socketPair() {
  std::array<int, 2> ends{};
  require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0,
          "a pair of sockets");
  return {FileHandle(ends[0]), FileHandle(ends[1])};
}

using SessionPointer = std::unique_ptr<SSL_SESSION, Releaser<SSL_SESSION_free>>;

struct ClientOptions {
  int version = TLS1_3_VERSION;
  std::string name = "localhost";
  std::string protocols;           // in the form of ALPN
  SSL_SESSION* session = nullptr;  // to resume; borrowed
};

inline ClientOptions withVersion(int version) {
  ClientOptions options;
  options.version = version;
  return options;
}

inline ClientOptions withProtocols(std::string protocols) {
  ClientOptions options;
  options.protocols = std::move(protocols);
  return options;
}

// A client and the layer that serves it. Whatever the client writes waits in memory until the test
// gives it to the server.
class Connection {
 public:
  Connection(Thread& thread, std::shared_ptr<const ServerContext> server,
             const ClientOptions& options = {})
      : clientContext_(SSL_CTX_new(TLS_client_method())), client_(SSL_new(clientContext_.get())) {
    SSL* const ssl = client_.get();
    SSL_set_min_proto_version(ssl, options.version);
    SSL_set_max_proto_version(ssl, options.version);
    if (!options.name.empty()) SSL_set_tlsext_host_name(ssl, options.name.c_str());
    if (!options.protocols.empty()) {
      SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(options.protocols.data()),
                          static_cast<unsigned>(options.protocols.size()));
    }
    if (options.session != nullptr) SSL_set_session(ssl, options.session);
    fromServer_ = BIO_new(BIO_s_mem());
    toServer_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(fromServer_, -1);
    SSL_set_bio(ssl, fromServer_, toServer_);
    SSL_set_connect_state(ssl);
    auto [near, far] = socketPair();
    far_ = std::move(far);
    socket_ = Socket(std::move(near));
    SslPointer its = server->newConnection();
    layer_ = std::make_unique<Layer>(thread.buffers(), std::move(its), std::move(server));
  }

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    // Not to be taken for a failure, for which OpenSSL would drop the session.
    SSL_set_shutdown(client_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }

  Layer& layer() { return *layer_; }
  SSL* client() const { return client_.get(); }
  Socket& socket() { return socket_; }
  int far() const { return far_.get(); }

  // What the client has written and nobody has taken.
  std::string takeFromClient() {
    std::string bytes = pemOf(toServer_);
    static_cast<void>(BIO_reset(toServer_));
    return bytes;
  }

  // Bytes for the server, whoever wrote them.
  void give(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(far_.get(), bytes.data(), bytes.size());
      require(n > 0, "room in the socket");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  // Everything that the server has sent and nobody has taken.
  std::string takeFromServer() const {
    std::string bytes;
    std::array<char, 64 * 1024> part{};
    for (;;) {
      const ssize_t n = ::read(far_.get(), part.data(), part.size());
      if (n <= 0) return bytes;
      bytes.append(part.data(), static_cast<std::size_t>(n));
    }
  }

  // The client gets what the server has sent.
  void deliver() {
    const std::string bytes = takeFromServer();
    if (!bytes.empty()) BIO_write(fromServer_, bytes.data(), static_cast<int>(bytes.size()));
  }

  // The client goes on with its handshake, or reads what is not a message's. True when it is
  // through.
  bool clientStep() {
    deliver();
    clearErrors();
    return SSL_do_handshake(client_.get()) == 1;
  }

  // Both sides, until the server is through or has failed.
  IoResult handshake() {
    for (int turn = 0; turn < 10; ++turn) {
      clientStep();
      give(takeFromClient());
      const IoResult io = layer_->establish(socket_);
      if (io.status == IoResult::Status::WouldBlock) continue;
      if (io.status == IoResult::Status::Ok) {
        layer_->write(socket_, {});
        clientStep();
      }
      return io;
    }
    return {.status = IoResult::Status::WouldBlock};
  }

  // The client seals bytes; they wait for takeFromClient().
  void clientWrite(std::string_view bytes) {
    clearErrors();
    require(SSL_write(client_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
                static_cast<int>(bytes.size()),
            "the client to write");
  }

  // What the server has sent to the client, opened.
  std::string clientRead() {
    deliver();
    std::string text;
    std::array<char, 16 * 1024> part{};
    for (;;) {
      clearErrors();
      const int n = SSL_read(client_.get(), part.data(), part.size());
      if (n <= 0) return text;
      text.append(part.data(), static_cast<std::size_t>(n));
    }
  }

  bool clientHeardEnd() { return (SSL_get_shutdown(client_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }

  // One read of the layer's.
  IoResult read(std::string& into, std::size_t room = 64 * 1024) {
    into.assign(room, '\0');
    const IoResult io = layer_->read(socket_, {into.data(), into.size()});
    into.resize(io.status == IoResult::Status::Ok ? io.bytes : 0);
    return io;
  }

  IoResult write(std::string_view bytes) {
    const iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
    return layer_->write(socket_, {&part, 1});
  }

  // The client's end of the connection goes away without a word.
  void cut() { far_.reset(); }

 private:
  SslContextPointer clientContext_;
  SslPointer client_;
  BIO* fromServer_ = nullptr;  // the client's, as toServer_
  BIO* toServer_ = nullptr;
  FileHandle far_;
  Socket socket_;
  std::unique_ptr<Layer> layer_;
};

}  // namespace tidegate::tls::test
