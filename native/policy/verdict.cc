#include "policy/verdict.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/ascii.h"
#include "http/field_rules.h"
#include "http/target_rules.h"

namespace tidegate {

namespace {

constexpr std::uint32_t kChargeWidth = 10;

bool isName(std::string_view text) {
  return text.size() <= kMaxVerdictNameBytes && isPlainText(text);
}

// A String of RFC 9651 that needs no escapes.
bool isLimitName(std::string_view text) {
  return text.size() <= kMaxVerdictNameBytes && std::ranges::all_of(text, [](char c) {
           return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
         });
}

// Months and years differ in length.
std::uint64_t windowSeconds(const LimitSpec& spec) {
  constexpr std::uint64_t kHour = 3600;
  if (spec.algorithm == Algorithm::Concurrency) return 0;
  if (spec.algorithm != Algorithm::Quota) return (spec.periodMillis + 999) / 1000;
  switch (spec.calendar) {
    case CalendarPeriod::Hour:
      return kHour;
    case CalendarPeriod::Day:
      return 24 * kHour;
    case CalendarPeriod::Week:
      return 7 * 24 * kHour;
    case CalendarPeriod::Month:
    case CalendarPeriod::Year:
      break;
  }
  return 0;
}

// What follows a request of these is framed in a way of its own (RFC 9110 9.3): it is for the
// client to ask for that. In upper and lower case, which some servers do not tell apart.
bool isEditableMethod(std::string_view text) {
  constexpr std::string_view kFixed[] = {"HEAD", "CONNECT", "TRACE"};
  return text.size() <= kMaxVerdictMethodBytes && isToken(text) &&
         std::ranges::none_of(
             kFixed, [&](std::string_view fixed) { return equalsIgnoreCase(text, fixed); });
}

bool isSentence(std::string_view text) {
  return text.size() <= kMaxVerdictDetailBytes && isPlainText(text);
}

// Nothing when a value is not what VerdictCharge promises.
std::optional<VerdictCharge> readCharge(MsgpackReader& reader) {
  std::uint64_t algorithm = 0;
  std::uint64_t calendar = 0;
  std::uint64_t cost = 0;
  std::uint64_t fields = 0;
  std::uint64_t status = 0;
  LimitSpec spec;
  std::string_view key;
  std::string_view name;
  std::string_view reason;
  if (!reader.unsignedInteger(algorithm) || algorithm > 4 || !reader.unsignedInteger(spec.count) ||
      !reader.unsignedInteger(spec.periodMillis) || !reader.unsignedInteger(spec.burst)) {
    return std::nullopt;
  }
  spec.algorithm = static_cast<Algorithm>(algorithm);
  if (spec.algorithm == Algorithm::Quota) {
    calendar = spec.periodMillis;
    if (calendar > static_cast<std::uint64_t>(CalendarPeriod::Year)) return std::nullopt;
    spec.calendar = static_cast<CalendarPeriod>(calendar);
  }
  const Result<Limit, std::string> limit = makeLimit(spec);
  if (!limit || !reader.unsignedInteger(cost) || cost > kMaxCost) return std::nullopt;
  if (!reader.text(key) || key.empty() || key.size() > kMaxChargeKeyBytes) return std::nullopt;
  if (!reader.unsignedInteger(fields) || fields > 3) return std::nullopt;
  if (!reader.unsignedInteger(status) || status < 400 || status > 599) return std::nullopt;
  if (!reader.nil() && !(reader.text(name) && isLimitName(name))) return std::nullopt;
  if (!reader.nil() && !(reader.text(reason) && isSentence(reason))) return std::nullopt;
  return VerdictCharge{*limit,
                       spec.count,
                       windowSeconds(spec),
                       cost,
                       key,
                       static_cast<LimitFields>(fields),
                       static_cast<std::uint16_t>(status),
                       name,
                       reason,
                       std::nullopt};
}

// `checked`: the caller looks at every byte of the name, and lets pass tokens only.
bool readEdit(MsgpackReader& reader, bool hasOp, bool checked, VerdictEdit& edit) {
  if (hasOp) {
    std::uint64_t op = 0;
    if (!reader.unsignedInteger(op) || op > static_cast<std::uint64_t>(EditOp::Remove))
      return false;
    edit.op = static_cast<EditOp>(op);
  }
  if (!(checked ? reader.knownText(edit.name) : reader.text(edit.name))) return false;
  edit.id = fieldIdOf(edit.name);
  return edit.op == EditOp::Remove ? reader.nil() : reader.text(edit.value);
}

}  // namespace

bool VerdictTags::has(std::string_view tag) const {
  MsgpackReader reader(elements_);
  for (std::uint32_t i = 0; i < count_; ++i) {
    std::string_view each;
    reader.knownText(each);
    if (each == tag) return true;
  }
  return false;
}

// Reads one verdict; the first thing that is wrong ends it.
class VerdictReading {
 public:
  VerdictReading(VerdictDecoder& decoder, std::span<const std::uint8_t> bytes)
      : decoder_(decoder), bytes_(bytes), reader_(bytes) {}

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
    if (!reader_.unsignedInteger(kind) || kind > 4) return fail("expected a kind of 0..4");
    verdict_.kind = static_cast<VerdictKind>(kind);
    constexpr std::uint32_t kCounts[] = {10, 7, 8, 6, 6};
    const bool mayHaveBody =
        verdict_.kind == VerdictKind::GoOn || verdict_.kind == VerdictKind::Pass;
    const bool withBody = mayHaveBody && count == kCounts[kind] + 1;
    if (count != kCounts[kind] && !withBody) return fail("expected another number of elements");
    if (!terms() || !rest() || (withBody && !body())) return false;
    return reader_.remaining() == 0 || fail("bytes follow after the end");
  }

