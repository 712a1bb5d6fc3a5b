// Order of this file: the BIO, the handshake, reading, what is read that is no data, writing, the
// end.
#include "tls/layer.h"

#include <openssl/sslerr.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/ascii.h"
#include "tls/server_context.h"

namespace tidegate::tls {

namespace {

// Plaintext that is sealed before it goes out: with its records it fits the largest class of blocks
// that is not rare.
constexpr std::size_t kBatchBytes = 64 * 1024;

// What a record adds, at most (RFC 5246 6.2.3.2: header, IV, padding, MAC).
constexpr std::size_t kRecordOverhead = 5 + 16 + 256 + 64;

// Longer ones are cut: they stand in log lines and in what policies read.
constexpr std::size_t kMaxFactBytes = 1024;

std::string textOf(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return {data, std::min(static_cast<std::size_t>(std::max(bytes, 0L)), kMaxFactBytes)};
}

std::string subjectOf(X509* certificate) {
  const BioPointer out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  return textOf(out.get());
}

// Names and URIs, with commas between them. A comma or line break in one of them would make it two.
std::string alternativesOf(X509* certificate) {
  std::string text;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    const bool known = name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL;
    if (!known) continue;
    // The three have the same type.
    const ASN1_IA5STRING* value = name->d.ia5;
    const std::string_view bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                 static_cast<std::size_t>(ASN1_STRING_length(value)));
    const bool plain =
        std::ranges::all_of(bytes, [](char c) { return c > ' ' && c != ',' && c < 0x7f; });
    if (!plain) continue;
    const std::string_view kind = name->type == GEN_DNS   ? "DNS:"
                                  : name->type == GEN_URI ? "URI:"
                                                          : "email:";
    if (text.size() + kind.size() + bytes.size() + 1 > kMaxFactBytes) break;
    if (!text.empty()) text += ',';
    text += kind;
    text += bytes;
  }
  GENERAL_NAMES_free(names);
  return text;
}

// What a peer can make us answer without reading any of it.
constexpr std::size_t kMaxUnsent = 256 * 1024;

}  // namespace

// The BIO

struct LayerBio {
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const kMethod = make();
    return kMethod;
  }

 private:
  static Layer& layerOf(BIO* bio) { return *static_cast<Layer*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, int size) {
    BIO_clear_retry_flags(bio);
    const int n = layerOf(bio).bioRead(into, size);
    if (n < 0) BIO_set_retry_read(bio);
    return n;
  }

  static int write(BIO* bio, const char* bytes, int size) {
    BIO_clear_retry_flags(bio);
    return layerOf(bio).bioWrite(bytes, size);
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* make() {
    BIO_METHOD* method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "tidegate");
    BIO_meth_set_read(method, read);
    BIO_meth_set_write(method, write);
    BIO_meth_set_ctrl(method, control);
    return method;
  }
};

// The BIO has a socket for the time of one call; what the call leaves of the shared memory is kept.
class Layer::Use {
 public:
  Use(Layer& layer, Socket& socket) : layer_(layer), ciphers_(layer.ciphers_) {
    layer_.socket_ = &socket;
    layer_.drained_ = layer_.produced_ = false;
    layer_.arrived_ = layer_.kept_.view();
    clearErrors();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    const std::string_view rest = std::exchange(layer_.arrived_, {});
    if (layer_.kept_.empty()) {
      layer_.kept_.keep(layer_.buffers_.pool, rest);
    } else {
      layer_.kept_.consume(layer_.kept_.view().size() - rest.size());
    }
    layer_.socket_ = nullptr;
    layer_.leaveLibssl();
    if (layer_.state_ == State::Open || layer_.state_ == State::PeerEnded) layer_.holdBuffers();
  }

 private:
  Layer& layer_;
  const RecordCiphers::InUse ciphers_;
};

