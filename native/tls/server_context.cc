// Order of this file: reading certificates, the contexts, the choice by name.
#include "tls/server_context.h"

#include <openssl/crypto.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/ascii.h"
#include "tls/handshake_callbacks.h"
#include "tls/record_cipher.h"

namespace tidegate::tls {

namespace {

constexpr std::size_t kMaxNameBytes = 255;

// Of early data: a flight of requests without bodies. It is held in memory where nobody reads it.
constexpr std::uint32_t kMaxEarlyData = 16 * 1024;

std::string lowerCase(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return toLower(c); });
  return result;
}

// The DNS names of the certificate, or where it has none its common name.
std::vector<std::string> namesOf(X509* certificate) {
  std::vector<std::string> names;
  auto* alternatives = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, i);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    names.push_back(
        lowerCase({text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
  }
  GENERAL_NAMES_free(alternatives);
  if (!names.empty()) return names;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return names;
  const ASN1_STRING* common = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(common));
  names.push_back(lowerCase({text, static_cast<std::size_t>(ASN1_STRING_length(common))}));
  return names;
}

}  // namespace

struct ServerContext::Certificate {
  Identity identity;
  std::vector<std::string> names;
};

// The contexts

Result<std::shared_ptr<ServerContext>, ConfigError> ServerContext::create(
    const ServerConfig& config, std::string_view identity) {
  clearErrors();
  std::shared_ptr<ServerContext> context(new ServerContext());
  ConfigError error;
  const bool built = context->build(config, identity, error);
  clearErrors();
  if (!built) return Failure{std::move(error)};
  return context;
}

bool ServerContext::build(const ServerConfig& config, std::string_view identity,
                          ConfigError& error) {
  strictSni_ = config.strictSni;
  earlyData_ = config.earlyData;
  if (config.http2) protocols_ += "\x02h2";
  if (config.http1) protocols_ += "\x08http/1.1";
  fixedTicketKeys_ = config.ticketKeys;
  ticketRotation_ = config.ticketRotation;
  std::vector<Certificate> certificates(config.certificates.size());
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    const CertificateConfig& source = config.certificates[i];
    Identity& identity = certificates[i].identity;
    if (!readIdentity(source.certificate, source.key, identity, error)) {
      error.place = "certificates[" + std::to_string(i) + "]." + error.place;
      return false;
    }
    certificates[i].names = source.names.empty() ? namesOf(identity.leaf.get()) : source.names;
  }

  // Of two certificates with one name and one kind of key, the first one counts.
  std::map<std::string, Choice> choices;
  const auto add = [&certificates](Choice& choice, std::size_t index) {
    const int kind = EVP_PKEY_get_base_id(certificates[index].identity.key.get());
    for (const std::size_t other : choice) {
      if (EVP_PKEY_get_base_id(certificates[other].identity.key.get()) == kind) return;
    }
    choice.push_back(index);
  };
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    for (const std::string& name : certificates[i].names) add(choices[name], i);
  }
  Choice fallback = {0};
  if (!certificates.front().names.empty()) {
    for (const std::size_t index : choices[certificates.front().names.front()])
      add(fallback, index);
  }

  std::map<Choice, SSL_CTX*> made;
  const auto contextOf = [&](const Choice& choice) {
    SSL_CTX*& context = made[choice];
    if (context == nullptr) context = makeContext(config, identity, certificates, choice, error);
    return context;
  };
  if (contextOf(fallback) == nullptr) return false;
  for (const auto& [name, choice] : choices) {
    SSL_CTX* context = contextOf(choice);
    if (context == nullptr) return false;
    if (name.starts_with("*.")) {
      wildcard_.emplace(name.substr(2), context);
    } else {
      exact_.emplace(name, context);
    }
  }
  return true;
}

bool ServerContext::setClientAuth(SSL_CTX* context, const ClientAuthConfig& config,
                                  ConfigError& error) {
  if (config.mode == ClientAuth::None) return true;
  const int need = config.mode == ClientAuth::Required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  // Without a callback, a certificate that is not good ends the handshake.
  const auto letIn = [](int, X509_STORE_CTX*) { return 1; };
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | need,
                     config.mode == ClientAuth::Request ? +letIn : nullptr);
  SSL_CTX_set_verify_depth(context, static_cast<int>(config.depth));
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  if (addAuthorities(store, config.authorities) <= 0) {
    error = {"clientAuth.ca", opensslReason("expected certificates in PEM")};
    return false;
  }
  if (!config.revocations.empty()) {
    if (addRevocationLists(store, config.revocations) <= 0) {
      error = {"clientAuth.crl", opensslReason("expected revocation lists in PEM")};
      return false;
    }
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  }
  // Clients choose among their certificates by the names of the authorities.
  STACK_OF(X509_OBJECT)* const objects = X509_STORE_get0_objects(store);
  for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
    X509* const authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
    if (authority != nullptr) SSL_CTX_add_client_CA(context, authority);
  }
  return true;
}