  bool rest() {
    switch (verdict_.kind) {
      case VerdictKind::GoOn:
        return nameOrNil(verdict_.upstream, "expected an upstream's name or nil") && method() &&
               path() && edits(verdict_.queryEdits, Edits::Query) &&
               edits(verdict_.requestEdits, Edits::Head) &&
               edits(verdict_.responseEdits, Edits::Head);
      case VerdictKind::Answer:
        return status(200) && edits(verdict_.fields, Edits::Fields) && body();
      case VerdictKind::Deny:
        return status(400) && detail() && edits(verdict_.fields, Edits::Fields) &&
               (reader_.nil() || body());
      case VerdictKind::Failed: {
        std::uint64_t failure = 0;
        if (!reader_.unsignedInteger(failure) || failure > 3)
          return fail("expected a failure of 0..3");
        verdict_.failure = static_cast<PolicyFailure>(failure);
        return (reader_.text(verdict_.policy) && isName(verdict_.policy)) ||
               fail("expected a policy's name");
      }
      case VerdictKind::Pass:
        return statusOrNone() && edits(verdict_.responseEdits, Edits::Head);
    }
    return false;
  }

  bool terms() {
    std::uint32_t count = 0;
    if (!reader_.array(count) || count != 6) return fail("expected 6 terms");
    return nameOrNil(verdict_.consumer, "expected a consumer's id or nil") && charges() &&
           millis(verdict_.replayMillis) && millis(verdict_.staleMillis) && tags() && times();
  }

  bool charges() {
    std::uint32_t count = 0;
    if (!reader_.array(count) || count % kChargeWidth != 0 ||
        count / kChargeWidth > kMaxVerdictCharges) {
      return fail("expected an array of at most 16 charges");
    }
    for (std::uint32_t i = 0; i < count / kChargeWidth; ++i) {
      const std::optional<VerdictCharge> charge = readCharge(reader_);
      if (!charge) return fail("expected a charge on a limit");
      decoder_.charges_.push_back(*charge);
    }
    verdict_.charges = decoder_.charges_;
    return true;
  }

  bool millis(std::uint64_t& value) {
    return (reader_.unsignedInteger(value) && value <= kMaxReplayMillis) ||
           fail("expected milliseconds of at most 366 days");
  }

  bool tags() {
    std::uint32_t count = 0;
    if (!reader_.array(count) || count > kMaxVerdictTags) return fail("expected at most 32 tags");
    begin(verdict_.tags, count);
    for (std::uint32_t i = 0; i < count; ++i) {
      std::string_view tag;
      if (!reader_.text(tag) || !isName(tag)) return fail("expected a tag");
    }
    end(verdict_.tags);
    return true;
  }

  bool times() {
    std::uint32_t count = 0;
    if (!reader_.array(count) || count > kMaxVerdictTimes) return fail("expected at most 64 times");
    begin(verdict_.times, count);
    for (std::uint32_t i = 0; i < count; ++i) {
      std::uint32_t micros = 0;
      if (!word(micros)) return fail("expected microseconds");
    }
    end(verdict_.times);
    return true;
  }

  void begin(VerdictList& list, std::uint32_t count) {
    list.count_ = count;
    list.elements_ = bytes_.last(reader_.remaining());
  }

  void end(VerdictList& list) {
    list.elements_ = list.elements_.first(list.elements_.size() - reader_.remaining());
  }

  bool method() {
    return reader_.nil() || (reader_.text(verdict_.method) && isEditableMethod(verdict_.method)) ||
           fail("expected a method or nil");
  }

  bool path() {
    return reader_.nil() || (reader_.text(verdict_.path) && isSafePath(verdict_.path)) ||
           fail("expected a path or nil");
  }