bool Layer::fetch() {
  const std::size_t before = arrived_.size();
  if (before > 0) std::memmove(buffers_.cipher.data(), arrived_.data(), before);
  if (!kept_.empty()) kept_.clear();
  const IoResult io = socket_->read(std::span(buffers_.cipher).subspan(before));
  switch (io.status) {
    case IoResult::Status::Ok:
      drained_ = io.drained;
      break;
    case IoResult::Status::WouldBlock:
      drained_ = true;
      break;
    case IoResult::Status::End:
      peerClosed_ = true;
      break;
    case IoResult::Status::Failed:
      socketError_ = io.error;
      break;
  }
  const bool came = io.status == IoResult::Status::Ok;
  arrived_ = {buffers_.cipher.data(), before + (came ? io.bytes : 0)};
  return came;
}

// -1: nothing now; 0: the peer has closed, or the socket is broken.
int Layer::bioRead(char* into, int size) {
  const bool header = size == SSL3_RT_HEADER_LENGTH;
  // The one whose header made them too many may still hold data.
  if (header && flooded()) return -1;
  if (arrived_.empty()) {
    if (peerClosed_ || socketError_ != 0) return 0;
    // Once there is something to return, an empty socket is not asked again; nor where the loop
    // will tell of what comes.
    const bool told = state_ == State::Handshake && context_ != nullptr && !endComes_;
    if (socket_ == nullptr || (drained_ && (produced_ || told))) return -1;
    if (!fetch()) return peerClosed_ || socketError_ != 0 ? 0 : -1;
  }
  const std::size_t n = std::min(static_cast<std::size_t>(size), arrived_.size());
  std::memcpy(into, arrived_.data(), n);
  arrived_.remove_prefix(n);
  between_ = false;
  if (header && state_ == State::Open) ++emptyRecords_;
  return static_cast<int>(n);
}

int Layer::bioWrite(const char* bytes, int size) {
  answered_ = true;
  const auto n = static_cast<std::size_t>(size);
  stuck_ = sealedEnd_ - sealedBegin_ + n > kMaxUnsent;
  if (stuck_) return -1;
  std::memcpy(roomForSealed(n), bytes, n);
  sealedEnd_ += static_cast<std::uint32_t>(n);
  return size;
}

char* Layer::roomForSealed(std::size_t bytes) {
  if (sealedEnd_ + bytes > sealed_.capacity()) {
    const std::size_t used = sealedEnd_ - sealedBegin_;
    Block larger = buffers_.pool.acquire(std::max(used + bytes, 2 * used));
    if (used > 0) std::memcpy(larger.data(), sealed_.data() + sealedBegin_, used);
    sealed_ = std::move(larger);
    sealedBegin_ = 0;
    sealedEnd_ = static_cast<std::uint32_t>(used);
  }
  return sealed_.data() + sealedEnd_;
}

// The handshake

Layer::Layer(ThreadBuffers& buffers, SslPointer ssl, std::shared_ptr<const ServerContext> context)
    : buffers_(buffers),
      ssl_(std::move(ssl)),
      context_(std::move(context)),
      readsEarly_(context_->earlyData()) {
  attachBio();
}

Layer::Layer(ThreadBuffers& buffers, SslPointer ssl, Connector& connector,
             std::string_view protocol)
    : buffers_(buffers), ssl_(std::move(ssl)), connector_(&connector), requiredProtocol_(protocol) {
  attachBio();
}

