// What OpenSSL asks during a server's handshake.
#pragma once

#include "tls/openssl_types.h"

namespace tidegate::tls {

// Sets the callbacks that every context of a listener has. The connection's Layer is its app data.
void setServerCallbacks(SSL_CTX* context);

}  // namespace tidegate::tls