  bool word(std::uint32_t& value) {
    std::uint64_t wide = 0;
    if (!reader_.unsignedInteger(wide) || wide > UINT32_MAX) return false;
    value = static_cast<std::uint32_t>(wide);
    return true;
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

  bool statusOrNone() {
    std::uint64_t value = 0;
    if (!reader_.unsignedInteger(value) || (value != 0 && value < 200) || value > 599)
      return fail("expected a status of 200..599 or 0");
    verdict_.status = static_cast<std::uint16_t>(value);
    return true;
  }

  bool detail() {
    return reader_.nil() || (reader_.text(verdict_.detail) && isSentence(verdict_.detail)) ||
           fail("expected a sentence or nil");
  }

  bool body() {
    verdict_.hasBody = true;
    return reader_.binary(verdict_.body) || reader_.text(verdict_.body) || fail("expected a body");
  }

  enum class Edits : std::uint8_t { Fields, Head, Query };

  bool edits(VerdictEdits& list, Edits kind) {
    const bool hasOps = kind != Edits::Fields;
    const std::uint32_t width = hasOps ? 3 : 2;
    std::uint32_t count = 0;
    if (!reader_.array(count) || count % width != 0 || count / width > kMaxVerdictEdits)
      return fail("expected an array of at most 64 edits or fields");
    const std::size_t first = decoder_.edits_.size();
    std::size_t size = 0;
    for (std::uint32_t i = 0; i < count / width; ++i) {
      VerdictEdit edit;
      const bool isField = kind != Edits::Query;
      if (!readEdit(reader_, hasOps, isField, edit)) return fail("expected a name and a value");
      size += edit.name.size() + edit.value.size();
      if (isField) {
        if (!isEditableField(edit.id, edit.name)) return fail("a field that no policy may touch");
        if (!isFieldText(edit.value) || trimOws(edit.value).size() != edit.value.size())
          return fail("a value that no field may have");
      }
      decoder_.edits_.push_back({placeOf(edit.name), static_cast<std::uint32_t>(edit.name.size()),
                                 placeOf(edit.value), static_cast<std::uint32_t>(edit.value.size()),
                                 edit.op, edit.id});
    }
    if (size > kMaxVerdictFieldBytes) return fail("more than 64 KiB of fields");
    list.base_ = base();
    list.places_ = std::span(decoder_.edits_).subspan(first);
    return true;
  }

  const char* base() const { return reinterpret_cast<const char*>(bytes_.data()); }
  // Of a text that may be empty, and then stands nowhere.
  std::uint32_t placeOf(std::string_view text) const {
    return text.empty() ? 0 : static_cast<std::uint32_t>(text.data() - base());
  }

  VerdictDecoder& decoder_;
  std::span<const std::uint8_t> bytes_;
  MsgpackReader reader_;
  Verdict verdict_;
  VerdictError error_;
};

VerdictDecoder::VerdictDecoder() {
  constexpr std::size_t kLists = 3;
  edits_.reserve(kLists * kMaxVerdictEdits);
  charges_.reserve(kMaxVerdictCharges);
}

Result<Verdict, VerdictError> VerdictDecoder::decode(std::span<const std::uint8_t> bytes) {
  edits_.clear();
  charges_.clear();
  return VerdictReading(*this, bytes).run();
}

// Copying. In the memory: charges, places of edits, bytes.

std::size_t VerdictCopy::size() const {
  const std::size_t edits = verdict_.queryEdits.size() + verdict_.requestEdits.size() +
                            verdict_.responseEdits.size() + verdict_.fields.size();
  return verdict_.charges.size_bytes() + edits * sizeof(VerdictEdits::Place) + bytes_.size();
}

Verdict VerdictCopy::into(std::byte* memory) const {
  static_assert(std::is_trivially_copyable_v<VerdictCharge> &&
                alignof(VerdictEdits::Place) <= kAlignment);
  Verdict copy = verdict_;
  char* const bytes = reinterpret_cast<char*>(memory) + (size() - bytes_.size());
  std::memcpy(bytes, bytes_.data(), bytes_.size());
  const char* const before = reinterpret_cast<const char*>(bytes_.data());
  const auto move = [&](std::string_view& text) {
    if (!text.empty()) text = {bytes + (text.data() - before), text.size()};
  };
  for (std::string_view* text : {&copy.consumer, &copy.upstream, &copy.method, &copy.path,
                                 &copy.body, &copy.detail, &copy.policy})
    move(*text);
  const auto moveList = [&](VerdictList& list) {
    const std::size_t at = list.elements_.data() - bytes_.data();
    list.elements_ = {reinterpret_cast<const std::uint8_t*>(bytes) + at, list.elements_.size()};
  };
  if (!copy.tags.empty()) moveList(copy.tags);
  if (!copy.times.empty()) moveList(copy.times);

  // Objects of trivial types begin with their bytes (implicit-lifetime types).
  auto* const charges = reinterpret_cast<VerdictCharge*>(memory);
  if (!copy.charges.empty()) std::memcpy(memory, copy.charges.data(), copy.charges.size_bytes());
  copy.charges = {charges, copy.charges.size()};
  for (VerdictCharge& charge : std::span(charges, copy.charges.size())) {
    move(charge.key);
    move(charge.name);
    move(charge.reason);
  }
  std::byte* places = memory + copy.charges.size_bytes();
  for (VerdictEdits* list :
       {&copy.queryEdits, &copy.requestEdits, &copy.responseEdits, &copy.fields}) {
    if (list->empty()) continue;
    std::memcpy(places, list->places_.data(), list->places_.size_bytes());
    list->places_ = {reinterpret_cast<const VerdictEdits::Place*>(places), list->places_.size()};
    list->base_ = bytes;
    places += list->places_.size_bytes();
  }
  return copy;
}

}  // namespace tidegate
