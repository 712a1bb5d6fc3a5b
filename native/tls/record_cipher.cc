// Order of this file: the default provider's functions, ours around them, the provider, the nonces,
// the keys, records.
#include "tls/record_cipher.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace tidegate::tls {

// How the default provider does one cipher. Its contexts are its own; nothing here looks into them.
struct CipherFunctions {
  OSSL_FUNC_cipher_newctx_fn* create = nullptr;
  OSSL_FUNC_cipher_freectx_fn* release = nullptr;
  OSSL_FUNC_cipher_encrypt_init_fn* encryptInit = nullptr;
  OSSL_FUNC_cipher_decrypt_init_fn* decryptInit = nullptr;
  OSSL_FUNC_cipher_update_fn* update = nullptr;
  OSSL_FUNC_cipher_final_fn* final = nullptr;
  OSSL_FUNC_cipher_get_ctx_params_fn* get = nullptr;
  OSSL_FUNC_cipher_set_ctx_params_fn* set = nullptr;

  bool complete() const {
    return create != nullptr && release != nullptr && encryptInit != nullptr &&
           decryptInit != nullptr && update != nullptr && final != nullptr && get != nullptr &&
           set != nullptr;
  }
};

namespace {

constexpr std::array<std::string_view, 3> kCipherNames = {"AES-128-GCM", "AES-256-GCM",
                                                          "ChaCha20-Poly1305"};
constexpr char kProviderName[] = "tidegate-records";
constexpr char kProviderProperty[] = "provider=tidegate-records";
constexpr char kProviderWanted[] = "?provider=tidegate-records";

constexpr char kKdfName[] = OSSL_KDF_NAME_TLS1_3_KDF;
constexpr std::string_view kKeyLabel = "key";
constexpr std::string_view kNonceLabel = "iv";
constexpr std::string_view kNextLabel = "traffic upd";
constexpr std::string_view kLabelPrefix = "tls13 ";

constexpr unsigned char kApplicationData = 23;

thread_local RecordCiphers* ciphersInUse = nullptr;

// What this thread has derived a key of last, until the key is set.
struct Secret {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  std::size_t count = 0;
};
thread_local Secret secretOfKey;

std::string_view bytesOf(const OSSL_PARAM params[], const char* name) {
  const OSSL_PARAM* const found = OSSL_PARAM_locate_const(params, name);
  const void* data = nullptr;
  std::size_t size = 0;
  if (found == nullptr || OSSL_PARAM_get_octet_string_ptr(found, &data, &size) != 1) return {};
  return {static_cast<const char*>(data), size};
}

OSSL_PARAM octets(const char* name, std::string_view bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(bytes.data()), bytes.size());
}

}  // namespace

struct RecordProvider {
  std::array<CipherFunctions, kCipherNames.size()> functions;
  void* defaultContext = nullptr;  // the default provider's
  std::array<std::vector<OSSL_DISPATCH>, kCipherNames.size()> dispatch;
  std::array<OSSL_ALGORITHM, kCipherNames.size() + 1> algorithms{};
  // HKDF-Expand-Label (RFC 8446 7.1): ours, for libssl, and the default provider's.
  std::vector<OSSL_DISPATCH> derivation;
  std::array<OSSL_ALGORITHM, 2> derivations{};
  OSSL_FUNC_kdf_newctx_fn* derivationCreate = nullptr;
  OSSL_FUNC_kdf_derive_fn* derive = nullptr;
  EVP_KDF* kdf = nullptr;
  OSSL_LIB_CTX* library = nullptr;  // nullptr: OpenSSL has no place for us

  // Made once, and lives as long as the process: libssl's contexts refer to it.
  static RecordProvider& instance() {
    static RecordProvider& provider = *new RecordProvider;
    return provider;
  }

  RecordProvider() {
    OSSL_LIB_CTX* const own = OSSL_LIB_CTX_new();
    if (own == nullptr) return;
    library = own;
    if (!load()) {
      library = nullptr;
      OSSL_LIB_CTX_free(own);
      clearErrors();
    }
  }

