// The addon of `npm run bench -- micro crossing`: a policy worker opens its port as it does with
// the product's addon, and behind it is an I/O side that asks for decisions and does nothing else.
// It runs on the thread that calls measure().
#include <napi.h>
#include <time.h>

#include <array>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "addon/policy_port_object.h"
#include "addon/values.h"
#include "policy/calls.h"
#include "policy/descriptor.h"
#include "policy/fetch.h"

namespace tidegate {
namespace {

constexpr std::uint64_t kTimeoutMillis = 10'000;
constexpr std::uint32_t kChain = 1;
constexpr std::string_view kHead = "x-tenantblue-and-green";
constexpr std::size_t kNameLength = 8;

double micros(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

class LoopBell final : public Bell {
 public:
  explicit LoopBell(EventLoop& loop) : loop_(loop) {}
  void ring() override { loop_.wake(); }

 private:
  EventLoop& loop_;
};

// What an I/O thread has for policies, without the rest of it.
class IoSide {
 public:
  // Never destroyed: a port may outlive the environment of the thread that measures.
  static IoSide& get() {
    static IoSide& side = *new IoSide;
    return side;
  }

  // Any thread: the worker's end of a new channel, which measure() adopts.
  std::unique_ptr<PolicyPort> open(const std::shared_ptr<Bell>& bell) {
    auto channel = std::make_shared<Channel>(std::make_shared<LoopBell>(loop_), bell);
    const std::lock_guard lock(mutex_);
    opened_ = channel;
    worker_ = WorkerThread::ofCaller();
    return std::make_unique<PolicyPort>(std::vector{std::move(channel)}, worker_, watcher_);
  }

  // `crossings` requests, `inFlight` of them at a time. False when one was not let through.
  bool measure(std::uint32_t inFlight, std::uint32_t crossings) {
    adopt();
    left_ = crossings;
    unanswered_ = crossings;
    refused_ = false;
    while (askers_.size() < inFlight) askers_.emplace_back(*this);
    for (std::uint32_t i = 0; i < inFlight && left_ > 0; ++i) ask(askers_[i]);
    calls_.flush();
    // As IoThread does it.
    while (unanswered_ > 0 && !refused_) {
      loop_.turn(calls_.prepareToSleep() ? -1 : 0);
      calls_.receive();
      calls_.flush();
    }
    return !refused_;
  }

 private:
  class Asker final : public PolicyWaiter {
   public:
    explicit Asker(IoSide& side) : side_(side) {}

    std::size_t describe(PolicyCallId id, std::span<std::byte> out) override {
      return side_.describe(id, out);
    }
    // The bench's policy fetches nothing.
    PolicyFetch& makeFetch() override { std::abort(); }
    void onVerdict(const Verdict& verdict, std::span<const std::uint8_t> /*bytes*/) override {
      if (verdict.kind != VerdictKind::GoOn) side_.refused_ = true;
      --side_.unanswered_;
      if (side_.left_ > 0) side_.ask(*this);
    }
    void onNoVerdict(Reason /*reason*/) override { side_.refused_ = true; }

   private:
    IoSide& side_;
  };

  IoSide() {
    Field field;
    field.name = {0, kNameLength};
    field.value = {kNameLength, static_cast<std::uint32_t>(kHead.size() - kNameLength)};
    fields_.add(field);
    fields_.rebase(kHead.data());
    watcher_->start();
  }

  void adopt() {
    const std::lock_guard lock(mutex_);
    if (opened_ == nullptr) return;
    calls_.setWorker(0, std::exchange(opened_, nullptr), std::exchange(worker_, nullptr));
  }

  void ask(Asker& asker) {
    --left_;
    if (!calls_.ask(asker, kTimeoutMillis)) refused_ = true;
  }

  std::size_t describe(PolicyCallId id, std::span<std::byte> out) {
    InputSource source;
    source.fields = &fields_;
    const std::size_t size = writeInputs(kChain, inputs_, source, scratch_);
    return writeDescriptor(id.index, id.generation, inputs_.size(), std::span(scratch_).first(size),
                           out);
  }

  EventLoop loop_;
  ThreadCounters counters_;
  PolicyCalls calls_{loop_, counters_};
  std::deque<Asker> askers_;
  std::uint32_t left_ = 0;        // not asked yet
  std::uint32_t unanswered_ = 0;  // of those asked, and those left
  bool refused_ = false;
  std::array<Field, 1> table_;
  HeadFields fields_{table_};
  const std::vector<PolicyInput> inputs_{{InputKind::Header, "x-tenant", FieldId::Other, {}}};
  std::array<std::byte, 256> scratch_{};
  std::mutex mutex_;
  std::shared_ptr<Channel> opened_;       // guarded by mutex_
  std::shared_ptr<WorkerThread> worker_;  // guarded by mutex_
  const std::shared_ptr<WorkerWatcher> watcher_ = std::make_shared<WorkerWatcher>();
};

// measure(inFlight, crossings): [CPU of the whole process, time that passed], each in microseconds
// for a crossing. A port must be open.
Napi::Value measureCall(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto inFlight = readNumber(info[0], "inFlight", 1024);
  if (!inFlight) return env.Undefined();
  const auto crossings = readNumber(info[1], "crossings", 1'000'000'000);
  if (!crossings) return env.Undefined();
  const double cpu = micros(CLOCK_PROCESS_CPUTIME_ID);
  const double wall = micros(CLOCK_MONOTONIC);
  if (!IoSide::get().measure(static_cast<std::uint32_t>(*inFlight),
                             static_cast<std::uint32_t>(*crossings))) {
    Napi::Error::New(env, "a request was not let through").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const auto count = static_cast<double>(*crossings);
  auto result = Napi::Array::New(env, 2);
  result.Set(0u, (micros(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count);
  result.Set(1u, (micros(CLOCK_MONOTONIC) - wall) / count);
  return result;
}

Napi::Object exportAll(Napi::Env env, Napi::Object exports) {
  exports.Set("PolicyPort", PolicyPortObject::define(env));
  exports.Set("largestPolicyMessage", Napi::Number::New(env, Channel::kLargestMessage));
  exports.Set("measure", Napi::Function::New<measureCall>(env, "measure"));
  return exports;
}

}  // namespace

std::unique_ptr<PolicyPort> openPort(std::uint64_t /*engine*/, std::size_t /*worker*/,
                                     const std::shared_ptr<Bell>& bell) {
  return IoSide::get().open(bell);
}

}  // namespace tidegate

using tidegate::exportAll;  // the macro takes a plain name only
NODE_API_MODULE(bench_crossing, exportAll)
