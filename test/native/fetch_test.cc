// Fetches through a whole engine: the test is the client, the origin and the policy worker, and
// ends each of them at the worst moments. Sanitizers see the core's side of it here.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "proxy/engine.h"
#include "snapshot_sample.h"

namespace tidegate {
namespace {

using namespace std::chrono_literals;

constexpr int kPatienceMillis = 10'000;

// One connection, blocking but for its patience.
class Wire {
 public:
  explicit Wire(int fd) : fd_(fd) {}
  Wire(Wire&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Wire& operator=(Wire&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Wire() { close(); }

  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  // All that comes until `text` is in it; without it, until the peer ends.
  std::string until(std::string_view text = "\n\n never") const {
    std::string all;
    pollfd poll{fd_, POLLIN, 0};
    while (all.find(text) == std::string::npos && ::poll(&poll, 1, kPatienceMillis) > 0) {
      char chunk[4096];
      const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
      if (n <= 0) return all + "<end>";
      all.append(chunk, static_cast<std::size_t>(n));
    }
    return all;
  }

  void reset() {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

class Origin {
 public:
  Origin() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), length) == 0 && listen(fd_, 512) == 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Origin() { close(fd_); }

  const std::string& address() const { return address_; }

  // Not one within the time: a broken wire.
  Wire accept(int millis = kPatienceMillis) const {
    pollfd poll{fd_, POLLIN, 0};
    return Wire(::poll(&poll, 1, millis) > 0 ? ::accept(fd_, nullptr, nullptr) : -1);
  }

 private:
  int fd_;
  std::string address_;
};

class NoBell final : public Bell {
 public:
  void ring() override {}
};

struct Message {
  std::uint32_t elements = 0;
  std::uint64_t index = 0;
  std::uint64_t generation = 0;
  std::uint64_t number = 0;  // of a fetch's reply
  std::uint64_t status = 0;  // of a response
  std::string reason;        // of a failure
  std::string body;

  bool asks() const { return elements == 3; }
  bool cancels() const { return elements == 2; }
  std::string call() const {
    return std::to_string(index) + ", " + std::to_string(generation) + ", ";
  }
};

Message readMessage(std::span<const std::uint8_t> bytes) {
  Message message;
  MsgpackReader reader(bytes);
  CHECK(reader.array(message.elements));
  CHECK(reader.unsignedInteger(message.index) && reader.unsignedInteger(message.generation));
  if (message.elements < 6) return message;
  CHECK(reader.nil() && reader.unsignedInteger(message.number));
  std::string_view text;
  if (message.elements == 6) {
    CHECK(reader.text(text));
    message.reason = text;
    return message;
  }
  std::uint32_t fields = 0;
  CHECK(reader.unsignedInteger(message.status) && reader.array(fields));
  for (std::uint32_t i = 0; i < fields; ++i) CHECK(reader.text(text));
  CHECK(reader.binary(text));
  message.body = text;
  return message;
}

class Fixture {
 public:
  Fixture() {
    EngineOptions options;
    options.policyWorkers = 1;
    options.limitCounters = 1024;
    auto started = Engine::start(options);
    REQUIRE(started.ok());
    engine = std::move(started.value());
    const auto bound = engine->apply(test::encodeJson(R"({
      "version": 1,
      "accessLog": {"format": "off"},
      "listeners": [{"name": "public", "bind": "127.0.0.1:0"}],
      "upstreams": [{"name": "origin", "fetchSlot": 3, "endpoints": [{"address": "o", "connectTo": ")" +
                                                      origin.address() + R"("}]}],
      "chains": [{"id": 1, "timeout": 5000, "onFailure": "deny", "policies": ["p"], "inputs": []}],
      "routes": [{"match": {"name": "all"}, "chain": 0, "upstream": 0}]
    })"));
    REQUIRE(bound.ok());
    const std::string& address = bound.value()[0].address;
    port_ = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    openWorker();
  }

  void openWorker() {
    worker = engine->openPolicyPort(0, std::make_shared<NoBell>());
    REQUIRE(worker != nullptr);
  }

  // A client whose request the worker is asked about.
  Wire connect() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port_);
    CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    Wire wire(fd);
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    return wire;
  }