void Layer::attachBio() {
  SSL_set_app_data(ssl_.get(), this);
  BIO* bio = BIO_new(LayerBio::method());
  if (bio == nullptr) {
    state_ = State::Broken;
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

Layer::~Layer() {
  giveBuffersBack();
  // Not to be taken for a failure, for which OpenSSL would drop the session.
  if (!independent()) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  if (counted_) buffers_.counters.tlsConnections.sub();
}

IoResult Layer::establish(Socket& socket) {
  if (state_ == State::Open) return {.drained = drained_ && kept_.empty() && unread_.empty()};
  if (state_ != State::Handshake && state_ != State::Early) return broken(0);
  const Use use(*this, socket);
  const int rc = !readsEarly_ || takeEarly() ? SSL_do_handshake(ssl_.get()) : 0;
  if (rc == 1) {
    state_ = State::Open;
    if (context_ != nullptr) {
      noteOpen();
      // Else what is left goes out with the first response.
      if (std::exchange(facts_.early, false) &&
          sendSealed(socket).status == IoResult::Status::Failed)
        return broken(writeError_);
    } else {
      protocolMissing_ = !requiredProtocol_.empty() && protocol() != requiredProtocol_;
      // Our end of the handshake, and where nothing is to follow that nothing will.
      if (protocolMissing_) SSL_shutdown(ssl_.get());
      if (sendSealed(socket).status == IoResult::Status::Failed) return broken(writeError_);
      if (protocolMissing_) return broken(0);
    }
    return {.drained = drained_ && arrived_.empty() && unread_.empty()};
  }
  const int why = SSL_get_error(ssl_.get(), rc);
  // Also an alert on why it failed.
  const IoResult sent = sendSealed(socket);
  if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
    error_ = socketError_ == 0 && !peerClosed_ ? takeError() : 0;
    clearErrors();
    return broken(socketError_);
  }
  if (sent.status == IoResult::Status::Failed) return broken(sent.error);
  return {.status = IoResult::Status::WouldBlock};
}

// There is something to read, or all is agreed.
void Layer::noteOpen() {
  if (std::exchange(counted_, true)) return;
  SSL_set_msg_callback(ssl_.get(), nullptr);
  buffers_.counters.tlsConnections.add();
  readFacts();
}

// Takes in what has come of it. True: no more is to come, and the handshake goes on; otherwise
// SSL_get_error() of 0 says what is missing.
bool Layer::takeEarly() {
  for (;;) {
    std::size_t n = 0;
    switch (SSL_read_early_data(ssl_.get(), buffers_.record.data(), buffers_.record.size(), &n)) {
      case SSL_READ_EARLY_DATA_SUCCESS:
        unread_.keep(buffers_.pool, {buffers_.record.data(), n});
        state_ = State::Early;
        facts_.early = true;
        noteOpen();
        break;
      case SSL_READ_EARLY_DATA_FINISH:
        readsEarly_ = false;
        return true;
      default:
        return false;
    }
  }
}

void Layer::setServerName(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  serverName_.resize(name.size());
  std::ranges::transform(name, serverName_.begin(), toLower);
}

// Where nothing is under way that libssl alone knows of. What a client has to say once it has sent
// data is in records that the ciphers open.
void Layer::leaveLibssl() {
  if (context_ == nullptr || state_ != State::Open || independent()) return;
  if (!between_ || stuck_ || !ciphers_.complete() || endSaid() ||
      SSL_get_key_update_type(ssl_.get()) != SSL_KEY_UPDATE_NONE)
    return;
  if (linked()) {
    unlink();
    --buffers_.holderCount;
  }
  // Not to be taken for a failure, for which OpenSSL would drop the session.
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  ciphers_.outlive(std::move(ssl_));
}

std::string_view Layer::protocol() const {
  if (independent()) return facts_.alpn;
  const unsigned char* alpn = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &length);
  if (length == 0) return {};
  return {reinterpret_cast<const char*>(alpn), length};
}

void Layer::readFacts() {
  const SSL* const ssl = ssl_.get();
  facts_.version = SSL_get_version(ssl);
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl); cipher != nullptr) {
    const char* name = SSL_CIPHER_standard_name(cipher);
    facts_.cipher = name != nullptr ? name : SSL_CIPHER_get_name(cipher);
  }
  facts_.alpn = context_->protocolNamed(protocol());
  facts_.sni = serverName_;
  facts_.ja4 = ja4_;
  facts_.resumed = SSL_session_reused(ssl) == 1;
  readCertificate();
}

void Layer::readCertificate() {
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return;
  const long verified = SSL_get_verify_result(ssl_.get());
  facts_.verification = verified == X509_V_OK ? "ok" : X509_verify_cert_error_string(verified);
  if (verified != X509_V_OK) return;
  unsigned char* der = nullptr;
  const int derBytes = i2d_X509(certificate, &der);
  if (derBytes <= 0) return;
  certificate_.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(derBytes));
  OPENSSL_free(der);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int digestBytes = 0;
  EVP_Digest(certificate_.data(), certificate_.size(), digest.data(), &digestBytes, EVP_sha256(),
             nullptr);
  constexpr char kHex[] = "0123456789abcdef";
  for (const unsigned char byte : std::span(digest).first(digestBytes)) {
    fingerprint_ += kHex[byte >> 4];
    fingerprint_ += kHex[byte & 15];
  }
  subject_ = subjectOf(certificate);
  sans_ = alternativesOf(certificate);
  facts_.subject = subject_;
  facts_.sans = sans_;
  facts_.fingerprint = fingerprint_;
  facts_.certificate = certificate_;
}