 private:
  bool load() {
    OSSL_PROVIDER* const standard = OSSL_PROVIDER_load(library, "default");
    if (standard == nullptr) return false;
    defaultContext = OSSL_PROVIDER_get0_provider_ctx(standard);
    int mayNotCache = 0;
    const OSSL_ALGORITHM* const ciphers =
        OSSL_PROVIDER_query_operation(standard, OSSL_OP_CIPHER, &mayNotCache);
    if (ciphers == nullptr) return false;
    const bool all = wrap<0>(ciphers) && wrap<1>(ciphers) && wrap<2>(ciphers);
    OSSL_PROVIDER_unquery_operation(standard, OSSL_OP_CIPHER, ciphers);
    if (!all) return false;
    // Without it connections keep libssl for as long as they live.
    if (const OSSL_ALGORITHM* const kdfs =
            OSSL_PROVIDER_query_operation(standard, OSSL_OP_KDF, &mayNotCache)) {
      kdf = EVP_KDF_fetch(library, kKdfName, "provider=default");
      if (kdf == nullptr || !wrapDerivation(kdfs)) derivations = {};
      OSSL_PROVIDER_unquery_operation(standard, OSSL_OP_KDF, kdfs);
    }
    building() = this;
    const bool loaded = OSSL_PROVIDER_add_builtin(library, kProviderName, init) == 1 &&
                        OSSL_PROVIDER_load(library, kProviderName) != nullptr;
    building() = nullptr;
    return loaded;
  }

  // Takes the functions of one cipher, and puts ours where contexts are made, released and set up.
  template <std::size_t Index>
  bool wrap(const OSSL_ALGORITHM* ciphers) {
    const std::string_view wanted = kCipherNames[Index];
    for (; ciphers->algorithm_names != nullptr; ++ciphers) {
      const std::string_view names = ciphers->algorithm_names;
      if (names.substr(0, names.find(':')) == wanted) break;
    }
    if (ciphers->algorithm_names == nullptr) return false;
    CipherFunctions& its = functions[Index];
    for (const OSSL_DISPATCH* entry = ciphers->implementation; entry->function_id != 0; ++entry) {
      OSSL_DISPATCH ours = *entry;
      switch (entry->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX:
          its.create = OSSL_FUNC_cipher_newctx(entry);
          ours.function = reinterpret_cast<void (*)()>(create<Index>);
          break;
        case OSSL_FUNC_CIPHER_FREECTX:
          its.release = OSSL_FUNC_cipher_freectx(entry);
          ours.function = reinterpret_cast<void (*)()>(release<Index>);
          break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
          its.encryptInit = OSSL_FUNC_cipher_encrypt_init(entry);
          ours.function = reinterpret_cast<void (*)()>(setUp<Index, true>);
          break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT:
          its.decryptInit = OSSL_FUNC_cipher_decrypt_init(entry);
          ours.function = reinterpret_cast<void (*)()>(setUp<Index, false>);
          break;
        case OSSL_FUNC_CIPHER_UPDATE:
          its.update = OSSL_FUNC_cipher_update(entry);
          break;
        case OSSL_FUNC_CIPHER_FINAL:
          its.final = OSSL_FUNC_cipher_final(entry);
          break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
          its.get = OSSL_FUNC_cipher_get_ctx_params(entry);
          break;
        case OSSL_FUNC_CIPHER_SET_CTX_PARAMS:
          its.set = OSSL_FUNC_cipher_set_ctx_params(entry);
          break;
        case OSSL_FUNC_CIPHER_DUPCTX:
          // A copy would have nonces of its own.
          continue;
        default:
          break;
      }
      dispatch[Index].push_back(ours);
    }
    dispatch[Index].push_back({0, nullptr});
    algorithms[Index] = {ciphers->algorithm_names, kProviderProperty, dispatch[Index].data(),
                         nullptr};
    return its.complete();
  }

