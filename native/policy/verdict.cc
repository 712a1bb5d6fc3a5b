#include "policy/verdict.h"

#include "base/ascii.h"
#include "http/field_rules.h"

namespace tidegate {

bool VerdictEdits::read(MsgpackReader& reader, VerdictEdit& edit) const {
  if (hasOps_) {
    std::uint64_t op = 0;
    if (!reader.unsignedInteger(op) || op > static_cast<std::uint64_t>(EditOp::Remove))
      return false;
    edit.op = static_cast<EditOp>(op);
  }
  if (!reader.text(edit.name)) return false;
  edit.id = fieldIdOf(edit.name);
  return edit.op == EditOp::Remove ? reader.nil() : reader.text(edit.value);
}

// Reads one verdict; the first thing that is wrong ends it.
class VerdictDecoder {
 public:
  explicit VerdictDecoder(std::span<const std::uint8_t> bytes) : bytes_(bytes), reader_(bytes) {}

  Result<Verdict, VerdictError> run() {
    if (!whole()) return Failure{error_};
    return verdict_;
  }

 private:
  bool fail(std::string_view message) {
    error_.message = message;
    return false;
  }

  bool whole() {
    std::uint32_t count = 0;
    if (!reader_.array(count) || count < 3) return fail("expected an array of 3 elements or more");
    if (!word(verdict_.index) || !word(verdict_.generation))
      return fail("expected the numbers of the call");
    error_.named = true;
    error_.index = verdict_.index;
    error_.generation = verdict_.generation;
    std::uint64_t kind = 0;
    if (!reader_.unsignedInteger(kind) || kind > 3) return fail("expected a kind of 0..3");
    verdict_.kind = static_cast<VerdictKind>(kind);
    constexpr std::uint32_t kCounts[] = {7, 6, 7, 5};
    if (count != kCounts[kind]) return fail("expected another number of elements");
    if (!rest()) return false;
    return reader_.remaining() == 0 || fail("bytes follow after the end");
  }

  bool rest() {
    switch (verdict_.kind) {
      case VerdictKind::GoOn:
        return nameOrNil(verdict_.upstream, "expected an upstream's name or nil") &&
               nameOrNil(verdict_.consumer, "expected a consumer's id or nil") &&
               edits(verdict_.requestEdits, true) && edits(verdict_.responseEdits, true);
      case VerdictKind::Answer:
        return status(200) && edits(verdict_.fields, false) && body();
      case VerdictKind::Deny:
        return status(400) && detail() && edits(verdict_.fields, false) &&
               (reader_.nil() || body());
      case VerdictKind::Failed: {
        std::uint64_t failure = 0;
        if (!reader_.unsignedInteger(failure) || failure > 3)
          return fail("expected a failure of 0..3");
        verdict_.failure = static_cast<PolicyFailure>(failure);
        return (reader_.text(verdict_.policy) && isName(verdict_.policy)) ||
               fail("expected a policy's name");
      }
    }
    return false;
  }

  bool word(std::uint32_t& value) {
    std::uint64_t wide = 0;
    if (!reader_.unsignedInteger(wide) || wide > UINT32_MAX) return false;
    value = static_cast<std::uint32_t>(wide);
    return true;
  }

  static bool isName(std::string_view text) {
    return text.size() <= kMaxVerdictNameBytes && isPlainText(text);
  }

  bool nameOrNil(std::string_view& name, std::string_view message) {
    return reader_.nil() || (reader_.text(name) && isName(name)) || fail(message);
  }

  bool status(std::uint64_t least) {
    std::uint64_t value = 0;
    if (!reader_.unsignedInteger(value) || value < least || value > 599)
      return fail("expected a status of 200..599, to deny of 400..599");
    verdict_.status = static_cast<std::uint16_t>(value);
    return true;
  }

  bool detail() {
    return reader_.nil() ||
           (reader_.text(verdict_.detail) && verdict_.detail.size() <= kMaxVerdictDetailBytes &&
            isPlainText(verdict_.detail)) ||
           fail("expected a sentence or nil");
  }

  bool body() {
    verdict_.hasBody = true;
    return reader_.binary(verdict_.body) || reader_.text(verdict_.body) || fail("expected a body");
  }

  bool edits(VerdictEdits& list, bool hasOps) {
    const std::uint32_t width = hasOps ? 3 : 2;
    std::uint32_t count = 0;
    if (!reader_.array(count) || count % width != 0 || count / width > kMaxVerdictEdits)
      return fail("expected an array of at most 64 edits or fields");
    list.count_ = count / width;
    list.hasOps_ = hasOps;
    const std::size_t begin = bytes_.size() - reader_.remaining();
    std::size_t size = 0;
    for (std::uint32_t i = 0; i < list.count_; ++i) {
      VerdictEdit edit;
      if (!list.read(reader_, edit)) return fail("expected a name and a value");
      if (!isEditableField(edit.name)) return fail("a field that no policy may touch");
      if (!isFieldText(edit.value) || trimOws(edit.value) != edit.value)
        return fail("a value that no field may have");
      size += edit.name.size() + edit.value.size();
    }
    if (size > kMaxVerdictFieldBytes) return fail("more than 64 KiB of fields");
    list.elements_ = bytes_.subspan(begin, bytes_.size() - reader_.remaining() - begin);
    return true;
  }

  std::span<const std::uint8_t> bytes_;
  MsgpackReader reader_;
  Verdict verdict_;
  VerdictError error_;
};

Result<Verdict, VerdictError> decodeVerdict(std::span<const std::uint8_t> bytes) {
  return VerdictDecoder(bytes).run();
}

}  // namespace tidegate
