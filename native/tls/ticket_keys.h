// The keys that session tickets are sealed with (RFC 5077, RFC 8446 4.6.1): one set of a listener
// for all I/O threads, which outlives the contexts of one configuration, so that a reload costs no
// client its session.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "tls/server_config.h"

namespace tidegate::tls {

// Any thread. A handshake takes the lock once or twice, for as long as it copies a key.
class TicketKeys {
 public:
  // The first key seals, all open. With an empty list, keys are made here: each seals for
  // `rotation` milliseconds and opens for as long again.
  void configure(const std::vector<TicketKey>& fixed, std::uint64_t rotation);

  // As OpenSSL asks through SSL_CTX_set_tlsext_ticket_key_evp_cb(): sets up cipher and MAC for
  // sealing (`seal`: name and iv are written) or opening a ticket. 1: done; 2: done, and the client
  // should get a new ticket; 0: the key is not known; -1: failed. `nowMillis`: of a clock that is
  // never set back.
  int prepare(bool seal, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, std::uint64_t nowMillis);

 private:
  bool sealingKey(TicketKey& key, std::uint64_t nowMillis);
  // `current`: whether it is the one that seals.
  bool openingKey(const unsigned char* name, std::uint64_t nowMillis, TicketKey& key,
                  bool& current);
  void rotate(std::uint64_t nowMillis);

  std::mutex mutex_;  // guards all below
  std::vector<TicketKey> keys_;
  bool fixed_ = false;
  std::uint64_t rotation_ = 0;
  std::uint64_t rotatedAt_ = 0;
};

}  // namespace tidegate::tls