  bool wrapDerivation(const OSSL_ALGORITHM* kdfs) {
    for (; kdfs->algorithm_names != nullptr; ++kdfs) {
      if (std::string_view(kdfs->algorithm_names) == kKdfName) break;
    }
    if (kdfs->algorithm_names == nullptr) return false;
    for (const OSSL_DISPATCH* entry = kdfs->implementation; entry->function_id != 0; ++entry) {
      OSSL_DISPATCH ours = *entry;
      if (entry->function_id == OSSL_FUNC_KDF_NEWCTX) {
        derivationCreate = OSSL_FUNC_kdf_newctx(entry);
        ours.function = reinterpret_cast<void (*)()>(createDerivation);
      } else if (entry->function_id == OSSL_FUNC_KDF_DERIVE) {
        derive = OSSL_FUNC_kdf_derive(entry);
        ours.function = reinterpret_cast<void (*)()>(deriveNoting);
      }
      derivation.push_back(ours);
    }
    derivation.push_back({0, nullptr});
    derivations[0] = {kdfs->algorithm_names, kProviderProperty, derivation.data(), nullptr};
    return derivationCreate != nullptr && derive != nullptr;
  }

  static void* createDerivation(void*) {
    const RecordProvider& provider = instance();
    return provider.derivationCreate(provider.defaultContext);
  }

  static int deriveNoting(void* context, unsigned char* out, std::size_t bytes,
                          const OSSL_PARAM params[]) {
    if (ciphersInUse != nullptr && params != nullptr &&
        bytesOf(params, OSSL_KDF_PARAM_LABEL) == kKeyLabel) {
      const std::string_view secret = bytesOf(params, OSSL_KDF_PARAM_KEY);
      secretOfKey.count = std::min(secret.size(), secretOfKey.bytes.size());
      std::copy_n(secret.begin(), secretOfKey.count, secretOfKey.bytes.begin());
    }
    return instance().derive(context, out, bytes, params);
  }

  template <std::size_t Index>
  static void* create(void*) {
    const RecordProvider& provider = instance();
    return provider.functions[Index].create(provider.defaultContext);
  }

  template <std::size_t Index>
  static void release(void* context) {
    if (ciphersInUse != nullptr) {
      if (ciphersInUse->keeps(context)) return;
      ciphersInUse->read.end(context);
      ciphersInUse->write.end(context);
    }
    instance().functions[Index].release(context);
  }

  template <std::size_t Index, bool Seals>
  static int setUp(void* context, const unsigned char* key, std::size_t keyBytes,
                   const unsigned char* nonce, std::size_t nonceBytes, const OSSL_PARAM params[]) {
    const CipherFunctions& its = instance().functions[Index];
    const auto setUpIts = Seals ? its.encryptInit : its.decryptInit;
    if (ciphersInUse != nullptr) {
      RecordCipher& cipher = Seals ? ciphersInUse->write : ciphersInUse->read;
      if (key != nullptr) {
        cipher.begin(context, its, {key, keyBytes}, nonce == nullptr, Seals);
      } else if (nonce != nullptr && cipher.context_ == context && cipher.counts_ &&
                 nonceBytes == RecordCipher::kNonceBytes) {
        const RecordCipher::Nonce real = cipher.nonceFor(nonce);
        return setUpIts(context, nullptr, 0, real.data(), real.size(), params);
      }
    }
    return setUpIts(context, key, keyBytes, nonce, nonceBytes, params);
  }

  // The provider, as OpenSSL sees it. It is asked for by the thread that builds it.
  static RecordProvider*& building() {
    static RecordProvider* provider = nullptr;
    return provider;
  }

  static const OSSL_ALGORITHM* query(void* self, int operation, int* mayNotCache) {
    *mayNotCache = 0;
    auto& provider = *static_cast<RecordProvider*>(self);
    switch (operation) {
      case OSSL_OP_CIPHER:
        return provider.algorithms.data();
      case OSSL_OP_KDF:
        return provider.derivations.data();
      default:
        return nullptr;
    }
  }

