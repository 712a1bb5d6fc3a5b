// Order of this file: listening ports, birth and end of the thread, messages, housekeeping.
#include "proxy/io_thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "base/allocation_count.h"
#include "io/file_limit.h"
#include "proxy/first_reads.h"

namespace tidegate {

namespace {

using http1::ServerConnection;

// Connections accepted before others have their turn.
constexpr int kAcceptsPerTurn = 64;

// What is taken at most of a queue that others may go on filling.
constexpr int kAcceptsAtRetirement = 8 * 1024;

// How soon accepting is tried again after a limit of connections or files stopped it.
constexpr std::uint64_t kAcceptRetryMillis = 20;

constexpr std::uint64_t kHousekeepingMillis = 1'000;

// Memory that is given back to the system before others have their turn, and how soon more of it
// is: unmapping half a mebibyte takes some 50 µs.
constexpr std::size_t kReclaimBytes = 512 * 1024;
constexpr std::uint64_t kReclaimMillis = 2;

http1::ServerSettings serverSettings(const ListenerConfig& config) {
  http1::ServerSettings settings;
  settings.head = {config.requestLineBytes, config.headerBytes, config.headerCount};
  settings.bodyBytes = config.bodyBytes;
  settings.headTimeout = config.headTimeout;
  settings.bodyTimeout = config.bodyTimeout;
  settings.idleTimeout = config.idleTimeout;
  settings.writeTimeout = config.writeTimeout;
  settings.maxRequests = config.maxRequests;
  settings.http1 = config.http1;
  settings.http2 = config.http2;
  settings.streams = config.streams;
  return settings;
}

PoolSettings poolSettings(const UpstreamConfig& config) {
  PoolSettings settings;
  settings.responseLimits = {config.responseHeaderBytes, config.responseHeaderBytes,
                             config.responseHeaderCount};
  settings.connectTimeout = config.connectTimeout;
  settings.idleTimeout = config.poolIdleTimeout;
  settings.maxAge = config.poolMaxAge;
  settings.maxRequests = config.poolMaxRequests;
  settings.maxIdle = config.poolMaxIdle;
  settings.maxStreams = config.poolMaxStreams;
  settings.pingInterval = config.poolPingInterval;
  settings.pingTimeout = config.poolPingTimeout;
  settings.passiveFailures = config.passiveFailures;
  settings.passiveDownFor = config.passiveDownFor;
  settings.tls = config.tls;
  return settings;
}

}  // namespace

// One listener of this thread: the accepting socket, the connections that came through it, and
// their requests.
class IoThread::Port final : public Pollable, public ServerHost {
 public:
  Port(IoThread& thread, NewListener listener)
      : thread_(thread),
        key_(std::move(listener.key)),
        file_(std::move(listener.file)),
        shared_(listener.shared) {}

  ~Port() {
    retry_.unlink();
    EventLoop::forget(*this);
  }

  const std::string& key() const { return key_; }
  bool retired() const { return !file_; }
  bool unused() const { return retired() && connections_.empty(); }

  // `index` in the snapshot's listeners. What begins from now on follows the new settings.
  void configure(const SnapshotRef& snapshot, std::uint32_t index) {
    snapshot_ = snapshot;
    index_ = index;
    const ListenerConfig& config = snapshot->tables().listeners[index];
    settings_ = serverSettings(config);
    tls_ = config.tls;
    handshakeTimeout_ = config.handshakeTimeout;
    maxHandshakes_ = config.handshakes;
  }

  bool listen() { return thread_.loop_.add(file_.get(), *this, shared_); }

  // Takes what already waits in the socket's queue, then closes it; its connections drain.
  void retire() {
    if (retired()) return;
    for (int i = 0; i < kAcceptsAtRetirement && acceptOne(); ++i) {
    }
    retry_.unlink();
    thread_.loop_.remove(file_.get());
    file_.reset();
    drainConnections();
  }

  void drainConnections() {
    forEach([](AcceptedConnection& c) { c.drain(); });
  }

  void closeConnections() {
    forEach([](AcceptedConnection& c) { c.closeNow(); });
  }

  // Room for another connection: go on accepting at once instead of at the next retry.
  void goOn() {
    if (paused_ && !retired()) thread_.loop_.goOnLater(*this);
  }