  // What has come for the worker; waits for something unless told otherwise.
  std::vector<Message> take(bool wait = true) const {
    std::vector<std::byte> batch(Channel::kLargestMessage + 4);
    std::vector<Message> messages;
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMillis);
    do {
      const std::size_t used = worker->take(0, batch);
      for (std::size_t at = 0; at < used;) {
        std::uint32_t length = 0;
        std::memcpy(&length, batch.data() + at, 4);
        messages.push_back(
            readMessage({reinterpret_cast<const std::uint8_t*>(batch.data()) + at + 4, length}));
        at += 4 + length;
      }
      if (messages.empty() && wait) std::this_thread::sleep_for(1ms);
    } while (messages.empty() && wait && std::chrono::steady_clock::now() < until);
    return messages;
  }

  Message takeOne() const {
    const std::vector<Message> messages = take();
    CHECK_EQ(messages.size(), 1);
    return messages.empty() ? Message{} : messages[0];
  }

  void give(const std::string& json) const {
    const std::vector<std::uint8_t> message = test::encodeJson(json);
    const auto length = static_cast<std::uint32_t>(message.size());
    std::vector<std::byte> batch(4 + message.size());
    std::memcpy(batch.data(), &length, 4);
    std::memcpy(batch.data() + 4, message.data(), message.size());
    while (worker->give(0, batch) != batch.size()) std::this_thread::sleep_for(1ms);
  }

  void begin(const Message& asked, int number, const std::string& method = "GET",
             const std::string& body = "null", const std::string& timeout = "null") const {
    give("[" + asked.call() + "5, " + std::to_string(number) + R"(, "origin", ")" + method +
         R"(", "/a", "b=1", ["x-a", "1"], )" + body + ", " + timeout + "]");
  }

  void answer(const Message& asked) const {
    give("[" + asked.call() + R"(1, [null, [], 0, 0, [], []], 200, [], "done"])");
  }

  std::uint64_t active() const { return engine->stats(0).counters.exchangesActive.get(); }

  // Every exchange has ended.
  bool quiet() const {
    for (int i = 0; i < kPatienceMillis && active() != 0; ++i) std::this_thread::sleep_for(1ms);
    return active() == 0;
  }

  Origin origin;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<PolicyPort> worker;

 private:
  std::uint16_t port_ = 0;
};

TEST("a fetch goes to the origin and comes back to the worker, and the client gets the answer") {
  Fixture f;
  const Wire client = f.connect();
  const Message asked = f.takeOne();
  REQUIRE(asked.asks());
  f.begin(asked, 1, "POST", R"("hello")");
  const Wire origin = f.origin.accept();
  const std::string request = origin.until("hello");
  CHECK(request.starts_with("POST /a?b=1 HTTP/1.1\r\nHost: o\r\n"));
  CHECK(request.find("x-a: 1\r\n") != std::string::npos);
  CHECK(request.find("Content-Length: 5\r\n") != std::string::npos);
  CHECK(request.find("X-Forwarded") == std::string::npos);
  origin.send(
      "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n");
  std::this_thread::sleep_for(5ms);
  origin.send("\r\n3\r\nabc\r\n");
  std::this_thread::sleep_for(5ms);
  origin.send("2\r\nde\r\n0\r\n\r\n");
  const Message reply = f.takeOne();
  CHECK_EQ(reply.number, 1);
  CHECK_EQ(reply.status, 201);
  CHECK_EQ(reply.body, "abcde");
  // Over the same connection.
  f.begin(asked, 2, "HEAD");
  CHECK(origin.until("\r\n\r\n").starts_with("HEAD /a?b=1 HTTP/1.1\r\n"));
  origin.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
  CHECK_EQ(f.takeOne().status, 200);
  f.answer(asked);
  CHECK(client.until("done").find("200 OK") != std::string::npos);
  CHECK(f.quiet());
}

TEST("whatever ends the call breaks its fetches off, and the origin sees it") {
  using End = void (*)(Fixture&, Wire& client, const Message& asked);
  const std::vector<End> ends = {
      [](Fixture&, Wire& client, const Message&) { client.reset(); },
      [](Fixture& f, Wire&, const Message& asked) { f.answer(asked); },
      [](Fixture& f, Wire&, const Message&) { f.worker->close(); },
      [](Fixture& f, Wire&, const Message&) { f.openWorker(); },
      [](Fixture& f, Wire&, const Message& asked) { f.give("[" + asked.call() + "5, 3, 1]"); },
      [](Fixture& f, Wire&, const Message&) { f.engine->stop(); },
  };
  for (const End& end : ends) {
    Fixture f;
    Wire client = f.connect();
    const Message asked = f.takeOne();
    f.begin(asked, 1);
    f.begin(asked, 2);
    const Wire first = f.origin.accept();
    const Wire second = f.origin.accept();
    CHECK(first.until("\r\n\r\n").starts_with("GET"));
    // In the middle of a response.
    second.until("\r\n\r\n");
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    std::this_thread::sleep_for(5ms);
    end(f, client, asked);
    CHECK_EQ(first.until(), "<end>");
    CHECK_EQ(second.until(), "<end>");
    CHECK(f.quiet());
  }
}

