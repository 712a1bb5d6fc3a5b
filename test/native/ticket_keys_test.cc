// Keys of session tickets: which one seals, which ones open, and whose sessions are resumed.
#include "tls/ticket_keys.h"

#include <openssl/core_names.h>

#include <array>
#include <string>

#include "check.h"
#include "tls_harness.h"

namespace tidegate::tls {
namespace {

using test::Connection;
using test::makeServer;
using test::serverConfig;
using test::SessionPointer;
using Status = IoResult::Status;

TicketKey keyOf(unsigned char byte) {
  TicketKey key;
  key.fill(byte);
  return key;
}

using MacPointer = std::unique_ptr<EVP_MAC, Releaser<EVP_MAC_free>>;
using MacContextPointer = std::unique_ptr<EVP_MAC_CTX, Releaser<EVP_MAC_CTX_free>>;
using CipherContextPointer = std::unique_ptr<EVP_CIPHER_CTX, Releaser<EVP_CIPHER_CTX_free>>;

using KeyName = std::array<unsigned char, 16>;

// Of keyOf(byte).
KeyName named(unsigned char byte) {
  KeyName name;
  name.fill(byte);
  return name;
}

// As OpenSSL asks for them: what prepare() says, and the name of the key.
struct Asked {
  int result = 0;
  KeyName name{};
};

Asked ask(TicketKeys& keys, bool seal, const KeyName& name = {}, std::uint64_t nowMillis = 0) {
  const MacPointer mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  const MacContextPointer macContext(EVP_MAC_CTX_new(mac.get()));
  const CipherContextPointer cipher(EVP_CIPHER_CTX_new());
  std::array<unsigned char, EVP_MAX_IV_LENGTH> iv{};
  Asked asked{.name = name};
  asked.result =
      keys.prepare(seal, asked.name.data(), iv.data(), cipher.get(), macContext.get(), nowMillis);
  return asked;
}

TEST("the first of the given keys seals, all of them open") {
  TicketKeys keys;
  keys.configure({keyOf('a'), keyOf('b')}, 1000);
  const Asked sealed = ask(keys, true);
  CHECK_EQ(sealed.result, 1);
  CHECK(sealed.name == named('a'));
  CHECK_EQ(ask(keys, false, sealed.name).result, 1);
  // Its client gets a ticket of the first one.
  CHECK_EQ(ask(keys, false, named('b')).result, 2);
  CHECK_EQ(ask(keys, false, named('c')).result, 0);
}

TEST("keys that are made here differ, and stay over a reload") {
  TicketKeys keys;
  TicketKeys others;
  keys.configure({}, 60'000);
  others.configure({}, 60'000);
  const Asked sealed = ask(keys, true);
  CHECK_EQ(sealed.result, 1);
  CHECK(sealed.name != ask(others, true).name);
  keys.configure({}, 60'000);
  CHECK(sealed.name == ask(keys, true).name);
  CHECK_EQ(ask(keys, false, sealed.name).result, 1);
  CHECK_EQ(ask(others, false, sealed.name).result, 0);
}

TEST("from given keys to made ones and back, those of the other kind open nothing") {
  TicketKeys keys;
  keys.configure({}, 60'000);
  const Asked made = ask(keys, true);
  keys.configure({keyOf('a')}, 60'000);
  CHECK_EQ(ask(keys, false, made.name).result, 0);
  const Asked given = ask(keys, true);
  keys.configure({}, 60'000);
  CHECK_EQ(ask(keys, false, given.name).result, 0);
  CHECK(ask(keys, true).name != given.name);
}

TEST("a key that has been rotated out still opens, for as long as it sealed") {
  constexpr std::uint64_t kRotation = 1000;
  constexpr std::uint64_t kStart = 7'000'000;
  TicketKeys keys;
  keys.configure({}, kRotation);
  const Asked first = ask(keys, true, {}, kStart);
  CHECK(ask(keys, true, {}, kStart + kRotation - 1).name == first.name);
  CHECK_EQ(ask(keys, false, first.name, kStart + kRotation - 1).result, 1);
  const Asked second = ask(keys, true, {}, kStart + kRotation);
  CHECK(second.name != first.name);
  CHECK_EQ(ask(keys, false, first.name, kStart + 2 * kRotation - 1).result, 2);
  CHECK_EQ(ask(keys, false, first.name, kStart + 2 * kRotation).result, 0);
  CHECK_EQ(ask(keys, false, second.name, kStart + 2 * kRotation).result, 2);
}

TEST("a key opens no longer than that where nobody comes in between") {
  constexpr std::uint64_t kRotation = 1000;
  TicketKeys keys;
  keys.configure({}, kRotation);
  const Asked first = ask(keys, true, {}, 0);
  CHECK_EQ(ask(keys, false, first.name, 2 * kRotation).result, 0);
  const Asked second = ask(keys, true, {}, 2 * kRotation);
  // It sealed until a rotation before.
  CHECK_EQ(ask(keys, false, second.name, 4 * kRotation - 1).result, 2);
}

// A session of a whole handshake with this server.
SessionPointer sessionWith(test::Thread& thread, const std::shared_ptr<ServerContext>& server,
                           int version, SSL_SESSION* before = nullptr, bool* resumed = nullptr) {
  test::ClientOptions options = test::withVersion(version);
  options.session = before;
  Connection connection(thread, server, options);
  test::require(connection.handshake().status == Status::Ok, "a handshake");
  if (resumed != nullptr) *resumed = connection.layer().facts().resumed;
  // With TLS 1.3 tickets come behind the handshake.
  connection.clientRead();
  return SessionPointer(SSL_get1_session(connection.client()));
}

bool resumes(test::Thread& thread, const std::shared_ptr<ServerContext>& server, int version,
             SSL_SESSION* session, const std::string& name = "localhost") {
  test::ClientOptions options = test::withVersion(version);
  options.name = name;
  options.session = session;
  Connection connection(thread, server, options);
  test::require(connection.handshake().status == Status::Ok, "a handshake");
  return connection.layer().facts().resumed;
}

TEST("a session is good for all configurations that share their keys, and for no other") {
  test::Thread thread;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto keys = std::make_shared<TicketKeys>();
    const auto first = makeServer(serverConfig(), "public", keys);
    const auto reloaded = makeServer(serverConfig(), "public", keys);
    const auto stranger = makeServer(serverConfig(), "public");
    const SessionPointer session = sessionWith(thread, first, version);
    const SessionPointer copy(SSL_SESSION_dup(session.get()));
    CHECK(resumes(thread, reloaded, version, session.get()));
    CHECK(!resumes(thread, stranger, version, copy.get()));
  }
}

TEST("a session is good for its listener and its name alone") {
  test::Thread thread;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto keys = std::make_shared<TicketKeys>();
    const auto server = makeServer(serverConfig(), "public", keys);
    const auto other = makeServer(serverConfig(), "other", keys);
    const auto session = [&] { return sessionWith(thread, server, version); };
    CHECK(!resumes(thread, server, version, session().get(), "other.example"));
    CHECK(!resumes(thread, server, version, session().get(), ""));
    CHECK(resumes(thread, server, version, session().get(), "LOCALHOST"));
    CHECK(!resumes(thread, other, version, session().get()));
  }
}

TEST("a new key in front resumes old sessions, and one that is dropped does not") {
  test::Thread thread;
  const auto server = [](std::vector<TicketKey> keys) {
    ServerConfig config = serverConfig();
    config.ticketKeys = std::move(keys);
    return makeServer(config);
  };
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const SessionPointer old = sessionWith(thread, server({keyOf('a')}), version);
    const SessionPointer copy(SSL_SESSION_dup(old.get()));
    bool resumed = false;
    // Another node, whose client gets a ticket of the new key.
    const SessionPointer renewed =
        sessionWith(thread, server({keyOf('b'), keyOf('a')}), version, old.get(), &resumed);
    CHECK(resumed);
    CHECK(resumes(thread, server({keyOf('b')}), version, renewed.get()));
    CHECK(!resumes(thread, server({keyOf('b')}), version, copy.get()));
  }
}

TEST("a session in memory is good for the configuration that made it") {
  test::Thread thread;
  ServerConfig config = serverConfig();
  config.tickets = false;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto server = makeServer(config);
    const auto other = makeServer(config);
    const SessionPointer session = sessionWith(thread, server, version);
    const SessionPointer copy(SSL_SESSION_dup(session.get()));
    CHECK(resumes(thread, server, version, session.get()));
    CHECK(!resumes(thread, other, version, copy.get()));
  }
}

}  // namespace
}  // namespace tidegate::tls
