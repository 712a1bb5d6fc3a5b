// Order of this file: asking, sending, receiving, fetches, the ends of a call.
#include "policy/calls.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "policy/descriptor.h"

namespace tidegate {

namespace {

// Verdicts of one worker that are handed out before others have their turn.
constexpr std::size_t kVerdictsPerTurn = 256;

}  // namespace

PolicyCalls::PolicyCalls(EventLoop& loop, ThreadCounters& counters)
    : loop_(loop), counters_(counters) {}

PolicyCalls::~PolicyCalls() { close(); }

PolicyCallId PolicyCalls::ask(PolicyWaiter& waiter, std::uint64_t timeoutMillis) {
  if (free_.empty()) {
    const auto index = static_cast<std::uint32_t>(calls_.size());
    calls_.emplace_back(*this, index);
    free_.push_back(index);
  }
  Call& call = calls_[free_.back()];
  free_.pop_back();
  call.waiter = &waiter;
  // Those that wait already go first.
  const Sent sent = waiting_.empty() ? send(call) : Sent::NoRoom;
  if (sent == Sent::TooLarge) {
    release(call);
    return {};
  }
  if (sent == Sent::NoRoom) waiting_.pushBack(&call);
  loop_.timers().schedule(call.timer, loop_.nowMillis() + timeoutMillis + kGraceMillis);
  counters_.policyRequests.add();
  return call.id;
}

void PolicyCalls::cancel(PolicyCallId id) {
  Call& call = calls_[id.index];
  assert(call.waiter != nullptr && call.id.generation == id.generation);
  if (call.worker != kUnsent) {
    Worker& worker = workers_[call.worker];
    std::array<std::byte, kMaxCancelBytes> message;
    const std::size_t size = writeCancel(id.index, id.generation, message);
    if (worker.channel != nullptr && worker.channel->client().send({message.data(), size}))
      worker.unflushed = true;
  }
  release(call);
}

// Sending

PolicyCalls::Sent PolicyCalls::send(Call& call) {
  Worker* worker = leastLoaded();
  if (worker == nullptr) return Sent::NoRoom;
  if (scratch_.empty()) scratch_.resize(Channel::kLargestMessage);
  const std::size_t size = call.waiter->describe(call.id, scratch_);
  if (size == 0) return Sent::TooLarge;
  bool anyFull = false;
  while (worker != nullptr && !worker->channel->client().send({scratch_.data(), size})) {
    worker->full = anyFull = true;
    worker = leastLoaded();
  }
  if (anyFull) {
    for (Worker& each : workers_) each.full = false;
  }
  if (worker == nullptr) return Sent::NoRoom;
  worker->thread->load.fetch_add(1, std::memory_order_relaxed);
  ++worker->inHands;
  worker->unflushed = true;
  call.worker = static_cast<std::uint32_t>(worker - workers_.data());
  return Sent::Yes;
}

PolicyCalls::Worker* PolicyCalls::leastLoaded() {
  Worker* best = nullptr;
  std::uint32_t least = ~std::uint32_t{0};
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const std::size_t index = (nextWorker_ + i) % workers_.size();
    Worker& worker = workers_[index];
    if (worker.channel == nullptr || worker.full) continue;
    if (!replies_.empty() && owesReplies(static_cast<std::uint32_t>(index))) continue;
    const std::uint32_t load = worker.thread->load.load(std::memory_order_relaxed);
    if (load < least) {
      least = load;
      best = &worker;
    }
  }
  // So that workers with the same load take turns.
  if (best != nullptr)
    nextWorker_ = (static_cast<std::size_t>(best - workers_.data()) + 1) % workers_.size();
  return best;
}

void PolicyCalls::sendWaiting() {
  while (Call* const call = waiting_.front()) {
    switch (send(*call)) {
      case Sent::Yes:
        call->ListNode<WaitingLink>::unlink();
        break;
      case Sent::NoRoom:
        return;
      case Sent::TooLarge:
        release(*call).onNoVerdict(Reason::PolicyFailed);
        break;
    }
  }
}

void PolicyCalls::flush() {
  for (Worker& worker : workers_) {
    if (!std::exchange(worker.unflushed, false) || worker.channel == nullptr) continue;
    worker.channel->client().flush();
  }
}

