// Order of this file: asking, the answer, the end of a question.
#include "policy/decisions.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tidegate {

std::size_t Question::describe(PolicyCallId id, std::span<std::byte> out) {
  return writeDescriptor(id.index, id.generation, inputCount_, inputs(), out);
}

// Somebody waits as long as the call is under way.
PolicyFetch& Question::makeFetch() {
  fetched_ = true;
  return waiters_.front()->makeFetch();
}

void Question::onVerdict(const Verdict& verdict, std::span<const std::uint8_t> bytes) {
  call_ = {};
  decisions_.answered(*this, verdict, bytes);
}

void Question::onNoVerdict(Reason reason) {
  call_ = {};
  decisions_.unanswered(*this, reason);
}

Decisions::Decisions(EventLoop& loop, BufferPool& pool, ThreadCounters& counters,
                     PolicyCalls& calls, VerdictStore& store)
    : loop_(loop), pool_(pool), counters_(counters), calls_(calls), store_(store) {}

Decisions::~Decisions() { close(); }

// Asking

Decisions::Asked Decisions::ask(DecisionWaiter& waiter, const ChainInputs& chain,
                                const InputSource& source, VerdictRef& verdict) {
  if (scratch_.empty()) scratch_.resize(Channel::kLargestMessage);
  const std::size_t size = writeInputs(chain.chain, chain.inputs, source, scratch_);
  if (size == 0) return Asked::TooLarge;
  const std::span<const std::byte> inputs(scratch_.data(), size);
  VerdictKey key{chain.chain, 0, inputs};
  VerdictRef stale;
  if (!unrepeatable_.contains(chain.chain)) {
    key = store_.keyOf(chain.chain, inputs);
    KeptLookup kept = store_.find(key, loop_.nowMillis());
    if (kept.fresh) {
      counters_.policyReplays.add();
      verdict = std::move(kept.verdict);
      return Asked::Replayed;
    }
    stale = std::move(kept.verdict);
  }
  const bool early = waiter.fetchesEarly();
  if (Question* const question = key.hash == 0 ? nullptr : openQuestion(key, early)) {
    waiter.question_ = question;
    question->waiters_.pushBack(&waiter);
    return Asked::Waiting;
  }
  Question& question =
      makeQuestion(chain.chain, chain.timeoutMillis, chain.inputs.size(), inputs, early);
  question.hash_ = key.hash;
  question.stale_ = std::move(stale);
  if (!begin(question)) return Asked::TooLarge;
  waiter.question_ = &question;
  question.waiters_.pushBack(&waiter);
  return Asked::Waiting;
}

Question& Decisions::makeQuestion(std::uint32_t chain, std::uint64_t timeoutMillis,
                                  std::size_t inputCount, std::span<const std::byte> inputs,
                                  bool early) {
  Question& question = *questions_.create(*this);
  question.inputs_ = pool_.acquire(inputs.size());
  std::memcpy(question.inputs_.data(), inputs.data(), inputs.size());
  question.inputBytes_ = inputs.size();
  question.inputCount_ = inputCount;
  question.timeoutMillis_ = timeoutMillis;
  question.chain_ = chain;
  question.early_ = early;
  return question;
}

// False, and the question is gone, when no worker can ever take it.
bool Decisions::begin(Question& question) {
  question.call_ = calls_.ask(question, question.timeoutMillis_);
  if (!question.call_) {
    drop(question);
    return false;
  }
  (question.hash_ != 0 ? open_[question.hash_ % kBuckets] : unshared_).pushBack(&question);
  return true;
}

Question* Decisions::openQuestion(const VerdictKey& key, bool early) {
  auto& bucket = open_[key.hash % kBuckets];
  Question* question = bucket.front();
  while (question != nullptr &&
         (question->hash_ != key.hash || question->early_ != early ||
          question->inputBytes_ != key.inputs.size() ||
          std::memcmp(question->inputs_.data(), key.inputs.data(), key.inputs.size()) != 0)) {
    question = bucket.after(question);
  }
  return question;
}

