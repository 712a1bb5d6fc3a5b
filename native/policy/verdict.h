// Verdicts: what a policy worker decided about a request. One of the msgpack arrays
//
//   [index, generation, 0, terms, upstream, method, path, query edits, request edits,
//    response edits]                                            go on; may have one more, the
//                                                               request's body from now on
//   [index, generation, 1, terms, status, fields, body]         answer
//   [index, generation, 2, terms, status, detail, fields, body] deny
//   [index, generation, 3, terms, failure, policy]              failed
//   [index, generation, 4, terms, status, response edits]       pass the response on, of a review;
//                                                               may have one more, its body from
//                                                               now on; status 0: as it is
//
// where fields are [name, value, …] and edits [op, name, value, …] (0 set, 1 add, 2 remove with
// nil); upstream, method, path, detail and the body of a deny may be nil. The terms are what every
// kind may say:
//
//   [consumer or nil, charges, replay, stale, tags, times]
//
// charges are flat, ten elements each (VerdictCharge); replay and stale are milliseconds; tags are
// names; times are the microseconds that each policy of the chain took, as far as they ran.
// Kind 5 is no verdict: see fetch.h.
// TypeScript writes it in src/workers/wire.ts, but the core believes nothing that a worker writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/msgpack.h"
#include "base/result.h"
#include "http/field_id.h"
#include "shared/limits.h"
#include "shared/siphash.h"

namespace tidegate {

enum class EditOp : std::uint8_t { Set, Add, Remove };

// `value` is empty for Remove.
struct VerdictEdit {
  EditOp op = EditOp::Add;
  std::string_view name;
  std::string_view value;
  FieldId id = FieldId::Other;
};

// Edits, or fields, which are additions; or edits of a query, whose names and values are any text.
//   name: isEditableField(); value: isFieldText(), no white space around it
// Texts are found by their places in the bytes of the verdict, so that both can be copied.
class VerdictEdits {
 public:
  bool empty() const { return places_.empty(); }
  std::size_t size() const { return places_.size(); }

  // Calls `visit` with each VerdictEdit, in order.
  template <typename Visit>
  void each(Visit visit) const {
    for (const Place& at : places_) {
      visit(VerdictEdit{
          at.op, {base_ + at.name, at.nameSize}, {base_ + at.value, at.valueSize}, at.id});
    }
  }

 private:
  friend class VerdictDecoder;
  friend class VerdictReading;
  friend class VerdictCopy;

  struct Place {
    std::uint32_t name;
    std::uint32_t nameSize;
    std::uint32_t value;
    std::uint32_t valueSize;
    EditOp op;
    FieldId id;
  };

  const char* base_ = nullptr;
  std::span<const Place> places_;
};

// Which fields about a limit the response gets.
enum class LimitFields : std::uint8_t {
  None,
  RateLimit,   // RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers)
  XRateLimit,  // X-RateLimit-Limit, -Remaining and -Reset, of the limit nearest to its end
  Both,
};

// What a request is charged with, as [algorithm, count, span, burst, cost, key, fields, status,
// name, reason]: `span` is the period in ms, of Quota the CalendarPeriod; status, name and reason
// are for the answer when it is refused.
struct VerdictCharge {
  Limit limit;
  std::uint64_t quota = 0;          // the count of the limit
  std::uint64_t windowSeconds = 0;  // in which it may be had, rounded up; 0 where none is fixed
  std::uint64_t cost = 1;           // 0..kMaxCost
  std::string_view key;             // 1..kMaxChargeKeyBytes
  LimitFields fields = LimitFields::None;
  std::uint16_t status = 429;  // 400..599
  std::string_view name;       // of the limit in RateLimit: visible characters, no quotes
  std::string_view reason;     // a sentence without control characters; may be empty
  // Of the counter, once somebody has charged it: a kept verdict is charged again and again.
  mutable std::optional<Hash128> counter;
};

// Lists that are seldom looked at are read where they stand.
class VerdictList {
 public:
  bool empty() const { return count_ == 0; }
  std::uint32_t size() const { return count_; }

 protected:
  friend class VerdictReading;
  friend class VerdictCopy;

