// Owns the I/O threads and turns an encoded snapshot into what they adopt. Everything that can fail
// is done before anything is published.
#include "proxy/engine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <utility>

#include "balance/balancer.h"
#include "base/clock.h"
#include "io/file_limit.h"
#include "io/socket.h"
#include "observe/access_log.h"
#include "policy/worker_watcher.h"
#include "proxy/io_thread.h"
#include "snapshot/decode.h"
#include "tls/client_context.h"
#include "tls/server_context.h"

namespace tidegate {

namespace {

void removeFile(const std::string& path) {
  if (!path.empty()) unlink(path.c_str());
}

std::size_t slotsOf(const Snapshot& snapshot) {
  std::uint32_t highest = 0;
  for (const RouteConfig& route : snapshot.routes) highest = std::max(highest, route.metricSlot);
  for (const AccessConfig& access : snapshot.access) highest = std::max(highest, access.metricSlot);
  for (const UpstreamConfig& upstream : snapshot.upstreams) {
    highest = std::max(highest, upstream.metricSlot);
    for (const EndpointConfig& endpoint : upstream.endpoints)
      highest = std::max(highest, endpoint.metricSlot);
  }
  return std::size_t{highest} + 1;
}

// Endpoints with different ones share no connection.
std::string tlsIdentity(const UpstreamConfig& upstream, const EndpointConfig& endpoint) {
  if (upstream.tls == nullptr) return {};
  return '\n' + endpoint.serverName + '\n' + upstream.tls->fingerprint();
}

// What stays the same over a reload keeps its state, and its connections.
std::string endpointKey(const UpstreamConfig& upstream, const EndpointConfig& endpoint) {
  constexpr std::array<const char*, 3> kProtocols = {"\nhttp1\n", "\nhttp2\n", "\nauto\n"};
  return upstream.name + kProtocols[static_cast<std::size_t>(upstream.protocol)] +
         endpoint.address + '\n' + endpoint.connectTo + tlsIdentity(upstream, endpoint);
}

EngineError invalid(std::string message) { return {"snapshot_invalid", std::move(message)}; }

}  // namespace

struct Engine::Impl {
  // A listener in force: its real address, and for Unix sockets the path to remove at the end.
  struct Bound {
    std::string address;
    std::string unixPath;
  };

  // Listening sockets for all threads, opened but not handed over yet. Of a configuration that is
  // refused in the end, no socket file stays.
  struct Opened {
    Opened() = default;
    Opened(Opened&& other) noexcept
        : byThread(std::move(other.byThread)), bound(std::exchange(other.bound, {})) {}
    Opened& operator=(Opened&&) = delete;
    ~Opened() {
      for (const auto& [key, listener] : bound) removeFile(listener.unixPath);
    }

    std::vector<std::vector<NewListener>> byThread;
    std::map<std::string, Bound> bound;  // empty once they were handed over
  };

  explicit Impl(const EngineOptions& options)
      : budget(options.maxConnections),
        log(options.ioThreads),
        limits(std::make_shared<CounterTable>(options.limitCounters)),
        policyWorkers(options.policyWorkers) {}

  Result<Opened, EngineError> openListeners(const Snapshot& snapshot);
  bool openOne(const ListenerConfig& config, Opened& opened, EngineError& error);
  Result<std::shared_ptr<const PublishedSnapshot>, EngineError> publishable(
      std::shared_ptr<const Snapshot> tables);
  void forgetListeners(const Snapshot& snapshot);
  void giveTicketKeys(const Snapshot& snapshot);
  void removeSocketFiles();

