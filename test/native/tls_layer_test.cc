// The TLS layer over a socket pair: handshakes and records cut at every byte, ends of all kinds,
// new keys, full sockets.
#include <openssl/hmac.h>

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "tls/client_context.h"
#include "tls/connector.h"
#include "tls/layer.h"
#include "tls_harness.h"

namespace tidegate::tls {
namespace {

using test::ClientOptions;
using test::Connection;
using test::makeServer;
using test::serverConfig;
using test::withProtocols;
using test::withVersion;
using Status = IoResult::Status;

const std::shared_ptr<ServerContext>& server() {
  static const std::shared_ptr<ServerContext> kServer = makeServer(serverConfig());
  return kServer;
}

// Bytes of which none is like its neighbours for long.
std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
constexpr const char* kSuites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                   "TLS_CHACHA20_POLY1305_SHA256"};

// As the layer has it once it does without libssl.
void exchangeData(Connection& connection) {
  std::string text;
  connection.clientWrite("data");
  connection.give(connection.takeFromClient());
  REQUIRE_EQ(connection.read(text).status, Status::Ok);
  CHECK_EQ(text, "data");
}

// Seals records in place of the client's libssl, of any type, once its keys are there.
class ClientRecords {
 public:
  // Before the handshake.
  explicit ClientRecords(const Connection& connection) {
    SSL_CTX* const context = SSL_get_SSL_CTX(connection.client());
    SSL_CTX_set_keylog_callback(context, [](const SSL* ssl, const char* line) {
      constexpr std::string_view kName = "CLIENT_TRAFFIC_SECRET_0 ";
      const std::string_view text = line;
      if (text.starts_with(kName))
        static_cast<ClientRecords*>(SSL_get_app_data(ssl))->begin(text.substr(text.rfind(' ') + 1));
    });
    SSL_set_ciphersuites(connection.client(), kSuites[0]);
    SSL_set_app_data(connection.client(), this);
  }

  std::string sealed(ContentType type, std::string_view content) {
    const std::string inner = std::string(content) + static_cast<char>(type);
    std::string record = {23, 3, 3, 0, static_cast<char>(inner.size() + kTagBytes)};
    std::array<unsigned char, 12> nonce = nonce_;
    nonce[11] ^= static_cast<unsigned char>(number_++);
    const std::unique_ptr<EVP_CIPHER_CTX, Releaser<EVP_CIPHER_CTX_free>> context(
        EVP_CIPHER_CTX_new());
    record.resize(kRecordHeaderBytes + inner.size() + kTagBytes);
    auto* const bytes = reinterpret_cast<unsigned char*>(record.data());
    int size = 0;
    EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key_.data(), nonce.data());
    EVP_EncryptUpdate(context.get(), nullptr, &size, bytes, kRecordHeaderBytes);
    EVP_EncryptUpdate(context.get(), bytes + kRecordHeaderBytes, &size,
                      reinterpret_cast<const unsigned char*>(inner.data()),
                      static_cast<int>(inner.size()));
    EVP_EncryptFinal_ex(context.get(), bytes, &size);
    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes,
                        bytes + kRecordHeaderBytes + inner.size());
    return record;
  }

  // RFC 8446 7.2.
  void renew() {
    expand("traffic upd", secret_);
    setKey();
    number_ = 0;
  }

 private:
  void begin(std::string_view hex) {
    for (std::size_t i = 0; i < secret_.size(); ++i)
      secret_[i] =
          static_cast<unsigned char>(std::stoul(std::string(hex.substr(2 * i, 2)), nullptr, 16));
    setKey();
    // The first record is that of exchangeData().
    number_ = 1;
  }
  void setKey() {
    expand("key", key_);
    expand("iv", nonce_);
  }
  // HKDF-Expand-Label, whose first block is enough for all of them.
  void expand(std::string_view label, std::span<unsigned char> out) const {
    std::string info = {0, static_cast<char>(out.size()), static_cast<char>(6 + label.size())};
    info += "tls13 ";
    info += label;
    info += std::string("\0\x01", 2);
    std::array<unsigned char, 32> block{};
    HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
         reinterpret_cast<const unsigned char*>(info.data()), info.size(), block.data(), nullptr);
    std::copy_n(block.begin(), out.size(), out.begin());
  }

  std::array<unsigned char, 32> secret_{};
  std::array<unsigned char, 16> key_{};
  std::array<unsigned char, 12> nonce_{};
  std::uint64_t number_ = 0;
};

