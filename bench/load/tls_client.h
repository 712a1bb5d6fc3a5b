// The client's half of TLS 1.3 as bytes in and bytes out. It trusts any certificate: whom it
// measures is a proxy that the bench itself has started.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

namespace tidegate::bench {

class TlsClient {
 public:
  // `protocol`: what ALPN offers.
  explicit TlsClient(std::string_view protocol);

  // Takes records off the wire and appends what was in them to `plain`; what TLS itself has to say
  // goes to output(). False: the connection is of no use any more.
  bool take(std::string_view records, std::string& plain);
  // Appends the records of `plain` to output(). Only once it isEstablished().
  void protect(std::string_view plain);
  bool isEstablished() const { return SSL_is_init_finished(ssl_.get()) == 1; }

  // Whoever sends it takes it.
  std::string& output() { return output_; }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  void collect();

  std::unique_ptr<SSL, Free> ssl_;
  std::string output_;
};

}  // namespace tidegate::bench
