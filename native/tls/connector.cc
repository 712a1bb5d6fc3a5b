#include "tls/connector.h"

#include <array>
#include <utility>

#include "tls/client_context.h"
#include "tls/layer.h"

namespace tidegate::tls {

namespace {

// As in the extension (RFC 7301 3.1): a length, and as many bytes.
constexpr std::array<unsigned char, 9> kHttp1Alone = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

using SessionPointer = std::unique_ptr<SSL_SESSION, Releaser<SSL_SESSION_free>>;

// 0: the object stays OpenSSL's.
int onNewSession(SSL* ssl, SSL_SESSION* session) {
  Connector* const connector = Layer::of(ssl).connector();
  if (connector != nullptr) connector->keep(session);
  return 0;
}

}  // namespace

void Connector::keepSessionsOf(SSL_CTX* context) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, onNewSession);
}

void Connector::configure(std::shared_ptr<const ClientContext> context, const std::string& name) {
  context_ = std::move(context);
  if (name_ == name) return;
  name_ = name;
  session_.clear();
}

void Connector::keep(SSL_SESSION* session) {
  const int size = i2d_SSL_SESSION(session, nullptr);
  if (size <= 0) return;
  session_.resize(static_cast<std::size_t>(size));
  auto* out = reinterpret_cast<unsigned char*>(session_.data());
  i2d_SSL_SESSION(session, &out);
}

bool Connector::layerFor(std::unique_ptr<TransportLayer>& layer, Offer offer) {
  if (context_ == nullptr) return true;
  SslPointer ssl = context_->newConnection(name_);
  if (ssl == nullptr) return false;
  if (offer == Offer::Http1 &&
      SSL_set_alpn_protos(ssl.get(), kHttp1Alone.data(), kHttp1Alone.size()) != 0)
    return false;
  const auto* bytes = reinterpret_cast<const unsigned char*>(session_.data());
  if (const SessionPointer session{
          session_.empty() ? nullptr
                           : d2i_SSL_SESSION(nullptr, &bytes, static_cast<long>(session_.size()))})
    SSL_set_session(ssl.get(), session.get());
  layer = std::make_unique<Layer>(buffers_, std::move(ssl), *this, context_->requiredProtocol());
  return true;
}

}  // namespace tidegate::tls