TEST("a handshake tells what was agreed on") {
  test::Thread thread;
  for (const int version : kVersions) {
    ClientOptions options = withVersion(version);
    options.name = "LocalHost";
    options.protocols = "\x02h2";
    Connection connection(thread, server(), options);
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    const TlsFacts& facts = connection.layer().facts();
    CHECK_EQ(facts.version, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    CHECK(facts.cipher.starts_with("TLS_"));
    CHECK_EQ(facts.alpn, "h2");
    CHECK_EQ(facts.sni, "localhost");
    CHECK_EQ(facts.ja4.size(), 36u);
    CHECK(!facts.resumed);
    CHECK_EQ(thread.counters().tlsConnections.get(), 1u);
  }
  CHECK_EQ(thread.counters().tlsConnections.get(), 0u);
  CHECK_EQ(thread.pool().bytesInUse(), 0u);
}

TEST("a handshake whose messages are cut at any byte") {
  test::Thread thread;
  for (const int version : kVersions) {
    for (std::size_t cut = 1;; ++cut) {
      Connection connection(thread, server(), withVersion(version));
      bool done = false;
      bool inside = false;
      for (int turn = 0; turn < 5 && !done; ++turn) {
        connection.clientStep();
        const std::string flight = connection.takeFromClient();
        if (cut < flight.size()) {
          inside = true;
          connection.give(flight.substr(0, cut));
          // With TLS 1.3 a client sends a record that is for old machines alone.
          const Status status = connection.layer().establish(connection.socket()).status;
          REQUIRE_EQ(status, Status::WouldBlock);
          connection.give(flight.substr(cut));
        } else {
          connection.give(flight);
        }
        const IoResult io = connection.layer().establish(connection.socket());
        REQUIRE(io.status == Status::Ok || io.status == Status::WouldBlock);
        done = io.status == Status::Ok;
      }
      REQUIRE(done);
      if (!inside) break;
    }
  }
}

TEST("a handshake that comes byte by byte") {
  test::Thread thread;
  for (const int version : kVersions) {
    Connection connection(thread, server(), withVersion(version));
    Status status = Status::WouldBlock;
    while (status == Status::WouldBlock) {
      connection.clientStep();
      const std::string flight = connection.takeFromClient();
      REQUIRE(!flight.empty());
      for (const char byte : flight) {
        REQUIRE_EQ(status, Status::WouldBlock);
        connection.give({&byte, 1});
        status = connection.layer().establish(connection.socket()).status;
      }
    }
    REQUIRE_EQ(status, Status::Ok);
    connection.layer().write(connection.socket(), {});
    REQUIRE(connection.clientStep());
    connection.clientWrite("hello");
    connection.give(connection.takeFromClient());
    std::string text;
    CHECK_EQ(connection.read(text).status, Status::Ok);
    CHECK_EQ(text, "hello");
  }
}

TEST("a record that is cut at any byte is read as a whole, and nothing of it before") {
  test::Thread thread;
  for (const int version : kVersions) {
    Connection connection(thread, server(), withVersion(version));
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    for (std::size_t cut = 1;; ++cut) {
      connection.clientWrite("hello");
      const std::string record = connection.takeFromClient();
      if (cut >= record.size()) break;
      std::string text;
      connection.give(record.substr(0, cut));
      REQUIRE_EQ(connection.read(text).status, Status::WouldBlock);
      CHECK(!connection.layer().hasInput(connection.socket()));
      connection.layer().rest();
      connection.give(record.substr(cut));
      CHECK(connection.layer().hasInput(connection.socket()));
      REQUIRE_EQ(connection.read(text).status, Status::Ok);
      CHECK_EQ(text, "hello");
      REQUIRE_EQ(connection.read(text).status, Status::WouldBlock);
      CHECK_EQ(thread.pool().bytesInUse(), 0u);
    }
  }
}

TEST("two records and a part of the third, cut at any byte") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  for (std::size_t cut = 1;; ++cut) {
    for (const char* const word : {"one ", "two ", "three "}) connection.clientWrite(word);
    const std::string records = connection.takeFromClient();
    if (cut >= records.size()) break;
    std::string all;
    std::string text;
    for (const std::string& piece : {records.substr(0, cut), records.substr(cut)}) {
      connection.give(piece);
      while (connection.read(text).status == Status::Ok) all += text;
    }
    REQUIRE_EQ(all, "one two three ");
  }
}

