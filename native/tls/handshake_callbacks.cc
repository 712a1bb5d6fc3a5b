// Each finds the connection, and through it the listener's context, by the SSL object alone: one
// set of functions serves every listener.
#include "tls/handshake_callbacks.h"

#include <algorithm>
#include <string_view>

#include "base/ascii.h"
#include "base/clock.h"
#include "tls/ja4.h"
#include "tls/layer.h"
#include "tls/server_context.h"

namespace tidegate::tls {

namespace {

// The one name of the extension (RFC 6066 3); empty where it says anything else.
std::string_view serverNameIn(std::string_view extension) {
  constexpr std::size_t kHeader = 5;  // length of the list, type of the name, its length
  if (extension.size() < kHeader) return {};
  const auto number = [extension](std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(extension[at])) << 8 |
           static_cast<unsigned char>(extension[at + 1]);
  };
  if (number(0) != extension.size() - 2 || extension[2] != TLSEXT_NAMETYPE_host_name) return {};
  const std::string_view name = extension.substr(kHeader);
  if (number(3) != name.size() || name.size() > TLSEXT_MAXLEN_host_name) return {};
  const bool fits = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; });
  return fits ? name : std::string_view{};
}

// The first message of the client is what its fingerprint is made of, as OpenSSL shows the
// extensions that it knows alone.
void onMessage(int written, int, int type, const void* bytes, std::size_t size, SSL* ssl, void*) {
  if (written != 0 || type != SSL3_RT_HANDSHAKE || size == 0) return;
  Layer& layer = Layer::of(ssl);
  if (!layer.answered())
    layer.setFingerprint(ja4Of({static_cast<const unsigned char*>(bytes), size}));
}

// Before anything is decided, the session included.
int onClientHello(SSL* ssl, int* alert, void*) {
  Layer& layer = Layer::of(ssl);
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) == 1)
    layer.setServerName(serverNameIn({reinterpret_cast<const char*>(data), size}));
  SSL_CTX* const context = layer.context()->contextFor(layer.serverName());
  if (context != nullptr) {
    SSL_set_SSL_CTX(ssl, context);
  } else if (layer.context()->strictSni()) {
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    layer.refuseServerName();
    return SSL_CLIENT_HELLO_ERROR;
  }
  return SSL_CLIENT_HELLO_SUCCESS;
}

// Makes OpenSSL keep the name in the session, and hold a resumed one against it.
int onServerName(SSL* ssl, int*, void*) {
  return Layer::of(ssl).serverName().empty() ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

int onProtocols(SSL* ssl, const unsigned char** chosen, unsigned char* chosenLength,
                const unsigned char* offered, unsigned int offeredLength, void*) {
  const std::string& ours = Layer::of(ssl).context()->protocols();
  unsigned char* out = nullptr;
  if (SSL_select_next_proto(&out, chosenLength, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned int>(ours.size()), offered,
                            offeredLength) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = out;
  return SSL_TLSEXT_ERR_OK;
}

int onTicketKey(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac, int seal) {
  TicketKeys* const keys = Layer::of(ssl).context()->ticketKeys();
  const int result =
      keys == nullptr ? 0 : keys->prepare(seal == 1, name, iv, cipher, mac, monotonicMillis());
  // Of TLS 1.3 a ticket is to be used once (RFC 8446 C.4): each that opens is followed by another.
  constexpr int kOpened = 1;
  constexpr int kOpenedAndRenew = 2;
  const bool used = seal == 0 && SSL_version(ssl) == TLS1_3_VERSION;
  return result == kOpened && used ? kOpenedAndRenew : result;
}

// A session was made with one name and is good for that one alone (RFC 6066 3).
SSL_TICKET_RETURN onTicketOpened(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t,
                                 SSL_TICKET_STATUS status, void*) {
  switch (status) {
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
      return SSL_TICKET_RETURN_IGNORE_RENEW;
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
      break;
    default:
      return SSL_TICKET_RETURN_ABORT;
  }
  const char* const made = SSL_SESSION_get0_hostname(session);
  std::string_view name = made == nullptr ? std::string_view{} : made;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!equalsIgnoreCase(name, Layer::of(ssl).serverName())) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

}  // namespace

void setServerCallbacks(SSL_CTX* context) {
  SSL_CTX_set_msg_callback(context, onMessage);
  SSL_CTX_set_client_hello_cb(context, onClientHello, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, onServerName);
  SSL_CTX_set_alpn_select_cb(context, onProtocols, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, onTicketKey);
  SSL_CTX_set_session_ticket_cb(context, nullptr, onTicketOpened, nullptr);
}

}  // namespace tidegate::tls
