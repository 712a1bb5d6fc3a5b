// Fetches: what policies ask of upstreams while they decide. A worker begins one, or takes it back,
// by the msgpack arrays
//
//   [index, generation, 5, number, upstream, method, path, query, fields, body, timeout]
//   [index, generation, 5, number]
//
// where index and generation are of the call under way (calls.h) and the number is of the worker's
// choosing; query and body may be nil, fields are [name, value, …], the timeout is milliseconds or
// nil. It is told what came of it by one of
//
//   [index, generation, nil, number, status, fields, body]
//   [index, generation, nil, number, reason, sentence]   no response; the words are of a Reason
//
// The core believes nothing that a worker writes. TypeScript has its side in
// src/workers/fetchWire.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/intrusive_list.h"
#include "base/msgpack.h"
#include "base/result.h"
#include "http/reason.h"
#include "http/stream.h"
#include "policy/verdict.h"

namespace tidegate {

inline constexpr std::uint32_t kMaxFetchesAtOnce = 8;  // of one call
inline constexpr std::uint32_t kMaxFetches = 64;       // of one call in its whole life
inline constexpr std::uint32_t kMaxFetchFields = 64;
inline constexpr std::size_t kMaxFetchFieldBytes = std::size_t{64} * 1024;
inline constexpr std::size_t kMaxFetchTargetBytes = std::size_t{16} * 1024;  // path and query
inline constexpr std::size_t kMaxFetchMethodBytes = 32;
inline constexpr std::size_t kMaxFetchBody = std::size_t{128} * 1024;       // both ways
inline constexpr std::uint64_t kMaxFetchMillis = std::uint64_t{3'600'000};  // of a timeout

// Read where they stand: the message has to stay.
//   name: isEditableField(); value: isFieldText(), no white space around it
class FetchFields {
 public:
  std::uint32_t size() const { return count_; }
  // Names and values together.
  std::size_t bytes() const { return bytes_; }

  // Calls `visit` with each name and value, in order.
  template <typename Visit>
  void each(Visit visit) const {
    MsgpackReader reader(elements_);
    for (std::uint32_t i = 0; i < count_; ++i) {
      std::string_view name;
      std::string_view value;
      if (reader.knownText(name) && reader.knownText(value)) visit(name, value);
    }
  }

 private:
  friend class FetchDecoder;
  std::span<const std::uint8_t> elements_;
  std::size_t bytes_ = 0;
  std::uint32_t count_ = 0;
};

// Its views point into the message.
struct FetchMessage {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  std::uint32_t number = 0;
  bool takenBack = false;     // all below is empty then
  std::string_view upstream;  // not empty; there may be none of that name
  std::string_view method;    // a token; neither CONNECT nor TRACE
  std::string_view path;      // isSafePath()
  std::string_view query;     // isQueryText()
  bool hasQuery = false;
  FetchFields fields;
  bool hasBody = false;
  std::string_view body;            // at most kMaxFetchBody
  std::uint64_t timeoutMillis = 0;  // 0: no limit of its own
};

// Whether it is no verdict but of a fetch; decodeFetch() says whether it is a good one.
bool isFetchMessage(std::span<const std::uint8_t> bytes);
Result<FetchMessage, VerdictError> decodeFetch(std::span<const std::uint8_t> bytes);

// Which fetch of which call.
struct FetchId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  std::uint32_t number = 0;
};

// What a worker is told. All return the size, 0 when it does not fit. Fields are taken as Latin-1,
// those of one hop and the length left out; they are packed apart since they are borrowed when the
// response's body has not come yet.
std::size_t packFetchFields(const OutgoingFields& fields, std::span<std::byte> out);
// Room that packFetchFields() needs at most.
std::size_t fetchFieldsRoom(const OutgoingFields& fields);
std::size_t writeFetchResponse(const FetchId& id, std::uint16_t status, std::string_view fields,
                               std::string_view body, std::span<std::byte> out);
std::size_t writeFetchFailure(const FetchId& id, Reason reason, std::span<std::byte> out);

struct FetchOfCall;
struct FetchReply;

// A fetch under way, from PolicyWaiter::makeFetch() to one of its two ends. One I/O thread owns it.
class PolicyFetch : private ListNode<FetchOfCall>, private ListNode<FetchReply> {
 public:
  // Once, first. `message` is borrowed. PolicyCalls::reply() follows, at once or later.
  virtual void begin(const FetchMessage& message) = 0;
  // After reply(): writes what came of it and returns the size; 0 when it does not fit. Called
  // again where there was no room.
  virtual std::size_t describe(const FetchId& id, std::span<std::byte> out) = 0;

  // The ends, exactly one of them: the worker has been told (perhaps from within reply()); or
  // nobody waits for it any more.
  virtual void onReplied() = 0;
  virtual void onUnwanted() = 0;

 protected:
  PolicyFetch() = default;
  ~PolicyFetch() = default;

 private:
  friend class PolicyCalls;
  friend class IntrusiveList<PolicyFetch, FetchOfCall>;
  friend class IntrusiveList<PolicyFetch, FetchReply>;
  FetchId id_;
};

}  // namespace tidegate