TEST("what waits is read at once, and the reader hears that nothing more is there") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  const std::string body = pattern(40'000);
  connection.clientWrite(body);
  connection.give(connection.takeFromClient());
  std::string text;
  const IoResult io = connection.read(text);
  REQUIRE_EQ(io.status, Status::Ok);
  CHECK(text == body);
  CHECK(io.drained);
}

TEST("a reader with little room gets all of it in order, and is told that more waits") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  const std::string body = pattern(50'000);
  connection.clientWrite(body);
  connection.give(connection.takeFromClient());
  std::string all;
  while (all.size() < body.size()) {
    CHECK(connection.layer().hasInput(connection.socket()));
    std::string text;
    const IoResult io = connection.read(text, 777);
    REQUIRE_EQ(io.status, Status::Ok);
    all += text;
    if (all.size() < body.size()) REQUIRE(!io.drained);
  }
  CHECK(all == body);
  CHECK(!connection.layer().hasInput(connection.socket()));
  CHECK_EQ(thread.pool().bytesInUse(), 0u);
}

TEST("a client that says that it ends can still be written to") {
  test::Thread thread;
  for (const int version : kVersions) {
    Connection connection(thread, server(), withVersion(version));
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    connection.clientWrite("last words");
    SSL_shutdown(connection.client());
    connection.give(connection.takeFromClient());
    std::string text;
    REQUIRE_EQ(connection.read(text).status, Status::Ok);
    CHECK_EQ(text, "last words");
    CHECK(connection.layer().hasInput(connection.socket()));
    CHECK_EQ(connection.read(text).status, Status::End);
    CHECK_EQ(connection.read(text).status, Status::End);
    CHECK_EQ(connection.write("the answer").bytes, 10u);
    CHECK(!connection.clientHeardEnd());
    connection.layer().sayEnd(connection.socket());
    CHECK_EQ(connection.clientRead(), "the answer");
    CHECK(connection.clientHeardEnd());
  }
}

TEST("an end of ours is said once, behind everything that was written") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  connection.write("all");
  connection.layer().sayEnd(connection.socket());
  CHECK_EQ(connection.clientRead(), "all");
  CHECK(connection.clientHeardEnd());
  connection.layer().sayEnd(connection.socket());
  CHECK_EQ(connection.takeFromServer(), "");
}

TEST("a connection that stops without a word is broken, in a record or between two") {
  test::Thread thread;
  for (const std::size_t missing : {0u, 1u}) {
    Connection connection(thread, server());
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    connection.clientWrite("first");
    connection.clientWrite("second");
    const std::string records = connection.takeFromClient();
    connection.give(records.substr(0, records.size() - missing));
    connection.cut();
    std::string text;
    REQUIRE_EQ(connection.read(text).status, Status::Ok);
    CHECK_EQ(text, missing == 0 ? "firstsecond" : "first");
    CHECK_EQ(connection.read(text).status, Status::Failed);
    CHECK_EQ(connection.write("x").status, Status::Failed);
  }
}

