// TLS of one listener: its certificates by the name that a client asks for, and all that is agreed
// on in a handshake.
//
// Made by the control thread with each snapshot and never changed after that, so that all I/O
// threads share it; a connection keeps the one that it began with.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "tls/openssl_types.h"
#include "tls/pem.h"
#include "tls/server_config.h"
#include "tls/ticket_keys.h"

namespace tidegate::tls {

class ServerContext {
 public:
  // `identity`: of the listener; sessions of one identity are not resumed with another.
  static Result<std::shared_ptr<ServerContext>, ConfigError> create(const ServerConfig& config,
                                                                    std::string_view identity);

  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  // Control thread, once, before any other thread has the context: `keys` are those of the listener
  // over all its configurations, and follow this one from now on.
  void useTicketKeys(std::shared_ptr<TicketKeys> keys);

  // For a connection that was accepted; empty where memory is short. It begins with the default
  // certificate and takes that of the client's name in the handshake.
  SslPointer newConnection() const;

  // The context for a name as a client asks for it; nullptr when there is none of that name.
  SSL_CTX* contextFor(std::string_view name) const;
  // Which certificates of the configuration a client may get that asks for a name, by their places
  // in its list: one of each kind of key. None where it is refused.
  std::vector<std::size_t> certificatesFor(std::string_view name) const;
  bool strictSni() const { return strictSni_; }
  bool earlyData() const { return earlyData_; }
  // Names of protocols in the form of ALPN, the most wanted first.
  const std::string& protocols() const { return protocols_; }
  // One of them, in words that live as long as this object; empty where it is none.
  std::string_view protocolNamed(std::string_view name) const;
  TicketKeys* ticketKeys() const { return ticketKeys_.get(); }

 private:
  // Certificates that one name is answered with, as indices: one of each kind of key.
  using Choice = std::vector<std::size_t>;
  struct Certificate;
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  using NameTable = std::unordered_map<std::string, SSL_CTX*, TextHash, std::equal_to<>>;

  ServerContext() = default;
  bool build(const ServerConfig& config, std::string_view identity, ConfigError& error);
  static bool setClientAuth(SSL_CTX* context, const ClientAuthConfig& config, ConfigError& error);
  SSL_CTX* makeContext(const ServerConfig& config, std::string_view identity,
                       const std::vector<Certificate>& certificates, const Choice& choice,
                       ConfigError& error);

  std::vector<SslContextPointer> contexts_;  // the first one is the default
  std::vector<Choice> choices_;              // of each of them
  NameTable exact_;
  NameTable wildcard_;  // by what follows "*."
  bool strictSni_ = false;
  bool earlyData_ = false;
  std::string protocols_;
  std::vector<TicketKey> fixedTicketKeys_;
  std::uint64_t ticketRotation_ = 0;
  std::shared_ptr<TicketKeys> ticketKeys_;
};

}  // namespace tidegate::tls
