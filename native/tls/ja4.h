// JA4 of a ClientHello: what a client's TLS library and settings look like, whatever it says of
// itself (FoxIO's specification of 2023, for TLS over TCP).
#pragma once

#include <span>
#include <string>

namespace tidegate::tls {

// `hello` is the whole handshake message. Empty where it is not one.
std::string ja4Of(std::span<const unsigned char> hello);

}  // namespace tidegate::tls