TEST("a connection that stops in the handshake has failed") {
  test::Thread thread;
  Connection connection(thread, server());
  connection.clientStep();
  connection.give(connection.takeFromClient().substr(0, 100));
  connection.cut();
  // What the loop will tell of is not looked for.
  CHECK_EQ(connection.layer().establish(connection.socket()).status, Status::WouldBlock);
  connection.layer().expectEnd();
  CHECK_EQ(connection.layer().establish(connection.socket()).status, Status::Failed);
  CHECK_EQ(connection.layer().error(), 0ul);
  CHECK_EQ(connection.layer().failure(), "the connection ended in the handshake");
}

TEST("new keys pass unseen, also when the client asks for new ones of ours") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  for (const int kind : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
    std::string text;
    REQUIRE(SSL_key_update(connection.client(), kind) == 1);
    REQUIRE(SSL_do_handshake(connection.client()) == 1);
    connection.give(connection.takeFromClient());
    CHECK(!connection.layer().hasInput(connection.socket()));
    CHECK_EQ(connection.read(text).status, Status::WouldBlock);
    connection.clientWrite("under new keys");
    connection.give(connection.takeFromClient());
    REQUIRE_EQ(connection.read(text).status, Status::Ok);
    CHECK_EQ(text, "under new keys");
    connection.write("and back");
    CHECK_EQ(connection.clientRead(), "and back");
  }
}

