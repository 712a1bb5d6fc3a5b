// TLS between a connection and its socket, on either side of it: OpenSSL over the core's buffers.
//
// OpenSSL's own socket BIO makes two system calls for each record that is read and one for each
// that is written. Ours reads whatever waits in the socket at once into memory that the connections
// of a thread share, and gathers the records of one write in a pooled block that goes out in one
// call. Plain data of TLS 1.3 passes libssl by: see record_cipher.h. Between two events a
// connection holds no buffer of ours unless part of a record is left over; OpenSSL's go in rest().
//
// On the server's side of TLS 1.3 libssl's object, some 10 KiB, goes as soon as the first data has
// come: what is left to be said then are alerts and new keys (RFC 8446 4.6.3, 6), for which the
// ciphers are enough. A client's side may get tickets for as long as it is open, and keeps it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/intrusive_list.h"
#include "http/tls_facts.h"
#include "io/buffer_pool.h"
#include "io/event_loop.h"
#include "io/input.h"
#include "io/transport.h"
#include "observe/stats.h"
#include "tls/key_update.h"
#include "tls/openssl_types.h"
#include "tls/record_cipher.h"

namespace tidegate::tls {

class Connector;
class Layer;
class ServerContext;
struct BuffersLink;  // of those that hold OpenSSL's buffers, in the order in which they got them

// What one system call reads at most, with what is there of a record before it: four full records
// and a piece of the next.
inline constexpr std::size_t kCipherReadBytes = 68 * 1024;

// What the TLS connections of one I/O thread share.
struct ThreadBuffers {
  // Connections that hold OpenSSL's buffers, two of more than 16 KiB each, at a time. When
  // thousands come at once, the memory of the first is then that of the next ones; held all
  // together, it would be holes between what stays.
  static constexpr std::size_t kMostHolders = 256;

  EventLoop& loop;
  BufferPool& pool;
  ThreadCounters& counters;
  IntrusiveList<Layer, BuffersLink> holders;
  std::size_t holderCount = 0;
  // Used up within one call.
  alignas(64) std::array<char, kCipherReadBytes> cipher;
  // A record's bytes, where those to be sealed come in several parts, and those that were opened
  // have no room elsewhere.
  std::array<char, kMaxRecordBytes + 1> record;
  // After which the next key is taken up.
  std::uint64_t recordsPerKey = kRecordsPerKey;
};

// How far records are filled: small ones first, so that the client has something to decode before
// the whole of a large one is there, and full ones once a response proves to be long.
class RecordSizes {
 public:
  // Of the next record. Plaintext of 1,370 bytes fits one segment together with all headers.
  std::size_t next(std::uint64_t nowMillis) {
    if (nowMillis - lastMillis_ >= kIdleMillis) burst_ = 0;
    lastMillis_ = nowMillis;
    return burst_ < kSmallUntil ? kSmallBytes : kMaxRecordBytes;
  }
  void wrote(std::size_t bytes) { burst_ += bytes; }

 private:
  static constexpr std::size_t kSmallBytes = 1370;
  static constexpr std::uint64_t kSmallUntil = 64 * 1024;
  static constexpr std::uint64_t kIdleMillis = 1000;

  std::uint64_t lastMillis_ = 0;
  std::uint64_t burst_ = 0;
};

class Layer final : public TransportLayer, public ListNode<BuffersLink> {
 public:
  // On the server's side.
  Layer(ThreadBuffers& buffers, SslPointer ssl, std::shared_ptr<const ServerContext> context);
  // On the client's side. `protocol`: what the peer has to choose by ALPN, in words that live for
  // ever; empty: whatever it likes.
  Layer(ThreadBuffers& buffers, SslPointer ssl, Connector& connector, std::string_view protocol);
  ~Layer() override;

  // TransportLayer
  IoResult establish(Socket& socket) override;
  IoResult read(Socket& socket, std::span<char> into) override;
  // Without bytes: sends what is left of a handshake, which establish() leaves to the first write.
  IoResult write(Socket& socket, std::span<const iovec> parts) override;
  bool hasInput(Socket& socket) override;
  void sayEnd(Socket& socket) override;
  void expectLastWrite() override { lastWrite_ = true; }
  void rest() override;
  std::string_view failure() const override;
  std::string_view protocol() const override;

  // Complete once establish() has returned Ok, or `early` is true: then read() and write() work,
  // and each of them and establish() go on with the handshake.
  const TlsFacts& facts() const { return facts_; }
  // After a Failed: OpenSSL's code for it; 0 where the socket broke or ended.
  unsigned long error() const { return error_; }
  // The peer's first message was complete, and the costly part of the handshake is done.
  bool answered() const { return answered_; }

  // It does without libssl now: the ciphers have all that is needed.
  bool independent() const { return ssl_ == nullptr; }

  // The socket's end, or an error, waits behind what is there to read. Without that word, a
  // handshake that took all that was there does not look for more.
  void expectEnd() { endComes_ = true; }

