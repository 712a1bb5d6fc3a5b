// Puts TLS on the connections to one endpoint, and keeps the session that the next one resumes. One
// of a pool, so of one I/O thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/transport.h"
#include "tls/openssl_types.h"

namespace tidegate::tls {

class ClientContext;
struct ThreadBuffers;

// What an endpoint is offered by ALPN: all that the context has, or HTTP/1.1 alone.
enum class Offer : std::uint8_t { All, Http1 };

class Connector {
 public:
  explicit Connector(ThreadBuffers& buffers) : buffers_(buffers) {}
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // `context` nullptr: connections in the clear.
  void configure(std::shared_ptr<const ClientContext> context, const std::string& name);

  // The layer of a new connection; nullptr in the clear. False where memory is short. The connector
  // outlives the connection.
  bool layerFor(std::unique_ptr<TransportLayer>& layer, Offer offer = Offer::All);

  // A new connection may resume it.
  void keep(SSL_SESSION* session);

  // Makes connections of the context keep their sessions with their connector.
  static void keepSessionsOf(SSL_CTX* context);

 private:
  ThreadBuffers& buffers_;
  std::shared_ptr<const ClientContext> context_;
  std::string name_;
  // Serialised, because OpenSSL marks an object that was resumed as not to be resumed again, and
  // what it derives from it as well.
  std::string session_;
};

}  // namespace tidegate::tls
