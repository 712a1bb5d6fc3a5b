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
//
// The provider also sees which secret a key is derived from. With it the contexts can do without
// libssl for good: they outlive its object, and the next keys are made here.
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

inline constexpr std::size_t kMaxRecordBytes = 16 * 1024;
// Records under one key: with more, AES-GCM would let more be learned than it promises to
// (RFC 8446 5.5).
inline constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 24;
inline constexpr std::size_t kRecordHeaderBytes = 5;
inline constexpr std::size_t kTagBytes = 16;
// What a sealed record is longer than its data: header, type, tag.
inline constexpr std::size_t kSealBytes = kRecordHeaderBytes + 1 + kTagBytes;
// A sealed record at most (RFC 8446 5.2, 5.4: padding counts as data does).
inline constexpr std::size_t kMaxSealedBytes = kMaxRecordBytes + kSealBytes;

// What is in a record (RFC 8446 5.1). A peer may send any other number as well.
enum class ContentType : unsigned char {
  None = 0,
  Alert = 21,
  Handshake = 22,
  Data = 23,
};

// One direction of one connection. Belongs to it, and so to its I/O thread.
class RecordCipher {
 public:
  RecordCipher() = default;
  RecordCipher(const RecordCipher&) = delete;
  RecordCipher& operator=(const RecordCipher&) = delete;
  ~RecordCipher();

  // libssl has used the present key once, so that all is known that a record takes.
  bool ready() const { return context_ != nullptr && counts_ && known_; }

  // Everything is known: also the secret, which the next keys are made of.
  bool complete() const { return ready() && secretBytes_ > 0; }

  // Sealed or opened under the present key, by whomever.
  std::uint64_t records() const { return theirs_ + ours_; }

  // Seals `data`, at most 16 KiB, as one record. `record` has room for kSealBytes more. Returns the
  // size of the record; 0 where OpenSSL fails.
  std::size_t seal(std::string_view data, char* record, ContentType type = ContentType::Data);

  struct Opened {
    bool authentic = false;                // otherwise it is nothing that the peer has sealed
    ContentType type = ContentType::None;  // where it has none
    std::size_t bytes = 0;                 // of plaintext
  };
  // `record`: a whole one, of outer type application data, which stays as it is; `into` has room
  // for its size without header and tag, and holds garbage where it is not authentic.
  Opened open(std::string_view record, char* into);
  // The record that was opened last is ours and not libssl's: the next one has the next number.
  void accept() { ++ours_; }

  // Takes up the next key of this direction (RFC 8446 7.2); complete() before and after it. False
  // where OpenSSL fails: then the connection is of no use any more.
  bool renew();

 private:
  friend class RecordCiphers;
  friend struct RecordProvider;
  static constexpr std::size_t kMaxSecretBytes = 48;  // of SHA-384
  static constexpr std::size_t kNonceBytes = 12;
  using Nonce = std::array<unsigned char, kNonceBytes>;

  // libssl has set a key; in TLS 1.3 the nonces come one by one later.
  void begin(void* context, const CipherFunctions& functions, std::span<const unsigned char> key,
             bool counts, bool seals);
  void end(const void* context);
  bool derive(std::string_view label, std::span<unsigned char> out) const;
  // For a record of libssl's, which knows nothing of ours.
  Nonce nonceFor(const unsigned char* theirs);
  Nonce nextNonce() const { return nonceOf(theirs_ + ours_); }
  Nonce nonceOf(std::uint64_t number) const;

  void* context_ = nullptr;  // libssl's until it is kept_
  const CipherFunctions* functions_ = nullptr;
  Nonce first_{};
  std::array<unsigned char, kMaxSecretBytes> secret_{};
  std::uint8_t secretBytes_ = 0;  // 0: not known
  std::uint8_t keyBytes_ = 0;
  bool seals_ = false;
  bool counts_ = false;
  bool known_ = false;
  bool kept_ = false;
  std::uint64_t theirs_ = 0;  // records of this key that libssl has handled
  std::uint64_t ours_ = 0;
};

// Both directions.
class RecordCiphers {
 public:
  // A context whose connections can have their records opened and sealed here; where OpenSSL has no
  // place for the provider, one whose ciphers never become ready. nullptr where memory is short.
  static SslContextPointer newContext(const SSL_METHOD* method);

  // Whether all that is to come can do without libssl.
  bool complete() const { return read.complete() && write.complete(); }

  // Frees libssl's object of the connection, and keeps what is of use of it here. Where complete().
  void outlive(SslPointer ssl);

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

 private:
  friend struct RecordProvider;
  // The context does not go with libssl's object.
  bool keeps(const void* context) const;
};

}  // namespace tidegate::tls
