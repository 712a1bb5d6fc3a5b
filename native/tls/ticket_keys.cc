// AES-256-CBC and HMAC-SHA256, as nginx and HAProxy use keys of this length.
#include "tls/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

namespace tidegate::tls {

namespace {

constexpr std::size_t kNameBytes = 16;
constexpr std::size_t kMacKeyBytes = 32;
constexpr std::size_t kIvBytes = 16;

// Looking a cipher up by its name takes as long as encrypting a ticket does. Kept until the end of
// the process.
const EVP_CIPHER* ticketCipher() {
  static const EVP_CIPHER* const kCipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return kCipher;
}

bool setUp(const TicketKey& key, bool seal, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
           EVP_MAC_CTX* mac) {
  const unsigned char* macKey = key.data() + kNameBytes;
  const unsigned char* cipherKey = macKey + kMacKeyBytes;
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(macKey),
                                        kMacKeyBytes),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  return EVP_CipherInit_ex(cipher, ticketCipher(), nullptr, cipherKey, iv, seal ? 1 : 0) == 1 &&
         EVP_MAC_CTX_set_params(mac, params) == 1;
}

}  // namespace

void TicketKeys::configure(const std::vector<TicketKey>& fixed, std::uint64_t rotation) {
  const std::lock_guard lock(mutex_);
  rotation_ = rotation;
  if (fixed.empty() && !fixed_) return;
  // From one kind to the other, keys of the other kind open nothing any more.
  for (TicketKey& key : keys_) OPENSSL_cleanse(key.data(), key.size());
  keys_ = fixed;
  fixed_ = !fixed.empty();
}

int TicketKeys::prepare(bool seal, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                        EVP_MAC_CTX* mac, std::uint64_t nowMillis) {
  TicketKey key;
  bool current = true;
  if (seal) {
    if (!sealingKey(key, nowMillis) || RAND_bytes(iv, kIvBytes) != 1) return -1;
    std::memcpy(name, key.data(), kNameBytes);
  } else if (!openingKey(name, nowMillis, key, current)) {
    return 0;
  }
  const bool done = setUp(key, seal, iv, cipher, mac);
  OPENSSL_cleanse(key.data(), key.size());
  if (!done) return -1;
  return current ? 1 : 2;
}

bool TicketKeys::sealingKey(TicketKey& key, std::uint64_t nowMillis) {
  const std::lock_guard lock(mutex_);
  rotate(nowMillis);
  if (keys_.empty()) return false;
  key = keys_.front();
  return true;
}

bool TicketKeys::openingKey(const unsigned char* name, std::uint64_t nowMillis, TicketKey& key,
                            bool& current) {
  const std::lock_guard lock(mutex_);
  rotate(nowMillis);
  const auto found = std::ranges::find_if(keys_, [name](const TicketKey& candidate) {
    return CRYPTO_memcmp(candidate.data(), name, kNameBytes) == 0;
  });
  if (found == keys_.end()) return false;
  key = *found;
  current = found == keys_.begin();
  return true;
}

void TicketKeys::rotate(std::uint64_t nowMillis) {
  if (fixed_ || (!keys_.empty() && nowMillis - rotatedAt_ < rotation_)) return;
  // Nobody came for two rotations: the key that would open until now is too old.
  const bool stale = !keys_.empty() && nowMillis - rotatedAt_ >= 2 * rotation_;
  TicketKey fresh;
  if (RAND_bytes(fresh.data(), static_cast<int>(fresh.size())) != 1) return;
  const std::size_t kept = keys_.empty() || stale ? 0 : 1;
  while (keys_.size() > kept) {
    OPENSSL_cleanse(keys_.back().data(), keys_.back().size());
    keys_.pop_back();
  }
  keys_.insert(keys_.begin(), fresh);
  OPENSSL_cleanse(fresh.data(), fresh.size());
  rotatedAt_ = nowMillis;
}

}  // namespace tidegate::tls