void Decisions::cancel(DecisionWaiter& waiter) {
  waiter.unlink();
  Question* const question = std::exchange(waiter.question_, nullptr);
  if (question == nullptr || !question->waiters_.empty()) return;
  calls_.cancel(question->call_);
  drop(*question);
}

// The answer

void Decisions::answered(Question& question, const Verdict& verdict,
                         std::span<const std::uint8_t> bytes) {
  if (verdict.kind == VerdictKind::Failed && question.stale_) {
    unanswered(question, Reason::PolicyFailed);
    return;
  }
  const VerdictCopy copy(verdict, bytes);
  const bool repeatable = verdict.replayMillis > 0 && verdict.kind != VerdictKind::Failed;
  // What an upstream says of a replay is for replays alone.
  const bool keeps = repeatable && !(question.early_ && question.fetched_);
  if (keeps) {
    // One that was asked while its chain gave verdicts for one request only has no key yet.
    const VerdictKey key =
        question.hash_ != 0 ? question.key() : store_.keyOf(question.chain_, question.inputs());
    store_.keep(key, copy, loop_.nowMillis());
    if (!unrepeatable_.empty()) unrepeatable_.erase(question.chain_);
  } else if (!repeatable && verdict.kind != VerdictKind::Failed) {
    unrepeatable_.insert(question.chain_);
  }
  question.unlink();
  VerdictRef shared = store_.hold(copy, pool_.acquire(copy.size()));
  DecisionWaiter* const first = question.waiters_.popFront();
  first->question_ = nullptr;
  Waiters rest;
  if (repeatable) {
    detach(question, rest);
    drop(question);
    first->onVerdict(shared, false);
    while (DecisionWaiter* const waiter = rest.popFront()) {
      counters_.policyReplays.add();
      waiter->onVerdict(shared, true);
    }
    return;
  }
  // It was for one of them: the others ask for themselves, one question each.
  while (DecisionWaiter* const waiter = question.waiters_.popFront()) {
    waiter->question_ = nullptr;
    Question& own = makeQuestion(question.chain_, question.timeoutMillis_, question.inputCount_,
                                 question.inputs(), question.early_);
    if (!begin(own)) {
      rest.pushBack(waiter);
      continue;
    }
    waiter->question_ = &own;
    own.waiters_.pushBack(waiter);
  }
  drop(question);
  first->onVerdict(std::move(shared), false);
  while (DecisionWaiter* const waiter = rest.popFront()) waiter->onNoVerdict(Reason::PolicyFailed);
}

void Decisions::unanswered(Question& question, Reason reason) {
  question.unlink();
  const VerdictRef stale = std::move(question.stale_);
  Waiters waiters;
  detach(question, waiters);
  drop(question);
  while (DecisionWaiter* const waiter = waiters.popFront()) {
    if (stale) {
      counters_.policyReplays.add();
      waiter->onVerdict(stale, true);
    } else {
      waiter->onNoVerdict(reason);
    }
  }
}

// The end of a question

// Its waiters can be cancelled from here on by leaving the list alone.
void Decisions::detach(Question& question, Waiters& waiters) {
  for (DecisionWaiter* each = question.waiters_.front(); each != nullptr;
       each = question.waiters_.after(each)) {
    each->question_ = nullptr;
  }
  waiters.splice(question.waiters_);
}

void Decisions::drop(Question& question) {
  question.unlink();
  questions_.destroy(&question);
}

void Decisions::retainChains(std::span<const std::uint32_t> chains) {
  store_.retainChains(chains);
  std::erase_if(unrepeatable_, [&](std::uint32_t chain) {
    return !std::binary_search(chains.begin(), chains.end(), chain);
  });
}

void Decisions::close() {
  while (Question* const question = unshared_.popFront()) drop(*question);
  for (auto& bucket : open_) {
    while (Question* const question = bucket.popFront()) drop(*question);
  }
}

}  // namespace tidegate