TEST("what cannot be had is told by its reason") {
  Fixture f;
  const Wire client = f.connect();
  const Message asked = f.takeOne();
  const auto failed = [&](int number, std::string_view response) {
    f.begin(asked, number);
    const Wire origin = f.origin.accept();
    origin.until("\r\n\r\n");
    origin.send(response);
    return f.takeOne().reason;
  };
  CHECK_EQ(failed(1, "HTTP/1.1 200 OK\r\nContent-Length: 131073\r\n\r\n"), "fetch_too_large");
  CHECK_EQ(failed(2, "HTTP/1.1 200 OK\r\n\r\n" + std::string(131073, 'x')), "fetch_too_large");
  CHECK_EQ(failed(3, "nonsense\r\n\r\n"), "upstream_bad_response");
  CHECK_EQ(
      failed(4, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
      "upgrade_refused");
  f.begin(asked, 5, "POST");
  f.origin.accept();
  CHECK_EQ(f.takeOne().reason, "upstream_closed");
  f.begin(asked, 6, "GET", "null", "20");
  const Wire slow = f.origin.accept();
  CHECK_EQ(f.takeOne().reason, "request_timeout");
  CHECK(slow.until("<end>").ends_with("<end>"));
  f.begin(asked, 7);
  Wire whole = f.origin.accept();
  whole.until("\r\n\r\n");
  whole.send("HTTP/1.1 200 OK\r\n\r\n" + std::string(131072, 'x'));
  whole.close();
  CHECK_EQ(f.takeOne().body.size(), 131072);
  f.answer(asked);
  client.until("done");
  CHECK(f.quiet());
}

// An origin with a mind of its own, until it is told to end.
void misbehave(const Origin& origin, const std::atomic<bool>& over) {
  std::mt19937 random(7);
  std::vector<Wire> open;
  while (!over) {
    Wire wire = origin.accept(2);
    switch (random() % 6) {
      case 0:
        wire.reset();
        break;
      case 1:
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        break;
      case 2:
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + std::string(100000, 'x'));
        break;
      case 3:
        wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(150000, 'x'));
        break;
      default:
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        break;
    }
    open.push_back(std::move(wire));
    if (open.size() > 40) open.erase(open.begin(), open.begin() + 20);
  }
}

TEST("clients, origins and a worker that come and go at random leave nothing behind") {
  Fixture f;
  std::atomic<bool> over{false};
  std::thread origin([&] { misbehave(f.origin, over); });
  std::mt19937 random(42);
  std::vector<Wire> clients;
  std::vector<Message> asked;
  int number = 0;
  for (int step = 0; step < 1500; ++step) {
    if (clients.size() < 12) clients.push_back(f.connect());
    for (const Message& message : f.take(false)) {
      if (message.asks()) asked.push_back(message);
    }
    if (!asked.empty()) {
      const Message& one = asked[random() % asked.size()];
      switch (random() % 8) {
        case 0:
          f.give("[" + one.call() + "5, " + std::to_string(number) + "]");
          break;
        case 1:
          f.answer(one);
          asked.erase(asked.begin() + (&one - asked.data()));
          break;
        default:
          f.begin(one, ++number);
          break;
      }
    }
    if (random() % 10 == 0) {
      Wire& client = clients[random() % clients.size()];
      client.reset();
      std::swap(client, clients.back());
      clients.pop_back();
    }
    if (random() % 300 == 0) {
      f.openWorker();
      asked.clear();
    }
    if (asked.size() > 30) asked.erase(asked.begin(), asked.begin() + 20);
    if (step % 16 == 0) std::this_thread::sleep_for(1ms);
  }
  for (Wire& client : clients) client.reset();
  f.worker->close();
  CHECK(f.quiet());
  CHECK_EQ(f.engine->stats(0).slot(3).active.get(), 0);
  CHECK(f.engine->stats(0).counters.policyFetches.get() > 100);
  over = true;
  origin.join();
  f.engine->stop();
}

}  // namespace
}  // namespace tidegate
