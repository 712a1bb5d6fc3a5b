// What was agreed on in the TLS handshake of a connection, for logs, policies and upstreams.
#pragma once

#include <string_view>

namespace tidegate {

// Lives as long as the connection's transport. Texts are empty where there is nothing to say.
struct TlsFacts {
  std::string_view version;  // "TLSv1.3"
  std::string_view cipher;   // as IANA names it: "TLS_AES_128_GCM_SHA256"
  std::string_view alpn;     // "http/1.1"
  std::string_view sni;      // lower-case, without a dot at its end
  bool resumed = false;      // of a session that the client kept
  // The handshake is not complete: what has come so far may be a replay of what somebody else has
  // recorded (RFC 8446 8). Turns false, and then stays so.
  bool early = false;
  std::string_view ja4;  // of the client's first message
  // Of the client's certificate: "ok", or what is wrong with it in OpenSSL's words; empty where it
  // showed none.
  std::string_view verification;
  // Of a client's certificate that has been verified; otherwise empty.
  std::string_view subject;      // RFC 2253: "CN=api,O=Example"
  std::string_view sans;         // "DNS:a.example,URI:spiffe://…"
  std::string_view fingerprint;  // SHA-256 of it, in hexadecimal digits
  std::string_view certificate;  // DER
};

}  // namespace tidegate
