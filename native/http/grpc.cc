#include "http/grpc.h"

#include "base/ascii.h"

namespace tidegate {

namespace {

constexpr std::string_view kType = "application/grpc";
constexpr std::size_t kMaxTimeoutDigits = 8;

// Nanoseconds; 0 for no unit.
std::uint64_t unitNanos(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

}  // namespace

bool isGrpc(std::string_view contentType) {
  if (!equalsIgnoreCase(contentType.substr(0, kType.size()), kType)) return false;
  const std::string_view rest = contentType.substr(kType.size());
  return rest.empty() || rest.front() == '+' || rest.front() == ';' || rest.front() == ' ';
}

std::uint64_t grpcTimeoutMillis(std::string_view value) {
  if (value.size() < 2 || value.size() > kMaxTimeoutDigits + 1) return kNoGrpcTimeout;
  std::uint64_t amount = 0;
  for (const char c : value.substr(0, value.size() - 1)) {
    if (c < '0' || c > '9') return kNoGrpcTimeout;
    amount = amount * 10 + static_cast<std::uint64_t>(c - '0');
  }
  const std::uint64_t unit = unitNanos(value.back());
  if (unit == 0) return kNoGrpcTimeout;
  constexpr std::uint64_t kNanosPerMilli = 1'000'000;
  // Eight digits of hours are less than 2^64 ns only in milliseconds.
  if (unit >= kNanosPerMilli) return amount * (unit / kNanosPerMilli);
  return (amount * unit + kNanosPerMilli - 1) / kNanosPerMilli;
}

std::string_view grpcStatus(std::uint16_t httpStatus) {
  switch (httpStatus) {
    case 400:
    case 408:
    case 414:
    case 417:
    case 431:
    case 500:
      return "13";  // INTERNAL
    case 401:
      return "16";  // UNAUTHENTICATED
    case 403:
      return "7";  // PERMISSION_DENIED
    case 404:
    case 405:
    case 501:
      return "12";  // UNIMPLEMENTED
    case 413:
    case 429:
      return "8";  // RESOURCE_EXHAUSTED
    case 502:
    case 503:
      return "14";  // UNAVAILABLE
    case 504:
      return "4";  // DEADLINE_EXCEEDED
    default:
      return "2";  // UNKNOWN
  }
}

std::size_t writeGrpcMessage(std::string_view text, char* out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  char* at = out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%') {
      *at++ = c;
      continue;
    }
    *at++ = '%';
    *at++ = kHex[byte >> 4];
    *at++ = kHex[byte & 15];
  }
  return static_cast<std::size_t>(at - out);
}

}  // namespace tidegate