TEST("new keys may come for ever where data comes with them, and not without") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  const auto rekey = [&connection] {
    SSL_key_update(connection.client(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(connection.client());
  };
  std::string text;
  for (int i = 0; i < 100; ++i) {
    rekey();
    connection.clientWrite("data");
    connection.give(connection.takeFromClient());
    REQUIRE_EQ(connection.read(text).status, Status::Ok);
    connection.clientRead();
  }
  // Each of them costs some 20 microseconds: a read full of them would hold up all others.
  for (int i = 0; i < 2000; ++i) rekey();
  connection.give(connection.takeFromClient());
  CHECK_EQ(connection.read(text).status, Status::Failed);
  CHECK_EQ(connection.layer().failure(), "too many key updates");
  CHECK(connection.takeFromServer().size() < 100 * 27);
}

TEST("with TLS 1.3 the first data ends what libssl is needed for, and not with TLS 1.2") {
  test::Thread thread;
  for (const int version : kVersions) {
    Connection connection(thread, server(), withVersion(version));
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    CHECK(!connection.layer().independent());
    exchangeData(connection);
    CHECK_EQ(connection.layer().independent(), version == TLS1_3_VERSION);
    connection.write("answer");
    CHECK_EQ(connection.clientRead(), "answer");
    CHECK_EQ(connection.layer().facts().version, version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
  }
}

TEST("a connection that rests holds no buffers of libssl's, and takes new ones when it goes on") {
  test::Thread thread;
  for (const int version : kVersions) {
    const std::size_t held = version == TLS1_3_VERSION ? 0 : 1;
    Connection connection(thread, server(), withVersion(version));
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    for (int i = 0; i < 3; ++i) {
      exchangeData(connection);
      CHECK_EQ(thread.buffers().holderCount, held);
      connection.layer().rest();
      CHECK_EQ(thread.buffers().holderCount, 0u);
      CHECK(thread.buffers().holders.empty());
    }
  }
}

TEST("new keys one after the other, of every suite, without libssl") {
  test::Thread thread;
  for (const char* suite : kSuites) {
    Connection connection(thread, server());
    SSL_set_ciphersuites(connection.client(), suite);
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    exchangeData(connection);
    REQUIRE(connection.layer().independent());
    for (int i = 0; i < 40; ++i) {
      SSL_key_update(connection.client(),
                     i % 3 == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED);
      exchangeData(connection);
      for (int j = 0; j < 3; ++j) {
        connection.write("under whatever key");
        CHECK_EQ(connection.clientRead(), "under whatever key");
        exchangeData(connection);
      }
    }
    SSL_shutdown(connection.client());
    connection.give(connection.takeFromClient());
    std::string text;
    CHECK_EQ(connection.read(text).status, Status::End);
    connection.layer().sayEnd(connection.socket());
    CHECK_EQ(connection.clientRead(), "");
    CHECK(connection.clientHeardEnd());
  }
}

// New keys that an end has heard of.
class KeysHeard {
 public:
  explicit KeysHeard(SSL* ssl) {
    SSL_set_msg_callback(
        ssl, [](int ours, int, int type, const void* bytes, std::size_t size, SSL*, void* self) {
          constexpr unsigned char kKeyUpdate = 24;
          if (ours == 0 && type == SSL3_RT_HANDSHAKE && size > 0 &&
              *static_cast<const unsigned char*>(bytes) == kKeyUpdate)
            ++static_cast<KeysHeard*>(self)->count;
        });
    SSL_set_msg_callback_arg(ssl, this);
  }
  int count = 0;
};

TEST("a key that has sealed its share of records is followed by the next, of every suite") {
  for (const bool asked : {true, false}) {
    for (const char* suite : kSuites) {
      test::Thread thread;
      thread.buffers().recordsPerKey = 4;
      Connection connection(thread, server());
      SSL_set_ciphersuites(connection.client(), suite);
      REQUIRE_EQ(connection.handshake().status, Status::Ok);
      // With the client's first data libssl goes; it may also be the server that speaks first.
      if (asked) exchangeData(connection);
      CHECK_EQ(connection.layer().independent(), asked);
      KeysHeard heard(connection.client());
      for (int i = 0; i < 20; ++i) {
        const std::string text = pattern(1000 + static_cast<std::size_t>(i) * 1000);
        REQUIRE_EQ(connection.write(text).bytes, text.size());
        CHECK(connection.clientRead() == text);
      }
      CHECK(heard.count >= 10);
      exchangeData(connection);
    }
  }
}

TEST("one answer that waits for a full socket answers all that asked for new keys meanwhile") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  exchangeData(connection);
  const std::string body = pattern(4'000'000);
  const std::size_t sent = connection.write(body).bytes;
  REQUIRE(sent < body.size());
  for (int i = 0; i < 200; ++i) {
    SSL_key_update(connection.client(), SSL_KEY_UPDATE_REQUESTED);
    exchangeData(connection);
  }
  // What was begun goes on, under the old key and the new one.
  std::string got = connection.clientRead();
  for (std::size_t at = sent; at < body.size(); got += connection.clientRead()) {
    const IoResult io = connection.write(std::string_view(body).substr(at));
    REQUIRE(io.status == Status::Ok || io.status == Status::WouldBlock);
    at += io.bytes;
  }
  connection.layer().write(connection.socket(), {});
  got += connection.clientRead();
  CHECK(got == body);
}

TEST("a record that breaks the rules is answered with the alert that says which") {
  struct Case {
    ContentType type;
    std::string_view content;
    int alert;  // that the client hears
  };
  using namespace std::string_view_literals;
  const Case cases[] = {
      {ContentType::None, "", SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE},
      {ContentType{20}, "\x01", SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE},
      {ContentType{99}, "?", SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE},
      {ContentType::Handshake, "", SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE},
      {ContentType::Handshake, "\x01\0\0\0"sv, SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE},
      {ContentType::Handshake, "\x18\0\0\x01\0\x18"sv, SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE},
      {ContentType::Handshake, "\x18\0\0\x02\0\0"sv, SSL_R_TLSV1_ALERT_DECODE_ERROR},
      {ContentType::Handshake, "\x18\0\0\x01\x02"sv, SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER},
      {ContentType::Alert, "\x01", SSL_R_TLSV1_ALERT_DECODE_ERROR},
  };
  test::Thread thread;
  for (const Case& c : cases) {
    Connection connection(thread, server());
    ClientRecords client(connection);
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    exchangeData(connection);
    connection.give(client.sealed(c.type, c.content));
    std::string text;
    CHECK_EQ(connection.read(text).status, Status::Failed);
    connection.deliver();
    clearErrors();
    char byte = 0;
    CHECK(SSL_read(connection.client(), &byte, 1) <= 0);
    CHECK_EQ(ERR_GET_REASON(takeError()), c.alert);
  }
}

TEST("new keys may come in pieces, and nothing else between them") {
  using namespace std::string_view_literals;
  for (const bool interrupted : {false, true}) {
    test::Thread thread;
    Connection connection(thread, server());
    ClientRecords client(connection);
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    exchangeData(connection);
    connection.give(client.sealed(ContentType::Handshake, "\x18\0"sv));
    std::string text;
    CHECK_EQ(connection.read(text).status, Status::WouldBlock);
    if (interrupted) {
      connection.give(client.sealed(ContentType::Data, "data"));
      CHECK_EQ(connection.read(text).status, Status::Failed);
      continue;
    }
    connection.give(client.sealed(ContentType::Handshake, "\0\x01\0"sv));
    CHECK_EQ(connection.read(text).status, Status::WouldBlock);
    client.renew();
    connection.give(client.sealed(ContentType::Data, "under the new key"));
    REQUIRE_EQ(connection.read(text).status, Status::Ok);
    CHECK_EQ(text, "under the new key");
  }
}

TEST("an alert of the client's ends the connection, but for the word that it gives up") {
  using namespace std::string_view_literals;
  test::Thread thread;
  Connection connection(thread, server());
  ClientRecords client(connection);
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  exchangeData(connection);
  std::string text;
  connection.give(client.sealed(ContentType::Alert, "\x01\x5a"sv));
  CHECK_EQ(connection.read(text).status, Status::WouldBlock);
  connection.give(client.sealed(ContentType::Data, "more"));
  connection.give(client.sealed(ContentType::Alert, "\x02\x30"sv));
  REQUIRE_EQ(connection.read(text).status, Status::Ok);
  CHECK_EQ(text, "more");
  CHECK_EQ(connection.read(text).status, Status::Failed);
  CHECK_EQ(connection.layer().failure(), "tlsv1 alert unknown ca");
  CHECK_EQ(connection.takeFromServer(), "");
}

TEST("the end goes out with the last write, and once") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  connection.write("more to come");
  CHECK_EQ(connection.clientRead(), "more to come");
  CHECK_EQ(SSL_get_shutdown(connection.client()) & SSL_RECEIVED_SHUTDOWN, 0);
  connection.layer().expectLastWrite();
  connection.write("the last");
  CHECK_EQ(connection.clientRead(), "the last");
  CHECK(connection.clientRead().empty());
  CHECK_EQ(SSL_get_shutdown(connection.client()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
  connection.layer().sayEnd(connection.socket());
  CHECK(connection.takeFromServer().empty());
}

TEST("a client that wants to negotiate again does not get to") {
  test::Thread thread;
  Connection connection(thread, server(), withVersion(TLS1_2_VERSION));
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  connection.clientWrite("before");
  REQUIRE(SSL_renegotiate(connection.client()) == 1);
  SSL_do_handshake(connection.client());
  connection.give(connection.takeFromClient());
  std::string text;
  REQUIRE_EQ(connection.read(text).status, Status::Ok);
  CHECK_EQ(text, "before");
  CHECK(connection.read(text).status != Status::Ok);
  connection.deliver();
  clearErrors();
  CHECK(SSL_do_handshake(connection.client()) != 1);
  CHECK_EQ(ERR_GET_REASON(takeError()), SSL_R_NO_RENEGOTIATION);
}

TEST("a client that refuses our certificate says so") {
  test::Thread thread;
  for (const int version : kVersions) {
    Connection connection(thread, server(), withVersion(version));
    SSL_set_verify(connection.client(), SSL_VERIFY_PEER, nullptr);
    REQUIRE_EQ(connection.handshake().status, Status::Failed);
    CHECK_EQ(ERR_GET_REASON(connection.layer().error()), SSL_R_TLSV1_ALERT_UNKNOWN_CA);
    CHECK_EQ(connection.layer().failure(), "tlsv1 alert unknown ca");
    std::string text;
    CHECK_EQ(connection.read(text).status, Status::Failed);
    CHECK_EQ(connection.layer().establish(connection.socket()).status, Status::Failed);
  }
}

TEST("protocols of which we speak none are refused with an alert") {
  test::Thread thread;
  Connection connection(thread, server(),
                        withProtocols("\x03"
                                      "ftp"));
  REQUIRE_EQ(connection.handshake().status, Status::Failed);
  CHECK_EQ(ERR_GET_REASON(connection.layer().error()), SSL_R_NO_APPLICATION_PROTOCOL);
  connection.deliver();
  clearErrors();
  CHECK(SSL_do_handshake(connection.client()) != 1);
  CHECK_EQ(ERR_GET_REASON(takeError()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
}

TEST("a record with any bit turned is no record") {
  test::Thread thread;
  for (const int version : kVersions) {
    for (std::size_t at = 0;; ++at) {
      Connection connection(thread, server(), withVersion(version));
      REQUIRE_EQ(connection.handshake().status, Status::Ok);
      connection.clientWrite("hi");
      std::string record = connection.takeFromClient();
      if (at >= record.size()) break;
      record[at] = static_cast<char>(record[at] ^ (1 << at % 8));
      // Longer than it was: what is missing comes.
      connection.give(record + std::string(3000, 'x'));
      std::string text;
      CHECK_EQ(connection.read(text).status, Status::Failed);
      CHECK_EQ(text, "");
    }
  }
}

TEST("what is written goes out whatever its parts are, through a socket that fills up") {
  test::Thread thread;
  for (const int version : kVersions) {
    Connection connection(thread, server(), withVersion(version));
    REQUIRE_EQ(connection.handshake().status, Status::Ok);
    const int small = 4096;
    setsockopt(connection.socket().fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    const std::string body = pattern(700'000);
    std::string got;
    std::size_t sent = 0;
    std::size_t round = 0;
    bool blocked = false;
    while (sent < body.size()) {
      // The same bytes first, at another address and in other parts each time.
      const std::string rest = body.substr(sent);
      std::vector<iovec> parts;
      for (std::size_t at = 0, i = round; at < rest.size() && parts.size() < 40; ++i) {
        constexpr std::size_t kSizes[] = {1, 7, 1369, 1370, 1371, 16'384, 20'000, 100'000};
        const std::size_t n = std::min(kSizes[i % std::size(kSizes)], rest.size() - at);
        parts.push_back({const_cast<char*>(rest.data()) + at, n});
        at += n;
      }
      const IoResult io = connection.layer().write(connection.socket(), parts);
      REQUIRE(io.status == Status::Ok || io.status == Status::WouldBlock);
      blocked = blocked || io.status == Status::WouldBlock;
      if (io.status == Status::Ok) sent += io.bytes;
      got += connection.clientRead();
      REQUIRE(++round < 10'000);
    }
    connection.layer().write(connection.socket(), {});
    got += connection.clientRead();
    CHECK(got == body);
    CHECK(blocked);
    CHECK_EQ(thread.pool().bytesInUse(), 0u);
  }
}

TEST("an end is not said behind a part of what was written") {
  test::Thread thread;
  Connection connection(thread, server());
  REQUIRE_EQ(connection.handshake().status, Status::Ok);
  const std::string body = pattern(4'000'000);
  REQUIRE(connection.write(body).bytes < body.size());
  connection.layer().sayEnd(connection.socket());
  const std::string got = connection.clientRead();
  CHECK(got.size() < body.size());
  CHECK(body.starts_with(got));
  CHECK(!connection.clientHeardEnd());
}

// Two layers, one on either side.
struct Both {
  Both(test::Thread& thread, Connector& connector) {
    auto [near, far] = test::socketPair();
    clientSocket = Socket(std::move(near));
    serverSocket = Socket(std::move(far));
    connector.layerFor(client);
    serving = std::make_unique<Layer>(thread.buffers(), server()->newConnection(), server());
  }

  // Whether both are through.
  bool handshake() {
    IoResult ours;
    IoResult theirs;
    for (int turn = 0; turn < 10; ++turn) {
      ours = client->establish(clientSocket);
      theirs = serving->establish(serverSocket);
      if (ours.status == Status::Failed) return false;
      if (ours.status == Status::Ok && theirs.status == Status::Ok) break;
    }
    // Tickets come behind the handshake.
    serving->write(serverSocket, {});
    client->hasInput(clientSocket);
    return ours.status == Status::Ok && theirs.status == Status::Ok;
  }

  Socket clientSocket;
  Socket serverSocket;
  std::unique_ptr<TransportLayer> client;
  std::unique_ptr<Layer> serving;
};

std::shared_ptr<const ClientContext> clientContext(bool verify = true) {
  ClientConfig config;
  config.verify = verify;
  config.authorities = test::localhostCertificate().certificate;
  auto made = ClientContext::create(config, "");
  test::require(made.ok(), "the client's context");
  return made.value();
}

TEST("a layer of ours as the client resumes the session of the connection before it") {
  test::Thread thread;
  Connector connector(thread.buffers());
  connector.configure(clientContext(), "localhost");
  for (const bool resumed : {false, true, true}) {
    Both both(thread, connector);
    REQUIRE(both.handshake());
    CHECK_EQ(both.serving->facts().sni, "localhost");
    CHECK_EQ(both.serving->facts().alpn, "http/1.1");
    CHECK_EQ(both.serving->facts().resumed, resumed);
  }
}

TEST("layers of ours on both sides take up new keys, each in its own time") {
  test::Thread thread;
  Connector connector(thread.buffers());
  connector.configure(clientContext(), "localhost");
  Both both(thread, connector);
  REQUIRE(both.handshake());
  thread.buffers().recordsPerKey = 3;
  const auto send = [](TransportLayer& from, Socket& out, TransportLayer& to, Socket& in) {
    const std::string text = pattern(1000);
    const iovec part = {const_cast<char*>(text.data()), text.size()};
    REQUIRE_EQ(from.write(out, {&part, 1}).bytes, text.size());
    std::string got(2 * text.size(), '\0');
    const IoResult io = to.read(in, {got.data(), got.size()});
    REQUIRE_EQ(io.status, Status::Ok);
    got.resize(io.bytes);
    CHECK(got == text);
  };
  for (int i = 0; i < 40; ++i) {
    send(*both.client, both.clientSocket, *both.serving, both.serverSocket);
    for (int answers = i % 3; answers > 0; --answers)
      send(*both.serving, both.serverSocket, *both.client, both.clientSocket);
  }
  CHECK(both.serving->independent());
}

TEST("a layer of ours as the client believes no other name, and says why") {
  test::Thread thread;
  Connector connector(thread.buffers());
  connector.configure(clientContext(), "other.example");
  Both both(thread, connector);
  CHECK(!both.handshake());
  CHECK_EQ(both.client->failure(), "hostname mismatch");
  connector.configure(clientContext(false), "other.example");
  Both unverified(thread, connector);
  CHECK(unverified.handshake());
}

}  // namespace
}  // namespace tidegate::tls
