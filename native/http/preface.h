// What an HTTP/2 client sends first (RFC 9113 3.4), so that everyone can tell it apart.
#pragma once

#include <string_view>

namespace tidegate {

inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace tidegate
