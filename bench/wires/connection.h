// One connection of a client, in the clear or over TLS, that never blocks.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace tidegate::bench {

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslPointer = std::unique_ptr<SSL, FreeSsl>;
using ContextPointer = std::unique_ptr<SSL_CTX, FreeSsl>;
using SessionPointer = std::unique_ptr<SSL_SESSION, FreeSsl>;

// A client of TLS 1.3 with one cipher suite and one group, so that all servers agree on the same.
// It trusts any certificate.
ContextPointer makeContext(bool http2);

class Connection {
 public:
  enum class Progress : std::uint8_t { Done, NotYet, Refused, Failed };

  Connection() = default;
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) = delete;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  // Begins to connect, over TLS with a context, and resumes the session, if one is given. False
  // when there are no descriptors or ports left.
  bool open(std::uint16_t port, SSL_CTX* context, SSL_SESSION* session);
  // Connects, and shakes hands, as far as it comes now. `events` are those of epoll,
  // edge-triggered.
  Progress establish(std::uint32_t events);
  // Sends all of a short message; false when it cannot. What goes out at a time always fits into an
  // empty socket.
  [[nodiscard]] bool send(std::string_view message);
  // How many bytes came; 0 when there are none yet, -1 when the connection has ended.
  std::ptrdiff_t receive(std::span<char> into);
  // Tells the peer, and gives the descriptor back.
  void close();

  int fd() const { return fd_; }
  bool resumed() const { return ssl_ && SSL_session_reused(ssl_.get()) == 1; }

 private:
  int fd_ = -1;
  bool connected_ = false;
  SslPointer ssl_;
};

}  // namespace tidegate::bench
