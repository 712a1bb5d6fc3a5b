// Fuzzes the decoders of verdicts and fetches: whatever a worker writes, it is refused with a
// message, or it keeps what verdict.h or fetch.h promises.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "base/msgpack.h"
#include "http/field_rules.h"
#include "policy/fetch.h"
#include "policy/verdict.h"

namespace tidegate {
namespace {

void promise(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}
#define PROMISE(...) promise((__VA_ARGS__), #__VA_ARGS__)

void checkName(std::string_view name) {
  PROMISE(name.size() <= kMaxVerdictNameBytes);
  PROMISE(isPlainText(name) && isUtf8(name));
}

void checkEdits(const VerdictEdits& edits, bool onlyAdds) {
  std::uint32_t count = 0;
  edits.each([&](const VerdictEdit& edit) {
    ++count;
    PROMISE(isEditableField(edit.name));
    PROMISE(edit.id == fieldIdOf(edit.name));
    PROMISE(isFieldText(edit.value) && trimOws(edit.value) == edit.value);
    PROMISE(edit.op != EditOp::Remove || edit.value.empty());
    PROMISE(!onlyAdds || edit.op == EditOp::Add);
  });
  PROMISE(count <= kMaxVerdictEdits && edits.empty() == (count == 0));
}

void checkTerms(const Verdict& verdict) {
  checkName(verdict.consumer);
  PROMISE(verdict.replayMillis <= kMaxReplayMillis && verdict.staleMillis <= kMaxReplayMillis);
  for (const VerdictCharge& charge : verdict.charges) {
    PROMISE(charge.limit.max() > 0 && charge.cost <= kMaxCost);
    PROMISE(!charge.key.empty() && charge.key.size() <= kMaxChargeKeyBytes);
    PROMISE(charge.status >= 400 && charge.status <= 599);
    PROMISE(charge.name.find_first_of("\"\\ \r\n") == std::string_view::npos);
    PROMISE(isPlainText(charge.reason));
  }
  PROMISE(verdict.charges.size() <= kMaxVerdictCharges);
  std::uint32_t times = 0;
  verdict.times.each([&](std::uint32_t) { ++times; });
  PROMISE(times <= kMaxVerdictTimes && verdict.tags.size() <= kMaxVerdictTags);
}

void checkMethod(std::string_view method) {
  if (method.empty()) return;
  PROMISE(isToken(method) && method.size() <= kMaxVerdictMethodBytes);
  for (const std::string_view fixed : {"HEAD", "CONNECT", "TRACE"})
    PROMISE(!equalsIgnoreCase(method, fixed));
}

void checkPath(std::string_view path) {
  PROMISE(path.empty() || path.front() == '/');
  PROMISE(path.find_first_of("?# \r\n") == std::string_view::npos);
  PROMISE((std::string(path) + "/").find("/../") == std::string::npos);
}

void checkFetch(std::span<const std::uint8_t> bytes) {
  const Result<FetchMessage, VerdictError> decoded = decodeFetch(bytes);
  if (!decoded) {
    PROMISE(!decoded.error().message.empty());
    return;
  }
  const FetchMessage& fetch = *decoded;
  PROMISE(isFetchMessage(bytes));
  if (fetch.takenBack) {
    PROMISE(fetch.upstream.empty() && fetch.fields.size() == 0 && !fetch.hasBody);
    return;
  }
  checkName(fetch.upstream);
  PROMISE(!fetch.upstream.empty());
  PROMISE(isToken(fetch.method) && fetch.method.size() <= kMaxFetchMethodBytes);
  PROMISE(fetch.method != "CONNECT" && fetch.method != "TRACE");
  PROMISE(!fetch.path.empty());
  checkPath(fetch.path);
  PROMISE(fetch.query.find_first_of("# \r\n") == std::string_view::npos);
  PROMISE(fetch.hasQuery || fetch.query.empty());
  PROMISE(fetch.path.size() + fetch.query.size() <= kMaxFetchTargetBytes);
  std::uint32_t count = 0;
  std::size_t size = 0;
  fetch.fields.each([&](std::string_view name, std::string_view value) {
    ++count;
    size += name.size() + value.size();
    PROMISE(isEditableField(name));
    PROMISE(isFieldText(value) && trimOws(value) == value);
  });
  PROMISE(count == fetch.fields.size() && count <= kMaxFetchFields);
  PROMISE(size == fetch.fields.bytes() && size <= kMaxFetchFieldBytes);
  PROMISE(fetch.body.size() <= kMaxFetchBody && (fetch.hasBody || fetch.body.empty()));
  PROMISE(fetch.timeoutMillis <= kMaxFetchMillis);
}

void checkVerdict(const Verdict& verdict) {
  checkName(verdict.upstream);
  checkName(verdict.policy);
  checkTerms(verdict);
  checkMethod(verdict.method);
  checkPath(verdict.path);
  std::uint32_t queryEdits = 0;
  verdict.queryEdits.each([&](const VerdictEdit& edit) {
    ++queryEdits;
    PROMISE(isUtf8(edit.name) && isUtf8(edit.value));
  });
  PROMISE(queryEdits == verdict.queryEdits.size() && queryEdits <= kMaxVerdictEdits);
  checkEdits(verdict.requestEdits, false);
  checkEdits(verdict.responseEdits, false);
  checkEdits(verdict.fields, true);
  PROMISE(isPlainText(verdict.detail) && verdict.detail.size() <= kMaxVerdictDetailBytes);
  switch (verdict.kind) {
    case VerdictKind::Answer:
      PROMISE(verdict.hasBody && verdict.status >= 200 && verdict.status <= 599);
      break;
    case VerdictKind::Deny:
      PROMISE(verdict.status >= 400 && verdict.status <= 599);
      break;
    case VerdictKind::GoOn:
      PROMISE(verdict.status == 0 && verdict.fields.empty());
      PROMISE(verdict.hasBody || verdict.body.empty());
      break;
    case VerdictKind::Failed:
      PROMISE(verdict.status == 0 && !verdict.hasBody && verdict.fields.empty());
      break;
    case VerdictKind::Pass:
      PROMISE(verdict.status == 0 || (verdict.status >= 200 && verdict.status <= 599));
      PROMISE(verdict.fields.empty() && verdict.requestEdits.empty() && verdict.upstream.empty());
      PROMISE(verdict.method.empty() && verdict.path.empty());
      break;
  }
}

void check(std::span<const std::uint8_t> bytes) {
  static VerdictDecoder decoder;
  std::vector<std::byte> memory;
  Verdict copy;
  {
    const std::vector<std::uint8_t> lent(bytes.begin(), bytes.end());
    const Result<Verdict, VerdictError> decoded = decoder.decode(lent);
    if (!decoded) {
      PROMISE(!decoded.error().message.empty());
      return;
    }
    checkVerdict(*decoded);
    const VerdictCopy copying(*decoded, lent);
    memory.resize(copying.size());
    copy = copying.into(memory.data());
  }
  // What it was made of is gone.
  checkVerdict(copy);
}

}  // namespace
}  // namespace tidegate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tidegate::check({data, size});
  tidegate::checkFetch({data, size});
  return 0;
}