// Receiving

bool PolicyCalls::receive() {
  bool any = false;
  for (std::uint32_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].channel == nullptr) continue;
    any = receiveFrom(i) || any;
  }
  if (!replies_.empty()) sendReplies();
  if (!waiting_.empty()) sendWaiting();
  return any;
}

bool PolicyCalls::receiveFrom(std::uint32_t worker) {
  // Kept by itself: a waiter may ask again, and a worker be replaced between two turns only.
  const std::shared_ptr<Channel> channel = workers_[worker].channel;
  const std::size_t count = channel->client().receive(
      [&](std::span<const std::byte> message) { handOut(worker, message); }, kVerdictsPerTurn);
  if (const std::uint32_t stalls = workers_[worker].thread->takeStalls(); stalls > 0)
    counters_.policyStalls.add(stalls);
  if (channel->client().serverGone()) {
    lose(worker);
    return true;
  }
  return count > 0;
}

void PolicyCalls::handOut(std::uint32_t workerIndex, std::span<const std::byte> message) {
  const std::span<const std::uint8_t> asIs(reinterpret_cast<const std::uint8_t*>(message.data()),
                                           message.size());
  if (isFetchMessage(asIs)) {
    handOutFetch(workerIndex, asIs);
    return;
  }
  Worker& worker = workers_[workerIndex];
  if (worker.inHands > 0) {
    --worker.inHands;
    worker.thread->load.fetch_sub(1, std::memory_order_relaxed);
  }
  const Result<Verdict, VerdictError> verdict = decoder_.decode(asIs);
  if (!verdict) {
    counters_.policyBadVerdicts.add();
    // One that does not even say which call it is for leaves that to its time limit.
    const VerdictError& error = verdict.error();
    Call* const call = error.named ? callOf({error.index, error.generation}, workerIndex) : nullptr;
    if (call != nullptr) release(*call).onNoVerdict(Reason::PolicyFailed);
    return;
  }
  Call* const call = callOf({verdict->index, verdict->generation}, workerIndex);
  if (call == nullptr) {
    counters_.policyLateVerdicts.add();
    return;
  }
  release(*call).onVerdict(*verdict, asIs);
}

PolicyCalls::Call* PolicyCalls::callOf(PolicyCallId id, std::uint32_t worker) {
  if (id.index >= calls_.size()) return nullptr;
  Call& call = calls_[id.index];
  const bool same =
      call.waiter != nullptr && call.id.generation == id.generation && call.worker == worker;
  return same ? &call : nullptr;
}

bool PolicyCalls::prepareToSleep() {
  return std::ranges::all_of(workers_, [](const Worker& worker) {
    return worker.channel == nullptr || worker.channel->client().trySleep();
  });
}

// Fetches

void PolicyCalls::handOutFetch(std::uint32_t worker, std::span<const std::uint8_t> message) {
  const Result<FetchMessage, VerdictError> fetch = decodeFetch(message);
  const PolicyCallId id = fetch ? PolicyCallId{fetch->index, fetch->generation}
                                : PolicyCallId{fetch.error().index, fetch.error().generation};
  Call* const call = fetch || fetch.error().named ? callOf(id, worker) : nullptr;
  if (!fetch || (call != nullptr && !fetch->takenBack && !mayBegin(*call, fetch->number))) {
    counters_.policyBadVerdicts.add();
    if (call != nullptr) release(*call).onNoVerdict(Reason::PolicyFailed);
    return;
  }
  // Of a call that has ended; its worker hears of that, if it has not already.
  if (call == nullptr) return;
  if (fetch->takenBack) {
    takeBack(*call, fetch->number);
    return;
  }
  PolicyFetch& begun = call->waiter->makeFetch();
  begun.id_ = {id.index, id.generation, fetch->number};
  call->fetches.pushBack(&begun);
  ++call->fetchCount;
  ++call->fetchesBegun;
  counters_.policyFetches.add();
  begun.begin(*fetch);
}