  std::span<const std::uint8_t> elements_;
  std::uint32_t count_ = 0;
};

class VerdictTags : public VerdictList {
 public:
  bool has(std::string_view tag) const;
};

class VerdictTimes : public VerdictList {
 public:
  // Calls `visit` with the microseconds of each policy that ran.
  template <typename Visit>
  void each(Visit visit) const {
    MsgpackReader reader(elements_);
    for (std::uint32_t i = 0; i < count_; ++i) {
      std::uint64_t micros = 0;
      reader.unsignedInteger(micros);
      visit(static_cast<std::uint32_t>(micros));
    }
  }
};

enum class VerdictKind : std::uint8_t { GoOn, Answer, Deny, Failed, Pass };
enum class PolicyFailure : std::uint8_t { Threw, TimedOut, UnknownChain, BreakerOpen };

// Its views point into the bytes that it was decoded from. It keeps every promise that is made
// here.
struct Verdict {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  VerdictKind kind = VerdictKind::GoOn;
  std::string_view consumer;  // empty: nobody is known
  std::span<const VerdictCharge> charges;
  std::uint64_t replayMillis = 0;  // 0: for this request only
  std::uint64_t staleMillis = 0;   // beyond replayMillis, while nobody can decide anew
  VerdictTags tags;
  VerdictTimes times;
  // GoOn
  std::string_view upstream;  // empty: the route's own
  // Empty: as it is; otherwise a token, and neither HEAD, CONNECT nor TRACE. Not of every request:
  // see Exchange::changesMethod().
  std::string_view method;
  std::string_view path;  // empty: as it is; otherwise isSafePath()
  VerdictEdits queryEdits;
  VerdictEdits requestEdits;
  VerdictEdits responseEdits;  // also of Pass
  // Answer (200..599), Deny (400..599), Pass (0, 200..599)
  std::uint16_t status = 0;
  VerdictEdits fields;
  // Always with Answer; with GoOn when the request gets another one, with Pass the response.
  bool hasBody = false;
  std::string_view body;
  std::string_view detail;  // Deny: a sentence without control characters; may be empty
  // Failed
  PolicyFailure failure = PolicyFailure::Threw;
  std::string_view policy;
};

struct VerdictError {
  std::string_view message;  // static
  // Which call it was for could be read.
  bool named = false;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
};

inline constexpr std::uint32_t kMaxVerdictEdits = 64;  // of each list
inline constexpr std::size_t kMaxVerdictFieldBytes = std::size_t{64} * 1024;
inline constexpr std::size_t kMaxVerdictNameBytes = 256;
inline constexpr std::size_t kMaxVerdictMethodBytes = 32;
inline constexpr std::size_t kMaxVerdictDetailBytes = 4 * 1024;
inline constexpr std::uint32_t kMaxVerdictCharges = 16;
inline constexpr std::size_t kMaxChargeKeyBytes = 1024;
inline constexpr std::uint32_t kMaxVerdictTags = 32;
inline constexpr std::uint32_t kMaxVerdictTimes = 64;
inline constexpr std::uint64_t kMaxReplayMillis = kMaxSpanMillis;

// Decodes verdicts, one after the other. One thread owns it; allocates when made only.
class VerdictDecoder {
 public:
  VerdictDecoder();
  VerdictDecoder(const VerdictDecoder&) = delete;
  VerdictDecoder& operator=(const VerdictDecoder&) = delete;

  // What it returns points into `bytes` and into the decoder: void with the next call.
  Result<Verdict, VerdictError> decode(std::span<const std::uint8_t> bytes);

 private:
  friend class VerdictReading;

  // Of the verdict at hand. They have room for as many as there may be.
  std::vector<VerdictEdits::Place> edits_;
  std::vector<VerdictCharge> charges_;
};

// Gives a verdict memory of its own: for as long as that stays, it does.
class VerdictCopy {
 public:
  // `verdict` was decoded from `bytes`; both are borrowed.
  VerdictCopy(const Verdict& verdict, std::span<const std::uint8_t> bytes)
      : verdict_(verdict), bytes_(bytes) {}

  // Of the memory that it takes, which is to be aligned to kAlignment.
  std::size_t size() const;
  static constexpr std::size_t kAlignment = alignof(VerdictCharge);

  Verdict into(std::byte* memory) const;

 private:
  const Verdict& verdict_;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace tidegate
