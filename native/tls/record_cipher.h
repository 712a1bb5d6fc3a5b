// The ciphers of TLS 1.3 records, within reach: libssl keeps the handshake, the keys and whatever
// is no data, and the data of an open connection goes past it.
//
// For a record of 64 bytes libssl takes 850 ns to seal and open it, and AES-GCM 150 of them. Its
// contexts here come from a provider of our own, whose ciphers are those of OpenSSL's default
// provider, function for function; ours only note under which context and nonces a connection's
// records are sealed and opened. A nonce is the first one combined with the number of the record
// (RFC 8446 5.3): libssl counts the records that it handles, we count ours, and either goes on from
// the sum. So libssl can have any record at any time, and gets all that are not plain data: alerts,
// tickets, new keys, and those that do not open.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tls/openssl_types.h"

namespace tidegate::tls {

struct CipherFunctions;  // of the default provider

// Ciphertext of a record at most (RFC 8446 5.2).
inline constexpr std::size_t kRecordHeaderBytes = 5;
inline constexpr std::size_t kMaxSealedBytes = kRecordHeaderBytes + 16 * 1024 + 256;
// What a sealed record is longer than its data: header, type, tag.
inline constexpr std::size_t kSealBytes = kRecordHeaderBytes + 1 + 16;

// One direction of one connection. Belongs to it, and so to its I/O thread.
class RecordCipher {
 public:
  // libssl has used the present key once, so that all is known that a record takes.
  bool ready() const { return context_ != nullptr && counts_ && known_; }

  // Seals `data`, at most 16 KiB, as one record of type application data. `record` has room for
  // kSealBytes more. Returns the size of the record; 0 where OpenSSL fails.
  std::size_t seal(std::string_view data, char* record);

  struct Opened {
    bool data = false;      // otherwise libssl is to have the record, which is as it was
    std::size_t bytes = 0;  // of plaintext
  };
  // `record`: a whole one, of outer type application data; `into` has room for its size without
  // header and tag, and holds garbage where no data came of it.
  Opened open(std::string_view record, char* into);

 private:
  friend class RecordCiphers;
  friend struct RecordProvider;
  static constexpr std::size_t kNonceBytes = 12;
  using Nonce = std::array<unsigned char, kNonceBytes>;

  // libssl has set a key; in TLS 1.3 the nonces come one by one later.
  void begin(void* context, const CipherFunctions& functions, bool counts);
  void end(const void* context);
  // For a record of libssl's, which knows nothing of ours.
  Nonce nonceFor(const unsigned char* theirs);
  Nonce nextNonce() const { return nonceOf(theirs_ + ours_); }
  Nonce nonceOf(std::uint64_t number) const;

  void* context_ = nullptr;  // of libssl
  const CipherFunctions* functions_ = nullptr;
  Nonce first_{};
  bool counts_ = false;
  bool known_ = false;
  std::uint64_t theirs_ = 0;  // records of this key that libssl has handled
  std::uint64_t ours_ = 0;
};

// Both directions.
class RecordCiphers {
 public:
  // A context whose connections can have their records opened and sealed here; where OpenSSL has no
  // place for the provider, one whose ciphers never become ready. nullptr where memory is short.
  static SslContextPointer newContext(const SSL_METHOD* method);

  // The time in which libssl works for the connection of these ciphers, on this thread.
  class InUse {
   public:
    explicit InUse(RecordCiphers& ciphers);
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    ~InUse();

   private:
    RecordCiphers* const before_;
  };

  RecordCipher read;
  RecordCipher write;
};

}  // namespace tidegate::tls
