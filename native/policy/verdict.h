// Verdicts: what a policy worker decided about a request. One of the msgpack arrays
//
//   [index, generation, 0, terms, upstream, path, query edits, request edits, response edits]
//                                                               go on; may have one more, the
//                                                               request's body from now on
//   [index, generation, 1, terms, status, fields, body]         answer
//   [index, generation, 2, terms, status, detail, fields, body] deny
//   [index, generation, 3, terms, failure, policy]              failed
//   [index, generation, 4, terms, status, response edits]       pass the response on, of a review;
//                                                               may have one more, its body from
//                                                               now on; status 0: as it is
//
// where fields are [name, value, …] and edits [op, name, value, …] (0 set, 1 add, 2 remove with
// nil); upstream, path, detail and the body of a deny may be nil. The terms are what every kind may
// say:
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

#include "base/msgpack.h"
#include "base/result.h"
#include "http/field_id.h"
#include "shared/limits.h"

namespace tidegate {

enum class EditOp : std::uint8_t { Set, Add, Remove };

// `value` is empty for Remove.
struct VerdictEdit {
  EditOp op = EditOp::Add;
  std::string_view name;
  std::string_view value;
  FieldId id = FieldId::Other;
};

// Lists of a verdict are read where they stand: its bytes have to stay. What decodeVerdict()
// returns keeps every promise that is made here.
class VerdictList {
 public:
  bool empty() const { return count_ == 0; }
  std::uint32_t size() const { return count_; }

 protected:
  friend class VerdictDecoder;

  // What was found good at first is not looked at byte by byte again.
  enum class Reading : std::uint8_t { First, Again };

  std::span<const std::uint8_t> elements_;
  std::uint32_t count_ = 0;
};

// Edits, or fields, which are additions; or edits of a query, whose names and values are any text.
//   name: isEditableField(); value: isFieldText(), no white space around it
class VerdictEdits : public VerdictList {
 public:
  // Calls `visit` with each VerdictEdit, in order.
  template <typename Visit>
  void each(Visit visit) const {
    MsgpackReader reader(elements_);
    for (std::uint32_t i = 0; i < count_; ++i) {
      VerdictEdit edit;
      read<Reading::Again>(reader, edit);
      visit(edit);
    }
  }

 private:
  friend class VerdictDecoder;

  template <Reading How>
  bool read(MsgpackReader& reader, VerdictEdit& edit) const;

  bool hasOps_ = false;
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
};

class VerdictCharges : public VerdictList {
 public:
  // Calls `visit` with each VerdictCharge, in order, until it returns false.
  template <typename Visit>
  void each(Visit visit) const {
    MsgpackReader reader(elements_);
    for (std::uint32_t i = 0; i < count_; ++i) {
      const std::optional<VerdictCharge> charge = read<Reading::Again>(reader);
      if (!charge || !visit(*charge)) return;
    }
  }

 private:
  friend class VerdictDecoder;

  template <Reading How>
  static std::optional<VerdictCharge> read(MsgpackReader& reader);
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

// Its views point into the bytes that it was decoded from.
struct Verdict {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  VerdictKind kind = VerdictKind::GoOn;
  std::string_view consumer;  // empty: nobody is known
  VerdictCharges charges;
  std::uint64_t replayMillis = 0;  // 0: for this request only
  std::uint64_t staleMillis = 0;   // beyond replayMillis, while nobody can decide anew
  VerdictTags tags;
  VerdictTimes times;
  // GoOn
  std::string_view upstream;  // empty: the route's own
  std::string_view path;      // empty: as it is; otherwise isSafePath()
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
inline constexpr std::size_t kMaxVerdictDetailBytes = 4 * 1024;
inline constexpr std::uint32_t kMaxVerdictCharges = 16;
inline constexpr std::size_t kMaxChargeKeyBytes = 1024;
inline constexpr std::uint32_t kMaxVerdictTags = 32;
inline constexpr std::uint32_t kMaxVerdictTimes = 64;
inline constexpr std::uint64_t kMaxReplayMillis = kMaxSpanMillis;

Result<Verdict, VerdictError> decodeVerdict(std::span<const std::uint8_t> bytes);

}  // namespace tidegate
