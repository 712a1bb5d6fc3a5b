// Fuzzes TLS: an input is what a client sends from its first byte on, what it does once the
// handshake is done, or what an endpoint answers our own ClientHello; and JA4 of whatever may be
// one.
#define OPENSSL_SUPPRESS_DEPRECATED  // RAND_set_rand_method()

#include <openssl/rand.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "../native/tls_harness.h"
#include "tls/client_context.h"
#include "tls/connector.h"
#include "tls/ja4.h"

namespace tidegate::tls {
namespace {

using test::Connection;
using test::require;
using Status = IoResult::Status;

// The same numbers for the same input, so that what is found is found again.
std::uint64_t randomState = 1;

int randomBytes(unsigned char* into, int count) {
  for (int i = 0; i < count; ++i) {
    randomState = randomState * 6364136223846793005u + 1442695040888963407u;
    into[i] = static_cast<unsigned char>(randomState >> 56);
  }
  return 1;
}

int isSeeded() { return 1; }

void makeRandomnessRepeat() {
  static const RAND_METHOD kMethod = {nullptr, randomBytes, nullptr,
                                      nullptr, randomBytes, isSeeded};
  RAND_set_rand_method(&kMethod);
}

class FuzzInput {
 public:
  explicit FuzzInput(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto first = static_cast<std::uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return first;
  }
  std::string_view take(std::size_t count) {
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view bytes_;
};

// Reads all that is there; what the layer says has to fit together.
Status readAll(Connection& connection, std::string& text, std::size_t room) {
  for (;;) {
    std::string part;
    const IoResult io = connection.read(part, room);
    text += part;
    if (io.status != Status::Ok) return io.status;
    require(io.bytes > 0 && io.bytes <= room, "bytes within the room");
    if (io.drained) return Status::WouldBlock;
  }
}

// Any bytes, in pieces, from the first byte on.
void speak(test::Thread& thread, const std::shared_ptr<ServerContext>& server, FuzzInput input) {
  Connection connection(thread, server);
  IoResult io{.status = Status::WouldBlock};
  while (!input.empty() && io.status == Status::WouldBlock) {
    const std::size_t count = std::size_t{input.byte()} * 4 + 1;
    connection.give(input.take(count));
    io = connection.layer().establish(connection.socket());
  }
  // Nobody gets through without a key.
  require(io.status == Status::WouldBlock || io.status == Status::Failed, "no handshake by chance");
  if (io.status == Status::WouldBlock) {
    connection.cut();
    io = connection.layer().establish(connection.socket());
    require(io.status == Status::Failed, "an end in the handshake");
  }
  connection.layer().failure();
}

// An endpoint's bytes, in pieces, to the layer that has said hello to it.
void answer(test::Thread& thread, FuzzInput input) {
  static const std::shared_ptr<const ClientContext> kContext = [] {
    ClientConfig config;
    config.authorities = test::localhostCertificate().certificate;
    return ClientContext::create(config, "").value();
  }();
  Connector connector(thread.buffers());
  connector.configure(kContext, "localhost");
  std::unique_ptr<TransportLayer> layer;
  require(connector.layerFor(layer), "a layer");
  auto [near, far] = test::socketPair();
  Socket socket(std::move(near));
  IoResult io = layer->establish(socket);
  require(io.status == Status::WouldBlock, "a hello");
  while (!input.empty() && io.status == Status::WouldBlock) {
    const std::string_view part = input.take(std::size_t{input.byte()} * 4 + 1);
    if (write(far.get(), part.data(), part.size()) < 0) break;
    io = layer->establish(socket);
  }
  require(io.status != Status::Ok, "no certificate by chance");
  far.reset();
  io = layer->establish(socket);
  require(io.status == Status::Failed, "an end in the handshake");
  layer->failure();
}

// A client that got in.
void talk(test::Thread& thread, const std::shared_ptr<ServerContext>& server, FuzzInput input) {
  const std::uint8_t shape = input.byte();
  Connection connection(thread, server,
                        test::withVersion((shape & 1) != 0 ? TLS1_2_VERSION : TLS1_3_VERSION));
  require(connection.handshake().status == Status::Ok, "a handshake");
  SSL* const client = connection.client();
  std::string sent;       // by the client, in order
  std::string got;        // by the server
  bool tampered = false;  // something went to the server that the client has not sealed
  Status status = Status::WouldBlock;
  while (!input.empty() && (status == Status::WouldBlock || status == Status::End)) {
    const std::uint8_t what = input.byte();
    const std::uint8_t which = input.byte();
    std::string pending = connection.takeFromClient();
    clearErrors();
    switch (what % 10) {
      case 0:
      case 1: {
        const std::string text(std::size_t{which} << (what / 10 % 8), static_cast<char>(what));
        if (!text.empty() && (SSL_get_shutdown(client) & SSL_SENT_SHUTDOWN) == 0 &&
            SSL_write(client, text.data(), static_cast<int>(text.size())) > 0)
          sent += text;
        break;
      }
      case 2:
        if (SSL_version(client) == TLS1_3_VERSION)
          SSL_key_update(client,
                         which % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(client);
        break;
      case 3:
        if (SSL_version(client) == TLS1_2_VERSION) SSL_renegotiate(client);
        SSL_do_handshake(client);
        break;
      case 4:
        SSL_shutdown(client);
        break;
      case 5:
        if (!pending.empty()) {
          char& byte = pending[which % pending.size()];
          byte = static_cast<char>(byte ^ (1 << what / 10 % 8));
          tampered = true;
        }
        break;
      case 6:
        tampered = true;
        connection.give(input.take(which));
        break;
      case 7: {
        const std::string answer(std::size_t{which} * 256, 'a');
        if (!answer.empty()) connection.write(answer);
        break;
      }
      case 8:
        connection.layer().rest();
        connection.layer().hasInput(connection.socket());
        break;
      default:
        connection.clientRead();
        break;
    }
    // In two pieces; the socket has room for what one step makes.
    const std::size_t cut = pending.empty() ? 0 : which % pending.size();
    connection.give(std::string_view(pending).substr(0, cut));
    status = readAll(connection, got, 1 + std::size_t{shape} * 64);
    connection.give(std::string_view(pending).substr(cut));
    status = readAll(connection, got, 64 * 1024);
  }
  require(sent.starts_with(got), "what was sent, and in order");
  if (status == Status::End) require(tampered || got == sent, "all of it before its end");
  if ((shape & 2) != 0) connection.layer().sayEnd(connection.socket());
}

int run(std::string_view bytes) {
  static const bool kRepeats = (makeRandomnessRepeat(), true);
  require(kRepeats, "numbers that repeat");
  static test::Thread thread;
  thread.buffers().recordsPerKey = 16;
  static const std::shared_ptr<ServerContext> kServer = test::makeServer(test::serverConfig());
  randomState = 1;
  const std::string ja4 =
      ja4Of({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
  require(ja4.empty() || ja4.size() == 36, "a fingerprint of its one size");
  FuzzInput input(bytes);
  const std::uint8_t side = input.byte();
  if (side % 2 == 1) {
    talk(thread, kServer, input);
  } else if (side == 0) {
    speak(thread, kServer, input);
  } else {
    answer(thread, input);
  }
  require(thread.pool().bytesInUse() == 0, "all blocks given back");
  require(thread.counters().tlsConnections.get() == 0, "no connection counted");
  return 0;
}

}  // namespace
}  // namespace tidegate::tls

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return tidegate::tls::run({reinterpret_cast<const char*>(data), size});
}