  static int init(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
                  void** self) {
    static const std::array<OSSL_DISPATCH, 2> kFunctions = {{
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, reinterpret_cast<void (*)()>(query)},
        {0, nullptr},
    }};
    *out = kFunctions.data();
    *self = building();
    return 1;
  }
};

SslContextPointer RecordCiphers::newContext(const SSL_METHOD* method) {
  OSSL_LIB_CTX* const library = RecordProvider::instance().library;
  return SslContextPointer(library == nullptr ? SSL_CTX_new(method)
                                              : SSL_CTX_new_ex(library, kProviderWanted, method));
}

bool RecordCiphers::keeps(const void* context) const {
  return (read.kept_ && read.context_ == context) || (write.kept_ && write.context_ == context);
}

void RecordCiphers::outlive(SslPointer ssl) {
  read.kept_ = write.kept_ = true;
  const InUse use(*this);
  ssl.reset();
}

RecordCiphers::InUse::InUse(RecordCiphers& ciphers)
    : before_(std::exchange(ciphersInUse, &ciphers)) {}

RecordCiphers::InUse::~InUse() { ciphersInUse = before_; }

// The nonces

RecordCipher::~RecordCipher() {
  if (kept_) functions_->release(context_);
  OPENSSL_cleanse(secret_.data(), secret_.size());
}

void RecordCipher::begin(void* context, const CipherFunctions& functions,
                         std::span<const unsigned char> key, bool counts, bool seals) {
  context_ = context;
  functions_ = &functions;
  keyBytes_ = static_cast<std::uint8_t>(key.size());
  seals_ = seals;
  counts_ = counts;
  known_ = false;
  theirs_ = ours_ = 0;
  Secret& secret = secretOfKey;
  secretBytes_ = secret.count <= secret_.size() ? static_cast<std::uint8_t>(secret.count) : 0;
  std::copy_n(secret.bytes.begin(), secretBytes_, secret_.begin());
  OPENSSL_cleanse(secret.bytes.data(), std::exchange(secret.count, 0));
}

void RecordCipher::end(const void* context) {
  if (context_ == context) context_ = nullptr;
}

// Under a new key libssl counts from 0 on. It begins again there with a record that it could not
// open, which is one of early data that it does not want: then there are none of ours.
RecordCipher::Nonce RecordCipher::nonceFor(const unsigned char* theirs) {
  if (!std::exchange(known_, true)) std::copy_n(theirs, first_.size(), first_.begin());
  std::uint64_t number = 0;
  for (std::size_t i = kNonceBytes - sizeof number; i < kNonceBytes; ++i)
    number = number << 8 | static_cast<unsigned char>(theirs[i] ^ first_[i]);
  theirs_ = number + 1;
  return nonceOf(number + ours_);
}

RecordCipher::Nonce RecordCipher::nonceOf(std::uint64_t number) const {
  Nonce nonce = first_;
  for (std::size_t i = kNonceBytes; number != 0; number >>= 8)
    nonce[--i] ^= static_cast<unsigned char>(number);
  return nonce;
}

// The keys

// HKDF-Expand-Label without a context (RFC 8446 7.1).
bool RecordCipher::derive(std::string_view label, std::span<unsigned char> out) const {
  const std::unique_ptr<EVP_KDF_CTX, Releaser<EVP_KDF_CTX_free>> context(
      EVP_KDF_CTX_new(RecordProvider::instance().kdf));
  if (context == nullptr) return false;
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string_view digest = secretBytes_ == kMaxSecretBytes ? "SHA2-384" : "SHA2-256";
  const std::array<OSSL_PARAM, 6> params = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest.data()),
                                       digest.size()),
      octets(OSSL_KDF_PARAM_KEY, {reinterpret_cast<const char*>(secret_.data()), secretBytes_}),
      octets(OSSL_KDF_PARAM_PREFIX, kLabelPrefix),
      octets(OSSL_KDF_PARAM_LABEL, label),
      OSSL_PARAM_construct_end()};
  return EVP_KDF_derive(context.get(), out.data(), out.size(), params.data()) == 1;
}