SSL_CTX* ServerContext::makeContext(const ServerConfig& config, std::string_view identity,
                                    const std::vector<Certificate>& certificates,
                                    const Choice& choice, ConfigError& error) {
  SslContextPointer context = RecordCiphers::newContext(TLS_server_method());
  const auto failed = [&error](std::string place, std::string_view what) -> SSL_CTX* {
    error = {std::move(place), opensslReason(what)};
    return nullptr;
  };
  if (context == nullptr) return failed("", "no context can be made");
  SSL_CTX* const ctx = context.get();

  if (!applyProtocol(*ctx, config.protocol, error)) return nullptr;

  for (const std::size_t index : choice) {
    const Identity& certificate = certificates[index].identity;
    if (SSL_CTX_use_cert_and_key(ctx, certificate.leaf.get(), certificate.key.get(),
                                 certificate.chain.get(), 1) != 1)
      return failed("certificates[" + std::to_string(index) + "].cert",
                    "the certificate cannot be used");
  }

  if (!setClientAuth(ctx, config.clientAuth, error)) return nullptr;

  std::array<unsigned char, EVP_MAX_MD_SIZE> id{};
  unsigned int idBytes = 0;
  // A session was made under the rules for clients' certificates of its time.
  std::string rules(identity);
  rules += static_cast<char>(config.clientAuth.mode);
  rules += config.clientAuth.authorities + '\n' + config.clientAuth.revocations;
  EVP_Digest(rules.data(), rules.size(), id.data(), &idBytes, EVP_sha256(), nullptr);
  SSL_CTX_set_session_id_context(ctx, id.data(), SSL_MAX_SID_CTX_LENGTH);
  if (config.tickets) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    // No client is told to keep a ticket for longer than its key opens it.
    constexpr std::uint64_t kWeekSeconds = 7ull * 24 * 60 * 60;
    SSL_CTX_set_timeout(ctx, static_cast<long>(std::clamp<std::uint64_t>(
                                 config.ticketRotation / 1000, 1, kWeekSeconds)));
  } else {
    // Then OpenSSL's own store, which all threads share behind its lock: a handshake costs a
    // thousand times what the lock does.
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
  }
  if (config.earlyData) {
    // OpenSSL's store forgets a session of TLS 1.3 when it is resumed, under its lock: no thread
    // takes the same early data twice. Tickets of TLS 1.2 stay what they are.
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_set_max_early_data(ctx, kMaxEarlyData);
    SSL_CTX_set_recv_max_early_data(ctx, kMaxEarlyData);
  }
  setServerCallbacks(ctx);
  contexts_.push_back(std::move(context));
  choices_.push_back(choice);
  return ctx;
}

void ServerContext::useTicketKeys(std::shared_ptr<TicketKeys> keys) {
  keys->configure(fixedTicketKeys_, ticketRotation_);
  for (TicketKey& key : fixedTicketKeys_) OPENSSL_cleanse(key.data(), key.size());
  fixedTicketKeys_.clear();
  ticketKeys_ = std::move(keys);
}

SslPointer ServerContext::newConnection() const {
  clearErrors();
  SslPointer ssl(SSL_new(contexts_.front().get()));
  if (ssl != nullptr) SSL_set_accept_state(ssl.get());
  return ssl;
}

std::string_view ServerContext::protocolNamed(std::string_view name) const {
  for (std::string_view rest = protocols_; !rest.empty();) {
    const std::string_view its = rest.substr(1, static_cast<unsigned char>(rest.front()));
    if (its == name) return its;
    rest.remove_prefix(1 + its.size());
  }
  return {};
}

// The choice by name

SSL_CTX* ServerContext::contextFor(std::string_view name) const {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kMaxNameBytes) return nullptr;
  std::array<char, kMaxNameBytes> lower{};
  std::ranges::transform(name, lower.begin(), [](char c) { return toLower(c); });
  const std::string_view wanted(lower.data(), name.size());
  if (const auto found = exact_.find(wanted); found != exact_.end()) return found->second;
  // A wildcard stands for one label (RFC 6125 6.4.3).
  const std::size_t dot = wanted.find('.');
  if (dot == std::string_view::npos || dot == 0) return nullptr;
  const auto found = wildcard_.find(wanted.substr(dot + 1));
  return found == wildcard_.end() ? nullptr : found->second;
}

std::vector<std::size_t> ServerContext::certificatesFor(std::string_view name) const {
  const SSL_CTX* const wanted = contextFor(name);
  if (wanted == nullptr) return strictSni_ ? Choice{} : choices_.front();
  const auto found = std::ranges::find(contexts_, wanted, &SslContextPointer::get);
  return choices_[static_cast<std::size_t>(found - contexts_.begin())];
}

}  // namespace tidegate::tls
