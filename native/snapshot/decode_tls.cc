#include "snapshot/decode_tls.h"

#include <algorithm>
#include <array>

#include "snapshot/limits.h"
#include "snapshot/text_rules.h"
#include "tls/client_context.h"
#include "tls/server_context.h"

namespace tidegate {
namespace {

using Reader = ValueReader;
using tls::CertificateConfig;
using tls::ClientAuthConfig;
using tls::ClientConfig;
using tls::ServerConfig;

// "*.suffix", or a name; never "*" alone.
bool isCertificateName(std::string_view text) { return text != "*" && isHostPattern(text); }

bool isOpenSslList(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

bool isAnyText(std::string_view) { return true; }

constexpr TextRule kPem = {1, limits::kPemBytes, isAnyText, "PEM"};
constexpr TextRule kPemOrNone = {0, limits::kPemBytes, isAnyText, "PEM"};
constexpr TextRule kCertificateName = {1, limits::kHostBytes, isCertificateName,
                                       "a lower-case host or \"*.suffix\""};
constexpr TextRule kOpenSslList = {1, limits::kPatternBytes, isOpenSslList,
                                   "names with \":\" between them"};

constexpr std::array<std::string_view, 2> kVersions = {"TLSv1.2", "TLSv1.3"};

constexpr Member<CertificateConfig> kCertificate[] = {
    {"cert",
     [](Reader& r, CertificateConfig& c) { return r.text(c.certificate, kPem, Shown::Never); }},
    {"key", [](Reader& r, CertificateConfig& c) { return r.text(c.key, kPem, Shown::Never); }},
    {"names",
     [](Reader& r, CertificateConfig& c) {
       return r.list(c.names, limits::kCertificateNames, [](Reader& element, std::string& name) {
         return element.text(name, kCertificateName);
       });
     }},
};

bool certificate(Reader& reader, CertificateConfig& target) {
  if (!reader.members(target, kCertificate)) return false;
  if (target.certificate.empty()) return reader.wrongAt("cert", "is missing");
  if (target.key.empty()) return reader.wrongAt("key", "is missing");
  return true;
}

bool ticketKey(Reader& reader, tls::TicketKey& target) {
  std::string_view bytes;
  if (!reader.binary(bytes, "80 bytes")) return false;
  if (bytes.size() != target.size()) return reader.wrong("expected 80 bytes");
  std::ranges::copy(bytes, target.begin());
  return true;
}

constexpr std::array<std::string_view, 4> kClientAuthModes = {"none", "optional", "required",
                                                              "request"};

constexpr Member<ClientAuthConfig> kClientAuth[] = {
    {"mode", [](Reader& r, ClientAuthConfig& c) { return r.oneOf(c.mode, kClientAuthModes); }},
    {"ca", [](Reader& r, ClientAuthConfig& c) { return r.text(c.authorities, kPem); }},
    {"crl", [](Reader& r, ClientAuthConfig& c) { return r.textOrNone(c.revocations, kPem); }},
    {"depth",
     [](Reader& r, ClientAuthConfig& c) { return r.number(c.depth, limits::kChainDepth); }},
};

constexpr Member<ServerConfig> kTls[] = {
    {"certificates",
     [](Reader& r, ServerConfig& c) {
       return r.list(c.certificates, limits::kCertificates, certificate);
     }},
    {"minVersion",
     [](Reader& r, ServerConfig& c) { return r.oneOf(c.protocol.minVersion, kVersions); }},
    {"maxVersion",
     [](Reader& r, ServerConfig& c) { return r.oneOf(c.protocol.maxVersion, kVersions); }},
    {"ciphers",
     [](Reader& r, ServerConfig& c) { return r.textOrNone(c.protocol.ciphers, kOpenSslList); }},
    {"cipherSuites",
     [](Reader& r, ServerConfig& c) {
       return r.textOrNone(c.protocol.cipherSuites, kOpenSslList);
     }},
    {"groups",
     [](Reader& r, ServerConfig& c) { return r.textOrNone(c.protocol.groups, kOpenSslList); }},
    {"strictSni", [](Reader& r, ServerConfig& c) { return r.boolean(c.strictSni); }},
    {"earlyData", [](Reader& r, ServerConfig& c) { return r.boolean(c.earlyData); }},
    {"clientAuth", [](Reader& r, ServerConfig& c) { return r.members(c.clientAuth, kClientAuth); }},
    {"tickets", [](Reader& r, ServerConfig& c) { return r.boolean(c.tickets); }},
    {"ticketRotation",
     [](Reader& r, ServerConfig& c) { return r.number(c.ticketRotation, limits::kTimeout); }},
    {"ticketKeys",
     [](Reader& r, ServerConfig& c) {
       return r.list(c.ticketKeys, limits::kTicketKeys, ticketKey);
     }},
};

constexpr Member<ClientConfig> kUpstreamTls[] = {
    {"verify", [](Reader& r, ClientConfig& c) { return r.boolean(c.verify); }},
    {"ca", [](Reader& r, ClientConfig& c) { return r.textOrNone(c.authorities, kPem); }},
    {"cert", [](Reader& r, ClientConfig& c) { return r.textOrNone(c.certificate, kPem); }},
    {"key", [](Reader& r, ClientConfig& c) { return r.text(c.key, kPemOrNone, Shown::Never); }},
    {"minVersion",
     [](Reader& r, ClientConfig& c) { return r.oneOf(c.protocol.minVersion, kVersions); }},
    {"maxVersion",
     [](Reader& r, ClientConfig& c) { return r.oneOf(c.protocol.maxVersion, kVersions); }},
    {"ciphers",
     [](Reader& r, ClientConfig& c) { return r.textOrNone(c.protocol.ciphers, kOpenSslList); }},
    {"cipherSuites",
     [](Reader& r, ClientConfig& c) {
       return r.textOrNone(c.protocol.cipherSuites, kOpenSslList);
     }},
    {"groups",
     [](Reader& r, ClientConfig& c) { return r.textOrNone(c.protocol.groups, kOpenSslList); }},
};

}  // namespace

bool decodeListenerTls(ValueReader& reader, ListenerConfig& listener) {
  return reader.members(listener.tlsSource.emplace(), kTls);
}

bool buildListenerTls(ValueReader& reader, ListenerConfig& listener) {
  if (!listener.tlsSource) return true;
  listener.tlsSource->http1 = listener.http1;
  listener.tlsSource->http2 = listener.http2;
  auto built = tls::ServerContext::create(*listener.tlsSource, listener.name);
  if (!built) {
    const std::string place = built.error().place.empty() ? "tls" : "tls." + built.error().place;
    return reader.wrongAt(place, built.error().message);
  }
  listener.tls = std::move(*built);
  // The keys are in OpenSSL's hands now.
  listener.tlsSource.reset();
  return true;
}

bool decodeUpstreamTls(ValueReader& reader, UpstreamConfig& upstream) {
  return reader.members(upstream.tlsSource.emplace(), kUpstreamTls);
}

bool decodeAuthorities(ValueReader& reader, Snapshot& snapshot) {
  return reader.textOrNone(snapshot.authorities, kPem);
}

std::string buildUpstreamTls(Snapshot& snapshot) {
  for (std::size_t i = 0; i < snapshot.upstreams.size(); ++i) {
    UpstreamConfig& upstream = snapshot.upstreams[i];
    const std::string place = "upstreams[" + std::to_string(i) + "]";
    if (!upstream.tlsSource && upstream.protocol == UpstreamProtocol::Auto)
      return place + ".protocol: auto needs tls";
    if (!upstream.tlsSource) continue;
    for (std::size_t e = 0; e < upstream.endpoints.size(); ++e) {
      if (upstream.tlsSource->verify && upstream.endpoints[e].serverName.empty())
        return place + ".endpoints[" + std::to_string(e) + "].serverName: is missing";
    }
    upstream.tlsSource->http2 = upstream.protocol != UpstreamProtocol::Http1;
    upstream.tlsSource->either = upstream.protocol == UpstreamProtocol::Auto;
    auto built = tls::ClientContext::create(*upstream.tlsSource, snapshot.authorities);
    if (!built) {
      std::string message = place + ".tls";
      if (!built.error().place.empty()) message.append(".").append(built.error().place);
      return message.append(": ").append(built.error().message);
    }
    upstream.tls = std::move(*built);
    upstream.tlsSource.reset();
  }
  snapshot.authorities.clear();
  return {};
}

}  // namespace tidegate