bool RecordCipher::renew() {
  std::array<unsigned char, kMaxSecretBytes> next{};
  std::array<unsigned char, EVP_MAX_KEY_LENGTH> key{};
  const std::span secret = std::span(next).first(secretBytes_);
  bool done = derive(kNextLabel, secret);
  if (done) {
    std::ranges::copy(secret, secret_.begin());
    const std::span itsKey = std::span(key).first(keyBytes_);
    const auto setUp = seals_ ? functions_->encryptInit : functions_->decryptInit;
    done = derive(kKeyLabel, itsKey) && derive(kNonceLabel, first_) &&
           setUp(context_, itsKey.data(), itsKey.size(), nullptr, 0, nullptr) == 1;
  }
  OPENSSL_cleanse(next.data(), next.size());
  OPENSSL_cleanse(key.data(), key.size());
  theirs_ = ours_ = 0;
  return done;
}

// Records

std::size_t RecordCipher::seal(std::string_view data, char* record, ContentType type) {
  const std::size_t inner = data.size() + 1;
  const std::size_t sealed = inner + kTagBytes;
  auto* const header = reinterpret_cast<unsigned char*>(record);
  header[0] = kApplicationData;
  header[1] = header[2] = 3;
  header[3] = static_cast<unsigned char>(sealed >> 8);
  header[4] = static_cast<unsigned char>(sealed);
  unsigned char* const out = header + kRecordHeaderBytes;
  std::memcpy(out, data.data(), data.size());
  out[data.size()] = static_cast<unsigned char>(type);

  const Nonce nonce = nextNonce();
  const CipherFunctions& its = *functions_;
  std::size_t done = 0;
  std::size_t last = 0;
  std::array<OSSL_PARAM, 2> tag = {
      OSSL_PARAM{OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, out + inner, kTagBytes, 0},
      OSSL_PARAM{}};
  if (its.encryptInit(context_, nullptr, 0, nonce.data(), nonce.size(), nullptr) != 1 ||
      its.update(context_, nullptr, &done, kRecordHeaderBytes, header, kRecordHeaderBytes) != 1 ||
      its.update(context_, out, &done, inner, out, inner) != 1 ||
      its.final(context_, out + done, &last, inner - done) != 1 || done + last != inner ||
      its.get(context_, tag.data()) != 1)
    return 0;
  ++ours_;
  return kRecordHeaderBytes + sealed;
}

RecordCipher::Opened RecordCipher::open(std::string_view record, char* into) {
  if (record.size() < kSealBytes) return {};
  const auto* const header = reinterpret_cast<const unsigned char*>(record.data());
  const unsigned char* const sealed = header + kRecordHeaderBytes;
  const std::size_t inner = record.size() - kRecordHeaderBytes - kTagBytes;
  // What OpenSSL is given to compare with is not written to.
  auto* const expected = const_cast<unsigned char*>(sealed + inner);
  auto* const out = reinterpret_cast<unsigned char*>(into);

  const Nonce nonce = nextNonce();
  const CipherFunctions& its = *functions_;
  std::size_t done = 0;
  std::size_t last = 0;
  const std::array<OSSL_PARAM, 2> tag = {
      OSSL_PARAM{OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, expected, kTagBytes, 0},
      OSSL_PARAM{}};
  if (its.decryptInit(context_, nullptr, 0, nonce.data(), nonce.size(), nullptr) != 1 ||
      its.set(context_, tag.data()) != 1 ||
      its.update(context_, nullptr, &done, kRecordHeaderBytes, header, kRecordHeaderBytes) != 1 ||
      its.update(context_, out, &done, inner, sealed, inner) != 1 ||
      its.final(context_, out + done, &last, inner - done) != 1 || done + last != inner)
    return {};
  // Zeros may stand behind the type, which is the last byte that is none (RFC 8446 5.4).
  std::size_t end = inner;
  while (end > 0 && out[end - 1] == 0) --end;
  if (end == 0) return {.authentic = true};
  return {.authentic = true, .type = ContentType{out[end - 1]}, .bytes = end - 1};
}

}  // namespace tidegate::tls