  // Pollable
  void onEvents(std::uint32_t) override { accept(); }
  void onReady() override { accept(); }

  // ServerHost
  ClientStreamEvents& onRequest(ClientStream& stream, RequestHead& head) override {
    Exchange& exchange = newExchange(stream);
    exchange.start(head);
    return exchange;
  }

  ClientStreamEvents& onRefused(ClientStream& stream, Protocol protocol, Reason reason) override {
    Exchange& exchange = newExchange(stream);
    exchange.startRefused(protocol == Protocol::Http2 ? 2 : 1, reason);
    return exchange;
  }

  void onProtocol(AcceptedConnection& from, Transport transport, const PeerInfo& peer,
                  Protocol protocol, const Received& received) override {
    from.ListNode<ConnectionLink>::unlink();
    if (protocol == Protocol::Http2) {
      takeOverHttp2(std::move(transport), peer, received);
      return;
    }
    ServerConnection* connection =
        thread_.connections_.create(thread_.services_.codec, *this, settings_, std::move(transport),
                                    peer, thread_.connections_);
    connections_.pushBack(connection);
    connection->takeOver(received);
    if (thread_.draining_) connection->drain();
    goOn();
  }

  void onClosed(AcceptedConnection& connection) override {
    connection.ListNode<ConnectionLink>::unlink();
    thread_.onConnectionGone();
  }

 private:
  template <typename F>
  void forEach(F&& f) {
    for (AcceptedConnection* c = connections_.front(); c != nullptr;) {
      AcceptedConnection* next = connections_.after(c);
      f(*c);
      c = next;
    }
  }

  void accept() {
    if (retired()) return;
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      if (!acceptOne()) return;
    }
    thread_.loop_.goOnLater(*this);
  }