// Reading

IoResult Layer::read(Socket& socket, std::span<char> into) {
  switch (state_) {
    case State::Early:
      if (const IoResult io = establish(socket); io.status != IoResult::Status::Ok)
        return unread_.empty() || state_ == State::Broken ? io : readUnread(into);
      break;
    case State::Open:
      break;
    case State::PeerEnded:
      return {.status = IoResult::Status::End};
    case State::Handshake:
    case State::Broken:
      return broken(0);
  }
  if (!unread_.empty()) return readUnread(into);
  const Use use(*this, socket);
  const std::uint32_t sealedBefore = sealedEnd_;
  const IoResult result = receive(into);
  // An answer to the peer's new keys, or an alert; it may wait for a full socket.
  if (sealedEnd_ != sealedBefore) sendSealed(socket);
  return result;
}

IoResult Layer::readUnread(std::span<char> into) {
  const std::string_view bytes = unread_.view().substr(0, into.size());
  std::memcpy(into.data(), bytes.data(), bytes.size());
  unread_.consume(bytes.size());
  return {.bytes = bytes.size()};
}

Layer::Record Layer::openRecord(std::span<char> into, std::size_t& bytes) {
  if (!independent() && (!between_ || flooded() || !ciphers_.read.ready())) return Record::Libssl;
  if (flooded()) return refuse(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_TOO_MANY_KEY_UPDATES);
  const auto lacks = [this](std::size_t size) {
    while (arrived_.size() < size) {
      if (peerClosed_ || socketError_ != 0) return true;
      if ((drained_ && produced_) || !fetch()) return true;
    }
    return false;
  };
  const auto incomplete = [this] {
    if (!peerClosed_ && socketError_ == 0) return Record::Incomplete;
    // What the socket has ended within is for libssl to judge.
    if (!independent()) return Record::Libssl;
    // An end that the peer has not announced: what came may not be all.
    state_ = State::Broken;
    return Record::Ended;
  };
  if (lacks(kRecordHeaderBytes)) return incomplete();
  const auto* const header = reinterpret_cast<const unsigned char*>(arrived_.data());
  const std::size_t size = kRecordHeaderBytes + (std::size_t{header[3]} << 8 | header[4]);
  const bool sealed = header[0] == SSL3_RT_APPLICATION_DATA && header[1] == 3 && header[2] == 3;
  const bool fits = size <= into.size();
  if (!independent()) {
    if (!sealed || size > kMaxSealedBytes || !fits) return Record::Libssl;
  } else if (!sealed) {
    return refuse(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  } else if (size > kMaxSealedBytes) {
    return refuse(SSL_AD_RECORD_OVERFLOW, SSL_R_ENCRYPTED_LENGTH_TOO_LONG);
  }
  if (lacks(size)) return incomplete();
  char* const out = fits ? into.data() : buffers_.record.data();
  const RecordCipher::Opened opened = ciphers_.read.open(arrived_.substr(0, size), out);
  if (!independent()) {
    if (!opened.authentic || opened.type != ContentType::Data) return Record::Libssl;
  } else if (!opened.authentic) {
    return refuse(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
  }
  ciphers_.read.accept();
  arrived_.remove_prefix(size);
  const std::string_view content(out, opened.bytes);
  if (opened.type == ContentType::Handshake) return takeHandshake(content);
  if (keyUpdate_.incomplete()) return refuse(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
  if (opened.type == ContentType::Alert) return takeAlert(content);
  if (opened.type != ContentType::Data)
    return refuse(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
  if (content.empty()) {
    ++emptyRecords_;
    return Record::Data;
  }
  emptyRecords_ = 0;
  produced_ = true;
  if (fits) {
    bytes = content.size();
  } else {
    unread_.keep(buffers_.pool, content);
    if (!into.empty()) bytes = readUnread(into).bytes;
  }
  return Record::Data;
}

IoResult Layer::receive(std::span<char> into) {
  std::size_t bytes = 0;
  while (bytes < into.size()) {
    std::size_t n = 0;
    const Record record = openRecord(into.subspan(bytes), n);
    if (record == Record::Data) {
      bytes += n;
      continue;
    }
    if (record == Record::Incomplete) {
      if (bytes == 0) return {.status = IoResult::Status::WouldBlock};
      return {.bytes = bytes, .drained = true};
    }
    if (record == Record::Ended) {
      if (bytes > 0) return {.bytes = bytes};
      if (state_ == State::PeerEnded) return {.status = IoResult::Status::End};
      return broken(socketError_);
    }
    if (SSL_read_ex(ssl_.get(), into.data() + bytes, into.size() - bytes, &n) == 1) {
      bytes += n;
      produced_ = true;
      emptyRecords_ = 0;
      between_ = SSL_has_pending(ssl_.get()) == 0;
      // Asking once more, only to hear that nothing is there, costs as much as a third of a record.
      if (drained_ && arrived_.empty() && between_) return {.bytes = bytes, .drained = true};
      continue;
    }
    switch (SSL_get_error(ssl_.get(), 0)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        if (flooded()) {
          error_ = ERR_PACK(ERR_LIB_SSL, 0, SSL_R_TOO_MANY_KEY_UPDATES);
          state_ = State::Broken;
          if (bytes == 0) return broken(0);
          return {.bytes = bytes};
        }
        if (bytes == 0) return {.status = IoResult::Status::WouldBlock};
        return {.bytes = bytes, .drained = drained_};
      case SSL_ERROR_ZERO_RETURN:
        state_ = State::PeerEnded;
        if (bytes == 0) return {.status = IoResult::Status::End};
        return {.bytes = bytes};
      default:
        // Also an end of the socket that the peer has not announced: what came may not be all.
        error_ = socketError_ == 0 && !peerClosed_ ? takeError() : 0;
        clearErrors();
        state_ = State::Broken;
        if (bytes == 0) return broken(socketError_);
        return {.bytes = bytes};
    }
  }
  return {.bytes = bytes};
}

bool Layer::hasInput(Socket& socket) {
  if (state_ != State::Open || !unread_.empty()) return true;
  const Use use(*this, socket);
  if (independent()) {
    std::size_t none = 0;
    for (;;) {
      const Record record = openRecord({}, none);
      if (record != Record::Data) return record == Record::Ended;
      if (!unread_.empty()) return true;
    }
  }
  char byte = 0;
  std::size_t n = 0;
  // Takes tickets and new keys in, and leaves bytes of a message where they are.
  if (SSL_peek_ex(ssl_.get(), &byte, 1, &n) == 1) return true;
  const int why = SSL_get_error(ssl_.get(), 0);
  clearErrors();
  return why != SSL_ERROR_WANT_READ || flooded();
}

// What is read that is no data, where libssl does not read it

Layer::Record Layer::takeAlert(std::string_view content) {
  constexpr std::size_t kAlertBytes = 2;
  if (content.size() != kAlertBytes) return refuse(SSL_AD_DECODE_ERROR, SSL_R_BAD_LENGTH);
  ++emptyRecords_;
  // RFC 8446 6: how grave it is follows from what it says.
  const auto alert = static_cast<unsigned char>(content[1]);
  switch (alert) {
    case SSL_AD_CLOSE_NOTIFY:
      state_ = State::PeerEnded;
      return Record::Ended;
    case SSL_AD_USER_CANCELLED:
      return Record::Data;
    default:
      error_ = ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert);
      state_ = State::Broken;
      return Record::Ended;
  }
}

Layer::Record Layer::takeHandshake(std::string_view content) {
  using Result = KeyUpdateReader::Result;
  ++emptyRecords_;
  const Result result = keyUpdate_.read(content);
  switch (result) {
    case Result::Incomplete:
      return Record::Data;
    case Result::Renew:
    case Result::RenewBoth:
      break;
    case Result::Unexpected:
      return refuse(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
    case Result::BadLength:
      return refuse(SSL_AD_DECODE_ERROR, SSL_R_BAD_KEY_UPDATE);
    case Result::BadRequest:
      return refuse(SSL_AD_ILLEGAL_PARAMETER, SSL_R_BAD_KEY_UPDATE);
  }
  bool renewed = ciphers_.read.renew();
  // One answer that has not gone out yet answers all that the peer asks for meanwhile.
  if (result == Result::RenewBoth && !endSaid_ && !answerWaits_) {
    const auto answer = keyUpdate(false);
    answerWaits_ = sealSmall(ContentType::Handshake, {answer.data(), answer.size()});
    if (answerWaits_) renewed = ciphers_.write.renew() && renewed;
  }
  return renewed ? Record::Data : refuse(SSL_AD_INTERNAL_ERROR, ERR_R_INTERNAL_ERROR);
}

Layer::Record Layer::refuse(int alert, int reason) {
  clearErrors();
  sealAlert(SSL3_AL_FATAL, alert);
  error_ = ERR_PACK(ERR_LIB_SSL, 0, reason);
  state_ = State::Broken;
  return Record::Ended;
}

bool Layer::sealSmall(ContentType type, std::string_view content) {
  if (sealedEnd_ - sealedBegin_ > kMaxUnsent) return false;
  const std::size_t size =
      ciphers_.write.seal(content, roomForSealed(content.size() + kSealBytes), type);
  sealedEnd_ += static_cast<std::uint32_t>(size);
  return size > 0;
}

void Layer::sealAlert(int level, int alert) {
  const std::array<char, 2> content = {static_cast<char>(level), static_cast<char>(alert)};
  sealSmall(ContentType::Alert, {content.data(), content.size()});
}

// Writing

IoResult Layer::write(Socket& socket, std::span<const iovec> parts) {
  if (state_ != State::Open && state_ != State::PeerEnded && state_ != State::Early)
    return broken(0);
  const Use use(*this, socket);
  std::size_t total = 0;
  for (const iovec& part : parts) total += part.iov_len;
  if (total == 0) return sendSealed(socket);
  std::size_t done = 0;
  // What was sealed before are the first of these bytes.
  while (done < total) {
    if (sealedBytes_ == 0) {
      sealedBytes_ = seal(parts, done, total);
      if (sealedBytes_ == 0) {
        error_ = takeError();
        return broken(EPROTO);
      }
      if (lastWrite_ && state_ == State::Open && done + sealedBytes_ == total) sealEnd();
    }
    const IoResult io = sendSealed(socket);
    if (io.status == IoResult::Status::Failed) return io;
    if (io.status == IoResult::Status::WouldBlock) {
      if (done == 0) return io;
      break;
    }
    done += std::exchange(sealedBytes_, 0);
  }
  return {.bytes = done};
}

std::size_t Layer::seal(std::span<const iovec> parts, std::size_t skip, std::size_t total) {
  const std::size_t end = std::min(total, skip + kBatchBytes);
  if (const std::size_t room = end - skip + kRecordOverhead;
      sealedBegin_ == sealedEnd_ && sealed_.capacity() < room) {
    sealed_ = buffers_.pool.acquire(room);
    sealedBegin_ = sealedEnd_ = 0;
  }
  std::size_t part = 0;
  std::size_t inPart = skip;
  for (; inPart >= parts[part].iov_len; ++part) inPart -= parts[part].iov_len;

  std::size_t at = skip;
  while (at < end) {
    const std::size_t length = std::min(end - at, sizes_.next(buffers_.loop.nowMillis()));
    // A record of one part goes from where it is; one of several is put together first.
    const char* bytes = static_cast<const char*>(parts[part].iov_base) + inPart;
    if (parts[part].iov_len - inPart >= length) {
      inPart += length;
    } else {
      for (std::size_t filled = 0; filled < length;) {
        const std::size_t n = std::min(length - filled, parts[part].iov_len - inPart);
        std::memcpy(buffers_.record.data() + filled,
                    static_cast<const char*>(parts[part].iov_base) + inPart, n);
        filled += n;
        inPart += n;
        if (inPart == parts[part].iov_len && filled < length) {
          ++part;
          inPart = 0;
        }
      }
      bytes = buffers_.record.data();
    }
    if (sealRecord({bytes, length}) != length) return 0;
    sizes_.wrote(length);
    at += length;
    while (at < end && inPart == parts[part].iov_len) {
      ++part;
      inPart = 0;
    }
  }
  return at - skip;
}

std::size_t Layer::sealRecord(std::string_view data) {
  if (state_ != State::Early && !stuck_ && ciphers_.write.ready() &&
      ciphers_.write.records() >= buffers_.recordsPerKey && !renewKey())
    return 0;
  if (state_ != State::Early && !stuck_ && ciphers_.write.ready()) {
    const std::size_t size = ciphers_.write.seal(data, roomForSealed(data.size() + kSealBytes));
    sealedEnd_ += static_cast<std::uint32_t>(size);
    return size == 0 ? 0 : data.size();
  }
  std::size_t written = 0;
  const auto write = state_ == State::Early ? SSL_write_early_data : SSL_write_ex;
  return write(ssl_.get(), data.data(), data.size(), &written) == 1 ? written : 0;
}

bool Layer::renewKey() {
  // The next record is libssl's: we get to know the new key by it.
  if (!independent())
    return SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
           SSL_do_handshake(ssl_.get()) == 1;
  constexpr auto kMessage = keyUpdate(false);
  const std::size_t size =
      ciphers_.write.seal({kMessage.data(), kMessage.size()},
                          roomForSealed(kMessage.size() + kSealBytes), ContentType::Handshake);
  sealedEnd_ += static_cast<std::uint32_t>(size);
  return size > 0 && ciphers_.write.renew();
}

// Ok: all is out and the block is back in its pool. Failed: the peer takes no more; what it has
// said may still be there to read.
IoResult Layer::sendSealed(Socket& socket) {
  while (writeError_ == 0 && sealedBegin_ < sealedEnd_) {
    const iovec rest = {sealed_.data() + sealedBegin_, sealedEnd_ - sealedBegin_};
    const IoResult io = socket.write({&rest, 1});
    if (io.status == IoResult::Status::Failed) {
      writeError_ = io.error;
      break;
    }
    sealedBegin_ += static_cast<std::uint32_t>(io.bytes);
    if (sealedBegin_ < sealedEnd_) return {.status = IoResult::Status::WouldBlock};
  }
  sealed_.release();
  sealedBegin_ = sealedEnd_ = 0;
  answerWaits_ = false;
  if (writeError_ != 0) return {.status = IoResult::Status::Failed, .error = writeError_};
  return {};
}

// The end

void Layer::sayEnd(Socket& socket) {
  if (state_ != State::Open && state_ != State::PeerEnded) return;
  if (endSaid()) return;
  const Use use(*this, socket);
  // Behind a part of a record it would say that the rest is not missing.
  if (sealedBytes_ > 0) return;
  sealEnd();
  sendSealed(socket);
}

bool Layer::endSaid() const {
  return endSaid_ || (!independent() && (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) != 0);
}

void Layer::sealEnd() {
  if (endSaid()) return;
  if (independent()) {
    endSaid_ = true;
    sealAlert(SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY);
  } else {
    SSL_shutdown(ssl_.get());
    clearErrors();
  }
}

std::string_view Layer::failure() const {
  if (protocolMissing_) return "the endpoint did not choose HTTP/2 (ALPN)";
  // Which rule a certificate breaks says more than that it breaks one.
  const long verified = independent() ? X509_V_OK : SSL_get_verify_result(ssl_.get());
  if (ERR_GET_REASON(error_) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
    return X509_verify_cert_error_string(verified);
  if (error_ != 0) return errorReason(error_);
  return peerClosed_ ? "the connection ended in the handshake" : std::string_view{};
}

void Layer::rest() { giveBuffersBack(); }

void Layer::holdBuffers() {
  if (linked() || independent()) return;
  buffers_.holders.pushBack(this);
  if (++buffers_.holderCount > ThreadBuffers::kMostHolders)
    buffers_.holders.front()->giveBuffersBack();
}

// Not where part of a record is in them: they go another time then.
void Layer::giveBuffersBack() {
  if (!linked()) return;
  unlink();
  --buffers_.holderCount;
  SSL_free_buffers(ssl_.get());
}

IoResult Layer::broken(int error) {
  state_ = State::Broken;
  return {.status = IoResult::Status::Failed, .error = error};
}

}  // namespace tidegate::tls
