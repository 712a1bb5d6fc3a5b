#include "connection.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "../common/sockets.h"

namespace tidegate::bench {
namespace {

constexpr unsigned char kHttp1[] = "\x08http/1.1";
constexpr unsigned char kHttp2[] = "\x02h2";

}  // namespace

ContextPointer makeContext(bool http2) {
  ContextPointer context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const ctx = context.get();
  const bool made = ctx != nullptr && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
                    SSL_CTX_set1_groups_list(ctx, "X25519") == 1 &&
                    (http2 ? SSL_CTX_set_alpn_protos(ctx, kHttp2, sizeof kHttp2 - 1)
                           : SSL_CTX_set_alpn_protos(ctx, kHttp1, sizeof kHttp1 - 1)) == 0;
  if (!made) {
    std::fputs("bench_wires: OpenSSL makes no client of TLS 1.3\n", stderr);
    std::exit(1);
  }
  SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
  // Thousands of held connections shall fit into memory.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

Connection::Connection(Connection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      connected_(other.connected_),
      ssl_(std::move(other.ssl_)) {}

bool Connection::open(std::uint16_t port, SSL_CTX* context, SSL_SESSION* session) {
  fd_ = connectTcp(port);
  if (fd_ < 0) return false;
  connected_ = false;
  if (context == nullptr) return true;
  ssl_.reset(SSL_new(context));
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd_) != 1) fail("SSL_new");
  if (session != nullptr) SSL_set_session(ssl_.get(), session);
  SSL_set_connect_state(ssl_.get());
  return true;
}

Connection::Progress Connection::establish(std::uint32_t events) {
  if (!connected_) {
    int error = 0;
    socklen_t length = sizeof error;
    if ((events & EPOLLERR) != 0) ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == ECONNREFUSED) return Progress::Refused;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Progress::Failed;
    if ((events & EPOLLOUT) == 0) return Progress::NotYet;
    connected_ = true;
  }
  if (!ssl_) return Progress::Done;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return Progress::Done;
  const int error = SSL_get_error(ssl_.get(), result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Progress::NotYet
                                                                       : Progress::Failed;
}

bool Connection::send(std::string_view message) {
  if (ssl_) {
    ERR_clear_error();
    return SSL_write(ssl_.get(), message.data(), static_cast<int>(message.size())) ==
           static_cast<int>(message.size());
  }
  return ::send(fd_, message.data(), message.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(message.size());
}

std::ptrdiff_t Connection::receive(std::span<char> into) {
  if (ssl_) {
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size()));
    if (got > 0) return got;
    return SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ ? 0 : -1;
  }
  const ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
  if (got > 0) return got;
  return got < 0 && errno == EAGAIN ? 0 : -1;
}

void Connection::close() {
  if (ssl_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ssl_.reset();
  }
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace tidegate::bench