  // False when nothing waits or nothing may be accepted now.
  bool acceptOne() {
    if (!mayHandshake() || !mayOpenFile(file_.get(), lastAccepted_) || !thread_.budget_.take()) {
      pause();
      return false;
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    FileHandle file(accept4(file_.get(), reinterpret_cast<sockaddr*>(&address), &length,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!file) {
      thread_.budget_.giveBack();
      return onAcceptError(errno);
    }
    paused_ = false;
    lastAccepted_ = file.get();
    begin(std::move(file),
          SocketAddress::fromNative(reinterpret_cast<const sockaddr*>(&address), length));
    return true;
  }

  bool onAcceptError(int error) {
    if (error == EAGAIN || error == EWOULDBLOCK) {
      paused_ = false;
      return false;
    }
    // A connection that was gone before it was accepted: the next one may be there.
    if (error == ECONNABORTED || error == EINTR || error == EPROTO) return true;
    thread_.stats_.counters.acceptErrors.add();
    pause();
    return false;
  }

  // Edge-triggered, the socket will not tell again of those that wait: a timer does.
  void pause() {
    if (!paused_) thread_.stats_.counters.acceptPauses.add();
    paused_ = true;
    if (!retired())
      thread_.loop_.timers().schedule(retry_, thread_.loop_.nowMillis() + kAcceptRetryMillis);
  }

  void begin(FileHandle file, const SocketAddress& peer) {
    thread_.stats_.counters.connectionsAccepted.add();
    const PeerInfo info{peer.ip(), peer.port(), peer.isUnix()};
    if (tls_ != nullptr) {
      beginTls(Socket(std::move(file)), info);
      return;
    }
    ServerConnection* connection =
        thread_.connections_.create(thread_.services_.codec, *this, settings_,
                                    Transport(Socket(std::move(file))), info, thread_.connections_);
    connections_.pushBack(connection);
    const bool readFirst = firstReads_.worthIt();
    const auto started = connection->start(readFirst);
    if (readFirst) firstReads_.note(started == ServerConnection::Start::Read);
    if (started != ServerConnection::Start::Failed && thread_.draining_) connection->drain();
  }

  bool mayHandshake() {
    return tls_ == nullptr || handshakes_.admits(maxHandshakes_, thread_.loop_.nowMillis());
  }

  void beginTls(Socket socket, const PeerInfo& peer) {
    handshakes_.makeRoom(maxHandshakes_);
    tls::Handshake* handshake =
        thread_.handshakes_.create(*this, handshakes_, std::move(socket), tls_, peer);
    if (handshake == nullptr) {
      thread_.onConnectionGone();
      return;
    }
    connections_.pushBack(handshake);
    handshake->start(handshakeTimeout_, !peer.isUnix);
  }

  void takeOverHttp2(Transport transport, const PeerInfo& peer, const Received& received) {
    thread_.stats_.counters.http2Connections.add();
    http2::ServerConnection* connection = thread_.http2_.connections.create(
        thread_.services_.http2, *this, settings_, std::move(transport), peer, thread_.http2_);
    connections_.pushBack(connection);
    connection->takeOver(received);
    if (thread_.draining_) connection->drain();
  }

  Exchange& newExchange(ClientStream& stream) {
    return *thread_.exchanges_.create(thread_.services_, snapshot_, index_, stream);
  }

  IoThread& thread_;
  const std::string key_;
  FileHandle file_;
  const bool shared_;
  bool paused_ = false;
  FirstReads firstReads_;
  int lastAccepted_ = 0;  // its number: how near the limit of open files is
  std::uint32_t index_ = 0;
  SnapshotRef snapshot_;
  http1::ServerSettings settings_;
  std::shared_ptr<const tls::ServerContext> tls_;  // nullptr: in the clear
  tls::HandshakeBound handshakes_;
  std::uint64_t handshakeTimeout_ = 0;
  std::uint64_t maxHandshakes_ = 0;
  IntrusiveList<AcceptedConnection, ConnectionLink> connections_;
  TimerFor<Port, &Port::accept> retry_{*this};
};

class IoThread::LoopBell final : public Bell {
 public:
  explicit LoopBell(EventLoop& loop) : loop_(&loop) {}

  void ring() override {
    const std::lock_guard lock(mutex_);
    if (loop_ != nullptr) loop_->wake();
  }

  // The loop is about to go.
  void close() {
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;
  }

 private:
  std::mutex mutex_;
  EventLoop* loop_;  // guarded by mutex_
};

// Birth and end

IoThread::IoThread(const Settings& settings, ConnectionBudget& budget, AccessLog& log,
                   CounterTable& limits)
    : settings_(settings),
      budget_(budget),
      bell_(std::make_shared<LoopBell>(loop_)),
      services_(settings.index, loop_, buffers_, stats_, log, limits, settings.replayBytes),
      handshakes_(services_.codec, services_.tls) {
  services_.exchanges = &exchanges_;
  memory_.add(buffers_);
  memory_.add(exchanges_.cells());
  memory_.add(connections_.cells());
  http2_.addTo(memory_);
  handshakes_.addTo(memory_);
  services_.addTo(memory_);
}

IoThread::~IoThread() {
  stop();
  static_cast<LoopBell&>(*bell_).close();
}

bool IoThread::start() {
  if (!loop_.valid()) return false;
  // Signals are the control thread's: this one inherits an empty set of deliverable ones.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return true;
}

void IoThread::stop() {
  if (!thread_.joinable()) return;
  post(Message(Message::Kind::Stop));
  thread_.join();
}

void IoThread::run() {
  pthread_setname_np(pthread_self(),
                     ("tidegate-io-" + std::to_string(settings_.index)).substr(0, 15).c_str());
  if (settings_.pinCpu >= 0) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<unsigned>(settings_.pinCpu), &cpus);
    // Advice: where the kernel refuses (a container's own set of CPUs), the thread runs unpinned.
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
  }
  loop_.timers().schedule(housekeeping_, loop_.nowMillis() + kHousekeepingMillis);
  for (;;) {
    const bool woken = loop_.turn(services_.policies.prepareToSleep() ? -1 : 0);
    stats_.counters.loopTurns.add();
    stats_.counters.heapAllocations.set(threadAllocations());
    if (woken && !handleMessages()) return;
    if (services_.policies.receive()) loop_.flushNow();
    loop_.flushTurn();
    services_.policies.flush();
  }
}

// Messages

void IoThread::post(Message message) {
  {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    ++posted_;
  }
  loop_.wake();
}