  // For the callbacks of a handshake.
  static Layer& of(SSL* ssl) { return *static_cast<Layer*>(SSL_get_app_data(ssl)); }
  const ServerContext* context() const { return context_.get(); }
  Connector* connector() const { return connector_; }
  void setServerName(std::string_view name);
  void setFingerprint(std::string ja4) { ja4_ = std::move(ja4); }
  // Lower-case, without a dot at its end; empty where the client names none.
  std::string_view serverName() const { return serverName_; }
  void refuseServerName() { serverNameRefused_ = true; }
  bool serverNameRefused() const { return serverNameRefused_; }

 private:
  friend struct LayerBio;

  // Records of the peer behind the handshake without data between them: mostly new keys, each of
  // which costs some 20 microseconds and takes 27 bytes. A read full of them would hold up all
  // other connections of the thread. Counted by their headers, which OpenSSL asks for one by one:
  // its callback for messages would be called several times for every record of data.
  static constexpr std::uint32_t kMaxEmptyRecords = 32;

  enum class State : std::uint8_t {
    Handshake,
    Early,  // the handshake goes on, and early data has come
    Open,
    PeerEnded,
    Broken,
  };

  // The time of one call, in which the BIO has a socket.
  class Use;

  bool flooded() const { return emptyRecords_ > kMaxEmptyRecords; }
  // Reads from the socket, behind what has arrived. False: nothing came, for what is noted.
  bool fetch();
  // A record of data on the way past libssl.
  enum class Record : std::uint8_t {
    Data,
    Incomplete,  // there is no more for now
    Libssl,      // to be read by libssl
    Ended,       // the peer has ended, or the connection is broken
  };
  // Opens the next one to `into`, and to unread_ what does not fit; `bytes`: how many are in
  // `into`.
  Record openRecord(std::span<char> into, std::size_t& bytes);
  void leaveLibssl();
  // What is no data, of a connection that does without libssl.
  Record takeAlert(std::string_view content);
  Record takeHandshake(std::string_view content);
  Record refuse(int alert, int reason);
  // Behind what is sealed already. False where the peer takes too little of that.
  bool sealSmall(ContentType type, std::string_view content);
  void sealAlert(int level, int alert);
  bool endSaid() const;
  void sealEnd();
  // 0 where OpenSSL fails.
  std::size_t sealRecord(std::string_view data);
  // Our next key, and the word of it to the peer. False where OpenSSL fails.
  bool renewKey();
  // At the end of sealed_, `bytes` more.
  char* roomForSealed(std::size_t bytes);
  int bioRead(char* into, int size);
  int bioWrite(const char* bytes, int size);
  IoResult receive(std::span<char> into);
  IoResult sendSealed(Socket& socket);
  // Seals from `parts`, which begin `skip` bytes in, at most about `kBatchBytes`; returns how many.
  std::size_t seal(std::span<const iovec> parts, std::size_t skip, std::size_t total);
  IoResult broken(int error);
  void attachBio();
  void holdBuffers();
  void giveBuffersBack();
  void noteOpen();
  bool takeEarly();
  IoResult readUnread(std::span<char> into);
  void readFacts();
  void readCertificate();

  ThreadBuffers& buffers_;
  RecordCiphers ciphers_;  // refers to what ssl_ owns, which refers to it while it works
  SslPointer ssl_;         // empty: the ciphers own what they need
  std::shared_ptr<const ServerContext> context_;  // on the server's side
  Connector* connector_ = nullptr;                // on the client's side
  std::string_view requiredProtocol_;             // on the client's side
  Socket* socket_ = nullptr;                      // during a call
  // Ciphertext that was received and not used: a view into the shared memory, or into kept_.
  std::string_view arrived_;
  Input kept_;
  Input unread_;  // plaintext that nobody has read yet: early data, or the rest of a record
  // Records on their way out, and how much of the caller's bytes is in them.
  Block sealed_;
  std::uint32_t sealedBegin_ = 0;
  std::uint32_t sealedEnd_ = 0;
  std::size_t sealedBytes_ = 0;
  RecordSizes sizes_;
  State state_ = State::Handshake;
  bool drained_ = false;     // the socket held no more when it was last read in this call
  bool produced_ = false;    // this call has something to return already
  bool endComes_ = false;    // or it fails, behind what is there
  bool peerClosed_ = false;  // the socket has ended
  bool answered_ = false;
  bool between_ = false;      // libssl holds nothing of a record that is to come or to be read
  bool stuck_ = false;        // libssl holds a record that it could not write
  bool endSaid_ = false;      // close_notify is sealed; where libssl does not know it
  bool answerWaits_ = false;  // new keys of ours are sealed and not sent
  bool lastWrite_ = false;    // close_notify goes out with what is written next
  bool readsEarly_ = false;   // early data may still come
  bool serverNameRefused_ = false;
  bool protocolMissing_ = false;  // the peer has not chosen the required one
  bool counted_ = false;          // in the gauge of open connections
  KeyUpdateReader keyUpdate_;
  std::uint32_t emptyRecords_ = 0;  // since the last data, the one included that is being read
  int socketError_ = 0;             // of a read
  int writeError_ = 0;
  unsigned long error_ = 0;
  TlsFacts facts_;
  std::string serverName_;
  std::string ja4_;
  // What facts_ says of the client's certificate.
  std::string subject_;
  std::string sans_;
  std::string fingerprint_;
  std::string certificate_;
};

}  // namespace tidegate::tls
