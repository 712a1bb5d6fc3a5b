// What TLS is to be on a listener, as the snapshot says it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tls/protocol.h"

namespace tidegate::tls {

// A key that seals session tickets: its public name, the key of the HMAC, the key of the cipher.
inline constexpr std::size_t kTicketKeyBytes = 80;
using TicketKey = std::array<unsigned char, kTicketKeyBytes>;

struct CertificateConfig {
  std::string certificate;  // PEM: the certificate, then the chain to its authority
  std::string key;          // PEM, not encrypted; secret
  std::vector<std::string>
      names;  // lower-case, exact or "*.suffix"; empty: those it is made out to
};

enum class ClientAuth : std::uint8_t {
  None,
  Optional,  // one that is shown has to be good
  Required,
  Request,  // whatever is shown or not; what is wrong with it is told
};

// Certificates of clients.
struct ClientAuthConfig {
  ClientAuth mode = ClientAuth::None;
  std::string authorities;  // PEM
  std::string revocations;  // PEM of revocation lists; empty: nobody's are checked
  std::uint32_t depth = 4;  // authorities between a client's certificate and one of ours
};

struct ServerConfig {
  std::vector<CertificateConfig> certificates;  // the first one is the default
  ProtocolConfig protocol;
  bool http1 = true;  // what ALPN offers
  bool http2 = false;
  bool strictSni = false;  // a client that asks for no name of ours is refused
  bool tickets = true;
  std::uint64_t ticketRotation = 12ull * 60 * 60 * 1000;  // milliseconds
  // Requests may come with the client's first message (0-RTT); sessions are good once then.
  bool earlyData = false;
  ClientAuthConfig clientAuth;
  std::vector<TicketKey> ticketKeys;  // the first one seals; none: made and rotated here
};

}  // namespace tidegate::tls