void IoThread::adopt(std::shared_ptr<const PublishedSnapshot> snapshot,
                     std::vector<NewListener> listeners) {
  Message message(Message::Kind::Adopt);
  message.snapshot = std::move(snapshot);
  message.listeners = std::move(listeners);
  post(std::move(message));
}

void IoThread::drain() { post(Message(Message::Kind::Drain)); }

void IoThread::setPolicyWorker(std::size_t worker, std::shared_ptr<Channel> channel,
                               std::shared_ptr<WorkerThread> workerThread) {
  Message message(Message::Kind::PolicyWorker);
  message.worker = worker;
  message.channel = std::move(channel);
  message.workerThread = std::move(workerThread);
  post(std::move(message));
}

void IoThread::purge(std::shared_ptr<const VerdictPurge> what,
                     std::shared_ptr<std::atomic<std::size_t>> purged) {
  Message message(Message::Kind::Purge);
  message.purge = std::move(what);
  message.purged = std::move(purged);
  post(std::move(message));
}

void IoThread::settle() {
  std::uint64_t target = 0;
  {
    const std::lock_guard lock(mutex_);
    target = posted_;
  }
  for (std::uint64_t seen = handled_.load(std::memory_order_acquire); seen < target;
       seen = handled_.load(std::memory_order_acquire)) {
    handled_.wait(seen, std::memory_order_acquire);
  }
}

bool IoThread::handleMessages() {
  std::vector<Message> messages;
  {
    const std::lock_guard lock(mutex_);
    messages.swap(messages_);
  }
  bool goOn = true;
  for (Message& message : messages) {
    switch (message.kind) {
      case Message::Kind::Adopt:
        handleAdopt(message);
        break;
      case Message::Kind::Drain:
        handleDrain();
        break;
      case Message::Kind::PolicyWorker:
        services_.policies.setWorker(message.worker, std::move(message.channel),
                                     std::move(message.workerThread));
        break;
      case Message::Kind::Purge:
        message.purged->fetch_add(handlePurge(*message.purge));
        break;
      case Message::Kind::Stop:
        handleStop();
        goOn = false;
        break;
    }
    loop_.flushNow();
    handled_.fetch_add(1, std::memory_order_release);
    handled_.notify_all();
  }
  return goOn;
}

void IoThread::handleAdopt(Message& message) {
  snapshot_ = SnapshotRef(std::make_unique<ThreadSnapshot>(
      std::move(message.snapshot), static_cast<std::uint32_t>(settings_.index)));
  configurePools();
  services_.decisions.retainChains(chainIds([](const PolicyChain&) { return true; }));
  for (NewListener& listener : message.listeners) {
    ports_.push_back(std::make_unique<Port>(*this, std::move(listener)));
    ports_.back()->configure(snapshot_, 0);
    ports_.back()->listen();
  }
  const std::vector<ListenerConfig>& listeners = snapshot_->tables().listeners;
  for (const auto& port : ports_) {
    if (port->retired()) continue;
    const auto found =
        std::find_if(listeners.begin(), listeners.end(),
                     [&](const ListenerConfig& c) { return listenerKey(c) == port->key(); });
    if (found == listeners.end()) {
      port->retire();
    } else {
      port->configure(snapshot_, static_cast<std::uint32_t>(found - listeners.begin()));
    }
  }
  stats_.counters.snapshotVersion.set(snapshot_->tables().version);
}

// Of the chains that `wanted` is true of, sorted.
template <typename Predicate>
std::vector<std::uint32_t> IoThread::chainIds(Predicate wanted) const {
  std::vector<std::uint32_t> ids;
  for (const PolicyChain& chain : snapshot_->tables().chains) {
    if (wanted(chain)) ids.push_back(chain.id);
  }
  std::ranges::sort(ids);
  return ids;
}

std::size_t IoThread::handlePurge(const VerdictPurge& what) {
  VerdictStore& verdicts = services_.verdicts;
  switch (what.by) {
    case VerdictPurge::By::Everything:
      return verdicts.clear();
    case VerdictPurge::By::Consumer:
      return verdicts.purgeConsumer(what.name);
    case VerdictPurge::By::Tag:
      return verdicts.purgeTag(what.name);
    case VerdictPurge::By::Policy:
      if (!snapshot_) return 0;
      return verdicts.purgeChains(chainIds([&](const PolicyChain& chain) {
        return std::ranges::find(chain.policies, what.name) != chain.policies.end();
      }));
  }
  return 0;
}

