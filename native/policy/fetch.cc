// Order of this file: what a worker asks, what it is told.
#include "policy/fetch.h"

#include "base/ascii.h"
#include "http/field_rules.h"
#include "http/target_rules.h"
#include "policy/message_writer.h"

namespace tidegate {

namespace {

constexpr std::uint64_t kFetchKind = 5;  // beside those of VerdictKind
constexpr std::uint32_t kBegin = 11;     // elements
constexpr std::uint32_t kTakeBack = 4;

constexpr std::size_t kTextHead = 5;  // at most, of any text or number
constexpr std::size_t kArrayHead = 3;

// RFC 9110 7.6.1; the length is that of the body, which the worker has.
bool isPassedOn(const Field& f) {
  return !f.hopByHop && !f.dropped && f.id != FieldId::ContentLength;
}

template <typename Visit>
void eachField(const OutgoingFields& fields, Visit visit) {
  if (fields.source != nullptr) {
    for (const Field& f : fields.source->fields()) {
      if (isPassedOn(f)) visit(fields.source->name(f), fields.source->value(f));
    }
  }
  for (const OutgoingField& f : fields.extra) visit(f.name, f.value);
}

void writeId(MessageWriter& writer, std::size_t elements, const FetchId& id) {
  writer.array(elements);
  writer.number(id.index);
  writer.number(id.generation);
  writer.nil();
  writer.number(id.number);
}

}  // namespace

// Reads one message; the first thing that is wrong ends it.
class FetchDecoder {
 public:
  explicit FetchDecoder(std::span<const std::uint8_t> bytes) : bytes_(bytes), reader_(bytes) {}

  Result<FetchMessage, VerdictError> run() {
    if (!whole()) return Failure{error_};
    return message_;
  }

 private:
  bool fail(std::string_view message) {
    error_.message = message;
    return false;
  }

  bool whole() {
    std::uint32_t count = 0;
    std::uint64_t kind = 0;
    if (!reader_.array(count) || !word(message_.index) || !word(message_.generation))
      return fail("expected the numbers of the call");
    error_.named = true;
    error_.index = message_.index;
    error_.generation = message_.generation;
    if (!reader_.unsignedInteger(kind) || kind != kFetchKind) return fail("expected the kind 5");
    if (count != kBegin && count != kTakeBack) return fail("expected 11 elements or 4");
    if (!word(message_.number)) return fail("expected the number of a fetch");
    message_.takenBack = count == kTakeBack;
    if (!message_.takenBack && !request()) return false;
    return reader_.remaining() == 0 || fail("bytes follow after the end");
  }

  bool request() {
    FetchMessage& m = message_;
    if (!reader_.text(m.upstream) || m.upstream.empty() ||
        m.upstream.size() > kMaxVerdictNameBytes || !isPlainText(m.upstream)) {
      return fail("expected an upstream's name");
    }
    if (!reader_.text(m.method) || m.method.size() > kMaxFetchMethodBytes || !isToken(m.method) ||
        methodOf(m.method) == Method::Connect || methodOf(m.method) == Method::Trace) {
      return fail("expected a method");
    }
    if (!reader_.text(m.path) || !isSafePath(m.path)) return fail("expected a path");
    m.hasQuery = !reader_.nil();
    if (m.hasQuery && (!reader_.text(m.query) || !isQueryText(m.query)))
      return fail("expected a query or nil");
    if (m.path.size() + m.query.size() > kMaxFetchTargetBytes)
      return fail("more than 16 KiB of path and query");
    return fields() && body() && timeout();
  }

  bool fields() {
    std::uint32_t count = 0;
    if (!reader_.array(count) || count % 2 != 0 || count / 2 > kMaxFetchFields)
      return fail("expected an array of at most 64 fields");
    FetchFields& fields = message_.fields;
    fields.count_ = count / 2;
    fields.elements_ = bytes_.last(reader_.remaining());
    for (std::uint32_t i = 0; i < fields.count_; ++i) {
      std::string_view name;
      std::string_view value;
      if (!reader_.text(name) || !reader_.text(value)) return fail("expected a name and a value");
      if (!isEditableField(name)) return fail("a field that no policy may touch");
      if (!isFieldText(value) || trimOws(value) != value)
        return fail("a value that no field may have");
      fields.bytes_ += name.size() + value.size();
    }
    if (fields.bytes_ > kMaxFetchFieldBytes) return fail("more than 64 KiB of fields");
    fields.elements_ = fields.elements_.first(fields.elements_.size() - reader_.remaining());
    return true;
  }

  bool body() {
    message_.hasBody = !reader_.nil();
    if (!message_.hasBody) return true;
    if (!reader_.binary(message_.body) && !reader_.text(message_.body))
      return fail("expected a body or nil");
    return message_.body.size() <= kMaxFetchBody || fail("more than 128 KiB of body");
  }

  bool timeout() {
    if (reader_.nil()) return true;
    std::uint64_t& millis = message_.timeoutMillis;
    return (reader_.unsignedInteger(millis) && millis > 0 && millis <= kMaxFetchMillis) ||
           fail("expected milliseconds of at most an hour, or nil");
  }

  bool word(std::uint32_t& value) {
    std::uint64_t wide = 0;
    if (!reader_.unsignedInteger(wide) || wide > UINT32_MAX) return false;
    value = static_cast<std::uint32_t>(wide);
    return true;
  }

  std::span<const std::uint8_t> bytes_;
  MsgpackReader reader_;
  FetchMessage message_;
  VerdictError error_;
};

bool isFetchMessage(std::span<const std::uint8_t> bytes) {
  MsgpackReader reader(bytes);
  std::uint32_t count = 0;
  std::uint64_t value = 0;
  return reader.array(count) && reader.unsignedInteger(value) && reader.unsignedInteger(value) &&
         reader.unsignedInteger(value) && value == kFetchKind;
}

Result<FetchMessage, VerdictError> decodeFetch(std::span<const std::uint8_t> bytes) {
  return FetchDecoder(bytes).run();
}

// What a worker is told

std::size_t fetchFieldsRoom(const OutgoingFields& fields) {
  std::size_t room = kArrayHead;
  eachField(fields, [&](std::string_view name, std::string_view value) {
    room += 2 * kTextHead + latin1Size(name) + latin1Size(value);
  });
  return room;
}

std::size_t packFetchFields(const OutgoingFields& fields, std::span<std::byte> out) {
  std::size_t count = 0;
  eachField(fields, [&](std::string_view, std::string_view) { ++count; });
  MessageWriter writer(out);
  writer.array(2 * count);
  eachField(fields, [&](std::string_view name, std::string_view value) {
    writer.latin1Text(name);
    writer.latin1Text(value);
  });
  return writer.size();
}

std::size_t writeFetchResponse(const FetchId& id, std::uint16_t status, std::string_view fields,
                               std::string_view body, std::span<std::byte> out) {
  MessageWriter writer(out);
  writeId(writer, 7, id);
  writer.number(status);
  writer.raw(fields);
  writer.bytes(body);
  return writer.size();
}

std::size_t writeFetchFailure(const FetchId& id, Reason reason, std::span<std::byte> out) {
  MessageWriter writer(out);
  writeId(writer, 6, id);
  writer.anyText(reasonCode(reason));
  writer.anyText(reasonText(reason));
  return writer.size();
}

}  // namespace tidegate