// What our own side of the worker takes care of: it waits, and does not use a number twice.
bool PolicyCalls::mayBegin(Call& call, std::uint32_t number) {
  if (call.fetchCount == kMaxFetchesAtOnce || call.fetchesBegun == kMaxFetches) return false;
  for (PolicyFetch* each = call.fetches.front(); each != nullptr; each = call.fetches.after(each)) {
    if (each->id_.number == number) return false;
  }
  return true;
}

void PolicyCalls::takeBack(Call& call, std::uint32_t number) {
  for (PolicyFetch* each = call.fetches.front(); each != nullptr; each = call.fetches.after(each)) {
    if (each->id_.number != number) continue;
    forget(call, *each);
    each->onUnwanted();
    return;
  }
}

void PolicyCalls::reply(PolicyFetch& fetch) {
  const Call& call = calls_[fetch.id_.index];
  if (owesReplies(call.worker) || !sendReply(fetch)) replies_.pushBack(&fetch);
}

// False when there is no room.
bool PolicyCalls::sendReply(PolicyFetch& fetch) {
  Call& call = calls_[fetch.id_.index];
  Worker& worker = workers_[call.worker];
  if (scratch_.empty()) scratch_.resize(Channel::kLargestMessage);
  std::size_t size = fetch.describe(fetch.id_, scratch_);
  if (size == 0) size = writeFetchFailure(fetch.id_, Reason::FetchTooLarge, scratch_);
  if (!worker.channel->client().send({scratch_.data(), size})) return false;
  worker.unflushed = true;
  forget(call, fetch);
  fetch.onReplied();
  return true;
}

void PolicyCalls::sendReplies() {
  for (PolicyFetch* each = replies_.front(); each != nullptr;) {
    PolicyFetch& fetch = *each;
    each = replies_.after(each);
    Worker& worker = workers_[calls_[fetch.id_.index].worker];
    if (!worker.full) worker.full = !sendReply(fetch);
  }
  for (Worker& worker : workers_) worker.full = false;
}

bool PolicyCalls::owesReplies(std::uint32_t worker) {
  for (PolicyFetch* each = replies_.front(); each != nullptr; each = replies_.after(each)) {
    if (calls_[each->id_.index].worker == worker) return true;
  }
  return false;
}

void PolicyCalls::forget(Call& call, PolicyFetch& fetch) {
  fetch.ListNode<FetchOfCall>::unlink();
  fetch.ListNode<FetchReply>::unlink();
  --call.fetchCount;
}

// The ends

void PolicyCalls::setWorker(std::size_t worker, std::shared_ptr<Channel> channel,
                            std::shared_ptr<WorkerThread> thread) {
  if (worker >= workers_.size()) workers_.resize(worker + 1);
  lose(static_cast<std::uint32_t>(worker));
  workers_[worker].channel = std::move(channel);
  workers_[worker].thread = std::move(thread);
  sendWaiting();
}

void PolicyCalls::lose(std::uint32_t index) {
  Worker worker = std::exchange(workers_[index], {});
  if (worker.channel == nullptr) return;
  worker.channel->client().close();
  // By place: the end of one call may begin another.
  std::size_t count = calls_.size();
  while (count-- > 0) {
    Call& call = calls_[count];
    if (call.waiter != nullptr && call.worker == index)
      release(call).onNoVerdict(Reason::PolicyWorkerLost);
  }
}

void PolicyCalls::expire(Call& call) {
  const Reason reason = call.worker == kUnsent ? Reason::PolicyUnavailable : Reason::PolicyTimeout;
  release(call).onNoVerdict(reason);
  loop_.flushNow();
}

PolicyWaiter& PolicyCalls::release(Call& call) {
  call.timer.unlink();
  call.ListNode<WaitingLink>::unlink();
  while (PolicyFetch* const fetch = call.fetches.front()) {
    forget(call, *fetch);
    fetch->onUnwanted();
  }
  call.fetchesBegun = 0;
  ++call.id.generation;
  call.worker = kUnsent;
  free_.push_back(call.id.index);
  return *std::exchange(call.waiter, nullptr);
}

void PolicyCalls::close() {
  for (Call& call : calls_) {
    if (call.waiter != nullptr) release(call);
  }
  for (Worker& worker : workers_) {
    if (worker.channel != nullptr) worker.channel->client().close();
  }
  workers_.clear();
}

}  // namespace tidegate