std::unique_ptr<EndpointPool> IoThread::makePool(UpstreamProtocol protocol,
                                                 std::shared_ptr<EndpointState> endpoint) {
  switch (protocol) {
    case UpstreamProtocol::Http2:
      return std::make_unique<Http2Pool>(services_.http2, services_.tls, std::move(endpoint),
                                         services_.http2Upstreams);
    case UpstreamProtocol::Auto:
      return std::make_unique<AutoPool>(services_.http2, services_.tls, std::move(endpoint),
                                        services_.http1Upstreams, services_.http2Upstreams,
                                        services_.autoUpstreams);
    case UpstreamProtocol::Http1:
      break;
  }
  return std::make_unique<Http1Pool>(services_.codec, services_.tls, std::move(endpoint),
                                     services_.http1Upstreams);
}

void IoThread::configurePools() {
  std::unordered_set<std::uint32_t> named;
  const PublishedSnapshot& published = snapshot_->published();
  for (std::size_t u = 0; u < published.endpoints.size(); ++u) {
    const UpstreamConfig& upstream = published.tables->upstreams[u];
    PoolSettings settings = poolSettings(upstream);
    for (std::size_t e = 0; e < published.endpoints[u].size(); ++e) {
      const std::shared_ptr<EndpointState>& state = published.endpoints[u][e];
      settings.serverName = upstream.endpoints[e].serverName;
      if (state->id >= services_.pools.size()) services_.pools.resize(state->id + 1);
      std::unique_ptr<EndpointPool>& pool = services_.pools[state->id];
      if (pool == nullptr) {
        pool = makePool(upstream.protocol, state);
      }
      pool->configure(settings);
      named.insert(state->id);
    }
  }
  for (std::uint32_t id = 0; id < services_.pools.size(); ++id) {
    if (services_.pools[id] != nullptr && !named.contains(id)) services_.pools[id]->retire();
  }
}

void IoThread::handleDrain() {
  draining_ = true;
  for (const auto& port : ports_) port->retire();
}

void IoThread::handleStop() {
  handleDrain();
  for (const auto& port : ports_) port->closeConnections();
  services_.policies.close();
  services_.decisions.close();
  for (const auto& pool : services_.pools) {
    if (pool != nullptr) pool->closeAll();
  }
  // One more turn gives the memory of all that was closed back.
  loop_.turn(0);
  ports_.clear();
  services_.pools.clear();
  snapshot_ = SnapshotRef();
}

void IoThread::onConnectionGone() {
  budget_.giveBack();
  for (const auto& port : ports_) port->goOn();
}

// Housekeeping

void IoThread::onHousekeeping() {
  loop_.timers().schedule(housekeeping_, loop_.nowMillis() + kHousekeepingMillis);
  removeUnused();
  stats_.counters.policyKept.set(services_.verdicts.count());
  stats_.counters.policyKeptBytes.set(services_.verdicts.bytes());
  if (settings_.index == 0) sweepLimits();
  memory_.age();
  onReclaim();
}

void IoThread::onReclaim() {
  if (memory_.reclaim(kReclaimBytes))
    loop_.timers().schedule(reclaiming_, loop_.nowMillis() + kReclaimMillis);
}

// One thread does it for all: the whole table once a minute, as CounterTable::sweep() asks for.
void IoThread::sweepLimits() {
  constexpr std::uint64_t kWholeTableMillis = 60'000;
  const CounterTable::Usage usage = services_.limits.usage();
  if (usage.used == 0) return;
  services_.limits.sweep({loop_.nowMicros() * 1000, loop_.wallMillis()},
                         usage.capacity * kHousekeepingMillis / kWholeTableMillis + 1);
}

void IoThread::removeUnused() {
  std::erase_if(ports_, [](const std::unique_ptr<Port>& port) { return port->unused(); });
  for (std::unique_ptr<EndpointPool>& pool : services_.pools) {
    if (pool != nullptr && pool->unused()) pool.reset();
  }
}

}  // namespace tidegate
