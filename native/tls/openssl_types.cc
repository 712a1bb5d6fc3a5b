#include "tls/openssl_types.h"

namespace tidegate::tls {

unsigned long takeError() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  return first;
}

std::string_view errorReason(unsigned long error) {
  const char* const reason = ERR_reason_error_string(error);
  return reason == nullptr ? std::string_view{} : reason;
}

std::string errorText(unsigned long error) {
  if (const std::string_view reason = errorReason(error); !reason.empty())
    return std::string(reason);
  return error == 0 ? "unknown error" : "error " + std::to_string(ERR_GET_REASON(error));
}

}  // namespace tidegate::tls
