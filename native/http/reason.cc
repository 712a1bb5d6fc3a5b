// The words, statuses and sentences of the reasons.
#include "http/reason.h"

#include <array>
#include <cstddef>

namespace tidegate {
namespace {

struct ReasonInfo {
  std::string_view code;
  std::uint16_t status;
  std::string_view text;
};

constexpr std::array<ReasonInfo, kReasonCount> kReasons = {{
#define X(name, code, status, text) {code, status, text},
    TIDEGATE_REASONS(X)
#undef X
}};

const ReasonInfo& info(Reason reason) { return kReasons[static_cast<std::size_t>(reason)]; }

}  // namespace

std::string_view reasonCode(Reason reason) { return info(reason).code; }

std::uint16_t reasonStatus(Reason reason) { return info(reason).status; }

std::string_view reasonText(Reason reason) { return info(reason).text; }

}  // namespace tidegate