  ConnectionBudget budget;
  AccessLog log;
  const std::shared_ptr<CounterTable> limits;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::map<std::string, Bound> bound;  // by listenerKey()
  // By endpointKey().
  std::map<std::string, std::shared_ptr<EndpointState>> endpoints;
  std::uint32_t nextEndpointId = 0;
  // By the listener's name.
  std::map<std::string, std::shared_ptr<tls::TicketKeys>> ticketKeys;
  std::shared_ptr<const PublishedSnapshot> current;
  const std::size_t policyWorkers;
  const std::shared_ptr<WorkerWatcher> watcher = std::make_shared<WorkerWatcher>();
  bool draining = false;
  std::mutex portMutex;
  bool stopped = false;  // written under portMutex
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() { stop(); }

Result<std::unique_ptr<Engine>, EngineError> Engine::start(const EngineOptions& options) {
  raiseFileLimit();
  auto impl = std::make_unique<Impl>(options);
  for (std::uint32_t i = 0; i < options.ioThreads; ++i) {
    IoThread::Settings settings;
    settings.index = i;
    settings.replayBytes = options.replayBytes;
    if (!options.pinCpus.empty())
      settings.pinCpu = static_cast<int>(options.pinCpus[i % options.pinCpus.size()]);
    impl->threads.push_back(
        std::make_unique<IoThread>(settings, impl->budget, impl->log, *impl->limits));
    if (!impl->threads.back()->start()) {
      return Failure{EngineError{"thread_start_failed",
                                 "cannot create the event loop of I/O thread " + std::to_string(i) +
                                     ": raise the limit of open files or lower --io-threads"}};
    }
  }
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Result<std::vector<BoundListener>, EngineError> Engine::apply(
    std::span<const std::uint8_t> snapshot) {
  if (impl_->stopped || impl_->draining) return Failure{invalid("the engine is stopping")};
  auto decoded = decodeSnapshot(snapshot);
  if (!decoded) return Failure{invalid(decoded.error().message)};
  const std::shared_ptr<const Snapshot>& tables = decoded.value();

  auto published = impl_->publishable(tables);
  if (!published) return Failure{published.error()};
  for (const auto& thread : impl_->threads) {
    if (!thread->stats().ensureSlots(slotsOf(*tables)))
      return Failure{invalid("too many routes, upstreams and endpoints")};
  }
  auto opened = impl_->openListeners(*tables);
  if (!opened) return Failure{opened.error()};
  if (const std::string error = impl_->log.configure(tables->accessLog); !error.empty()) {
    return Failure{EngineError{"access_log_failed", error}};
  }

  // Nothing fails from here on.
  if (!tables->chains.empty()) impl_->watcher->start();
  impl_->bound.merge(std::exchange(opened->bound, {}));
  impl_->giveTicketKeys(*tables);
  impl_->current = published.value();
  for (std::size_t i = 0; i < impl_->threads.size(); ++i) {
    impl_->threads[i]->adopt(impl_->current, std::move(opened->byThread[i]));
  }
  for (const auto& thread : impl_->threads) thread->settle();
  impl_->forgetListeners(*tables);
  std::erase_if(impl_->endpoints, [](const auto& entry) { return entry.second.use_count() == 1; });

  std::vector<BoundListener> result;
  for (const ListenerConfig& listener : tables->listeners) {
    result.push_back(
        {listener.name, listener.bind, impl_->bound.at(listenerKey(listener)).address});
  }
  return result;
}

Result<std::shared_ptr<const PublishedSnapshot>, EngineError> Engine::Impl::publishable(
    std::shared_ptr<const Snapshot> tables) {
  auto published = std::make_shared<PublishedSnapshot>();
  for (const UpstreamConfig& upstream : tables->upstreams) {
    if (upstream.endpoints.size() > kMaxEndpoints) {
      return Failure{invalid("upstream " + upstream.name + " has more than " +
                             std::to_string(kMaxEndpoints) + " endpoints")};
    }
    auto& states = published->endpoints.emplace_back();
    for (const EndpointConfig& endpoint : upstream.endpoints) {
      const auto address = SocketAddress::parse(endpoint.connectTo);
      if (!address)
        return Failure{
            invalid("endpoint address " + endpoint.connectTo + " is not an address with a port")};
      std::shared_ptr<EndpointState>& state = endpoints[endpointKey(upstream, endpoint)];
      if (state == nullptr)
        state = std::make_shared<EndpointState>(nextEndpointId++, endpoint.address, *address);
      states.push_back(state);
    }
  }
  published->plans = Plans(*tables);
  published->tables = std::move(tables);
  return std::shared_ptr<const PublishedSnapshot>(std::move(published));
}

// Listeners that are there no more lose theirs.
void Engine::Impl::giveTicketKeys(const Snapshot& snapshot) {
  std::map<std::string, std::shared_ptr<tls::TicketKeys>> kept;
  for (const ListenerConfig& listener : snapshot.listeners) {
    if (listener.tls == nullptr) continue;
    std::shared_ptr<tls::TicketKeys>& keys = kept[listener.name];
    if (keys == nullptr) keys = std::move(ticketKeys[listener.name]);
    if (keys == nullptr) keys = std::make_shared<tls::TicketKeys>();
    listener.tls->useTicketKeys(keys);
  }
  ticketKeys = std::move(kept);
}

Result<Engine::Impl::Opened, EngineError> Engine::Impl::openListeners(const Snapshot& snapshot) {
  Opened opened;
  opened.byThread.resize(threads.size());
  for (const ListenerConfig& config : snapshot.listeners) {
    const std::string key = listenerKey(config);
    if (bound.contains(key)) continue;
    if (opened.bound.contains(key)) return Failure{invalid("two listeners bind " + config.bind)};
    EngineError error;
    if (!openOne(config, opened, error)) return Failure{error};
  }
  return opened;
}

bool Engine::Impl::openOne(const ListenerConfig& config, Opened& opened, EngineError& error) {
  const auto parsed = SocketAddress::parse(config.bind);
  if (!parsed) {
    error =
        invalid("listener " + config.name + ": " + config.bind + " is not an address with a port");
    return false;
  }
  SocketAddress address = *parsed;
  const auto failed = [&](const std::string& why) {
    error = {"bind_failed", "listener " + config.name + ": " + why};
    return false;
  };
  // A first socket that does not share its port finds out whether another process is on it; those
  // that share would silently take turns with it.
  ListenResult first = listenOn(address, false);
  if (!first.file) return failed(first.error);
  address = first.address;
  if (address.isUnix()) {
    for (std::size_t i = 0; i < threads.size(); ++i) {
      FileHandle file = first.file.duplicate();
      if (!file)
        return failed("cannot share " + address.toString() +
                      " between threads: too many open files");
      opened.byThread[i].push_back({listenerKey(config), std::move(file), true});
    }
  } else {
    first.file.reset();
    for (std::size_t i = 0; i < threads.size(); ++i) {
      ListenResult own = listenOn(address, true);
      if (!own.file) return failed(own.error);
      opened.byThread[i].push_back({listenerKey(config), std::move(own.file), false});
    }
  }
  opened.bound[listenerKey(config)] = {address.toString(), address.unixPath()};
  return true;
}

void Engine::Impl::forgetListeners(const Snapshot& snapshot) {
  std::erase_if(bound, [&](const auto& entry) {
    const bool named =
        std::any_of(snapshot.listeners.begin(), snapshot.listeners.end(),
                    [&](const ListenerConfig& c) { return listenerKey(c) == entry.first; });
    if (!named) removeFile(entry.second.unixPath);
    return !named;
  });
}

void Engine::Impl::removeSocketFiles() {
  for (const auto& [key, listener] : bound) removeFile(listener.unixPath);
  bound.clear();
}

void Engine::drain() {
  impl_->draining = true;
  for (const auto& thread : impl_->threads) thread->drain();
  for (const auto& thread : impl_->threads) thread->settle();
  impl_->removeSocketFiles();
}

bool Engine::drained() const { return impl_->budget.used.load(std::memory_order_relaxed) == 0; }

void Engine::stop() {
  {
    const std::lock_guard lock(impl_->portMutex);
    if (impl_->stopped) return;
    impl_->stopped = true;
  }
  for (const auto& thread : impl_->threads) thread->stop();
  impl_->watcher->stop();
  impl_->removeSocketFiles();
  impl_->log.stop();
}

std::unique_ptr<PolicyPort> Engine::openPolicyPort(std::size_t worker,
                                                   const std::shared_ptr<Bell>& bell) {
  const std::lock_guard lock(impl_->portMutex);
  if (impl_->stopped || worker >= impl_->policyWorkers) return nullptr;
  const std::shared_ptr<WorkerThread> workerThread = WorkerThread::ofCaller();
  std::vector<std::shared_ptr<Channel>> channels;
  for (const auto& thread : impl_->threads) {
    channels.push_back(std::make_shared<Channel>(thread->bell(), bell));
    thread->setPolicyWorker(worker, channels.back(), workerThread);
  }
  return std::make_unique<PolicyPort>(std::move(channels), workerThread, impl_->watcher);
}

std::size_t Engine::purgeVerdicts(VerdictPurge what) {
  if (impl_->stopped) return 0;
  const auto shared = std::make_shared<const VerdictPurge>(std::move(what));
  const auto purged = std::make_shared<std::atomic<std::size_t>>(0);
  for (const auto& thread : impl_->threads) thread->purge(shared, purged);
  for (const auto& thread : impl_->threads) thread->settle();
  return *purged;
}

const std::shared_ptr<CounterTable>& Engine::limits() const { return impl_->limits; }

std::string Engine::reopenLogs() { return impl_->log.reopen(); }

std::size_t Engine::threadCount() const { return impl_->threads.size(); }

ThreadStats& Engine::stats(std::size_t thread) { return impl_->threads[thread]->stats(); }

std::uint64_t Engine::accessLogDropped() const { return impl_->log.dropped(); }

std::vector<EndpointStatus> Engine::endpoints() const {
  std::vector<EndpointStatus> result;
  if (impl_->current == nullptr) return result;
  const Snapshot& tables = *impl_->current->tables;
  const std::uint64_t now = monotonicMillis();
  for (std::size_t u = 0; u < tables.upstreams.size(); ++u) {
    for (std::size_t e = 0; e < tables.upstreams[u].endpoints.size(); ++e) {
      const EndpointConfig& config = tables.upstreams[u].endpoints[e];
      const EndpointState& state = *impl_->current->endpoints[u][e];
      EndpointStatus status;
      status.upstream = tables.upstreams[u].name;
      status.address = config.address;
      status.up = !state.isDown();
      std::uint64_t active = 0;
      for (const auto& thread : impl_->threads)
        active += thread->stats().slot(config.metricSlot).active.get();
      status.active = static_cast<std::uint32_t>(active);
      const std::uint64_t until = state.downUntilMillis();
      status.downForMillis = until > now ? until - now : 0;
      result.push_back(std::move(status));
    }
  }
  return result;
}

}  // namespace tidegate
