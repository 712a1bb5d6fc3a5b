// What TLS is to be towards an upstream, as the snapshot says it.
#pragma once

#include <string>

#include "tls/protocol.h"

namespace tidegate::tls {

struct ClientConfig {
  bool verify = true;       // the endpoint's chain and name
  std::string authorities;  // PEM: whose certificates are believed; empty: those of the system
  std::string certificate;  // PEM, with its chain: our own, for endpoints that ask for one
  std::string key;          // PEM; secret
  ProtocolConfig protocol;
  bool http2 = false;   // what has to be chosen by ALPN, instead of HTTP/1.1
  bool either = false;  // with http2: HTTP/1.1 is as good
};

}  // namespace tidegate::tls
