// Verdicts: what a policy worker decided about a request. One of the msgpack arrays
//
//   [index, generation, 0, upstream, consumer, request edits, response edits]   go on
//   [index, generation, 1, status, fields, body]                                answer
//   [index, generation, 2, status, detail, fields, body]                        deny
//   [index, generation, 3, failure, policy]                                     failed
//
// where fields are [name, value, …] and edits [op, name, value, …] (0 set, 1 add, 2 remove with
// nil); upstream, consumer, detail and the body of a deny may be nil. TypeScript writes it in
// src/workers/wire.ts, but the core believes nothing that a worker writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/msgpack.h"
#include "base/result.h"
#include "http/field_id.h"

namespace tidegate {

enum class EditOp : std::uint8_t { Set, Add, Remove };

// `value` is empty for Remove.
struct VerdictEdit {
  EditOp op = EditOp::Add;
  std::string_view name;
  std::string_view value;
  FieldId id = FieldId::Other;
};

// Edits or fields of a verdict, read where they stand: its bytes have to stay. What decodeVerdict()
// returns keeps every promise below; fields are additions.
//   name: isEditableField(); value: isFieldText(), no white space around it
class VerdictEdits {
 public:
  VerdictEdits() = default;

  bool empty() const { return count_ == 0; }
  // Calls `visit` with each VerdictEdit, in order.
  template <typename Visit>
  void each(Visit visit) const {
    MsgpackReader reader(elements_);
    for (std::uint32_t i = 0; i < count_; ++i) {
      VerdictEdit edit;
      read(reader, edit);
      visit(edit);
    }
  }

 private:
  friend class VerdictDecoder;

  bool read(MsgpackReader& reader, VerdictEdit& edit) const;

  std::span<const std::uint8_t> elements_;
  std::uint32_t count_ = 0;
  bool hasOps_ = false;
};

enum class VerdictKind : std::uint8_t { GoOn, Answer, Deny, Failed };
enum class PolicyFailure : std::uint8_t { Threw, TimedOut, UnknownChain, BreakerOpen };

// Its views point into the bytes that it was decoded from.
struct Verdict {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  VerdictKind kind = VerdictKind::GoOn;
  // GoOn
  std::string_view upstream;  // empty: the route's own
  std::string_view consumer;  // empty: nobody is known
  VerdictEdits requestEdits;
  VerdictEdits responseEdits;
  // Answer (200..599), Deny (400..599)
  std::uint16_t status = 0;
  VerdictEdits fields;
  bool hasBody = false;  // always with Answer
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

Result<Verdict, VerdictError> decodeVerdict(std::span<const std::uint8_t> bytes);

}  // namespace tidegate
