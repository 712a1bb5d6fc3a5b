// Order of this file: finding, keeping, estimating, purging.
#include "policy/verdict_store.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidegate {

namespace {

// What a kept verdict takes in most cases, for the size of the tables.
constexpr std::size_t kUsualBytes = 512;
// A verdict may take this part of the store.
constexpr std::size_t kLargestPart = 16;
// How many of the kept ones are looked at for one that may go.
constexpr int kCandidates = 8;
// 16 counters for each place: fewer would mix up too many keys.
constexpr std::size_t kPlacesPerLine = 4;
// Requests for each kept verdict after which what was counted counts for half.
constexpr std::size_t kRequestsPerEra = 8;

}  // namespace

VerdictStore::VerdictStore(std::size_t maxBytes, const SipKey& secret)
    : secret_(secret), maxBytes_(maxBytes) {}

VerdictStore::~VerdictStore() { clear(); }

void VerdictStore::setMaxBytes(std::size_t maxBytes) {
  if (maxBytes == maxBytes_) return;
  clear();
  maxBytes_ = maxBytes;
  buckets_ = {};
  sketch_ = {};
}

VerdictKey VerdictStore::keyOf(std::uint32_t chain, std::span<const std::byte> inputs) const {
  const std::string_view text(reinterpret_cast<const char*>(inputs.data()), inputs.size());
  return {chain, sipHash64(secret_, text), inputs};
}

VerdictRef VerdictStore::hold(const VerdictCopy& verdict, Block memory) {
  return VerdictRef(verdicts_.create(*this, verdict, std::move(memory)));
}

void VerdictStore::release(SharedVerdict& verdict) { verdicts_.destroy(&verdict); }

// Finding

bool SharedVerdict::isOf(const VerdictKey& key) const {
  return hash_ == key.hash && keySize_ == key.inputs.size() &&
         std::memcmp(memory_.get() + keyAt_, key.inputs.data(), keySize_) == 0;
}

SharedVerdict* VerdictStore::lookup(const VerdictKey& key) {
  if (buckets_.empty()) return nullptr;
  SharedVerdict* found = buckets_[key.hash & (buckets_.size() - 1)];
  while (found != nullptr && !found->isOf(key)) found = found->next_;
  return found;
}

KeptLookup VerdictStore::find(const VerdictKey& key, std::uint64_t now) {
  SharedVerdict* const found = lookup(key);
  if (found == nullptr) return {};
  if (now >= found->staleUntil_) {
    remove(*found);
    return {};
  }
  const std::uint8_t uses = usesOf(*found);
  if (uses < kMostUses) found->uses_ = uses + 1;
  return {VerdictRef(found), now < found->freshUntil_};
}

// Keeping

void VerdictStore::keep(const VerdictKey& key, const VerdictCopy& verdict, std::uint64_t now) {
  if (SharedVerdict* const before = lookup(key)) remove(*before);
  const std::size_t keyAt = verdict.size();
  const std::size_t bytes = keyAt + key.inputs.size();
  const std::size_t cost = sizeof(SharedVerdict) + bytes;
  if (cost > maxBytes_ / kLargestPart) return;
  if (buckets_.empty()) allocateTables();
  const std::uint8_t uses = countRequest(key.hash);
  if (!makeRoom(cost, uses, now)) return;

  SharedVerdict* const kept = verdicts_.create(*this);
  ++kept->references_;
  kept->memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
  kept->verdict_ = verdict.into(kept->memory_.get());
  std::memcpy(kept->memory_.get() + keyAt, key.inputs.data(), key.inputs.size());
  kept->keyAt_ = keyAt;
  kept->keySize_ = key.inputs.size();
  kept->cost_ = cost;
  kept->hash_ = key.hash;
  kept->freshUntil_ = now + kept->verdict_.replayMillis;
  kept->staleUntil_ = kept->freshUntil_ + kept->verdict_.staleMillis;
  kept->chain_ = key.chain;
  kept->era_ = era_;
  kept->uses_ = uses;
  SharedVerdict*& bucket = buckets_[key.hash & (buckets_.size() - 1)];
  kept->next_ = std::exchange(bucket, kept);
  kept_.pushFront(kept);
  ++count_;
  bytes_ += cost;
}

bool VerdictStore::makeRoom(std::size_t bytes, std::uint8_t uses, std::uint64_t now) {
  for (int looked = 0; bytes_ + bytes > maxBytes_; ++looked) {
    SharedVerdict* const last = kept_.back();
    if (last == nullptr) return false;
    if (now < last->staleUntil_ && usesOf(*last) >= uses) {
      if (looked >= kCandidates) return false;
      last->unlink();
      kept_.pushFront(last);
      continue;
    }
    remove(*last);
  }
  return true;
}

void VerdictStore::remove(SharedVerdict& verdict) {
  SharedVerdict** link = &buckets_[verdict.hash_ & (buckets_.size() - 1)];
  while (*link != &verdict) link = &(*link)->next_;
  *link = verdict.next_;
  verdict.unlink();
  --count_;
  bytes_ -= verdict.cost_;
  if (--verdict.references_ == 0) release(verdict);
}

void VerdictStore::allocateTables() {
  const std::size_t places = std::bit_ceil(std::max<std::size_t>(maxBytes_ / kUsualBytes, 64));
  buckets_.resize(places);
  sketch_.resize(places / kPlacesPerLine);
}

// Estimating

// Counts a request whose verdict is not kept; returns how often such ones came lately: the least of
// four counters, each of which other keys may share. Only the least are counted up (conservative
// update, Estan and Varghese 2002), which keeps the error small.
std::uint8_t VerdictStore::countRequest(std::uint64_t hash) {
  if (++sketchAdded_ >= kRequestsPerEra * buckets_.size()) age();
  SketchLine& line = sketch_[(hash >> 40) & (sketch_.size() - 1)];
  // Six bits of the hash for each counter.
  const std::array<std::uint8_t*, 4> counters = {&line[hash >> 16 & 63], &line[hash >> 22 & 63],
                                                 &line[hash >> 28 & 63], &line[hash >> 34 & 63]};
  std::uint8_t least = kMostUses;
  for (const std::uint8_t* counter : counters) least = std::min(least, *counter);
  if (least == kMostUses) return least;
  for (std::uint8_t* counter : counters) {
    if (*counter == least) *counter = least + 1;
  }
  return least + 1;
}

void VerdictStore::age() {
  for (SketchLine& line : sketch_) {
    for (std::uint8_t& counter : line) counter >>= 1;
  }
  sketchAdded_ = 0;
  ++era_;
}

std::uint8_t VerdictStore::usesOf(SharedVerdict& verdict) const {
  const std::uint32_t eras = std::min(era_ - verdict.era_, std::uint32_t{7});
  verdict.era_ = era_;
  verdict.uses_ = static_cast<std::uint8_t>(verdict.uses_ >> eras);
  return verdict.uses_;
}

// Purging

template <typename Predicate>
std::size_t VerdictStore::purgeIf(Predicate predicate) {
  std::size_t purged = 0;
  for (SharedVerdict* verdict = kept_.front(); verdict != nullptr;) {
    SharedVerdict* const next = kept_.after(verdict);
    if (predicate(*verdict)) {
      remove(*verdict);
      ++purged;
    }
    verdict = next;
  }
  return purged;
}

std::size_t VerdictStore::purgeConsumer(std::string_view consumer) {
  return purgeIf([&](const SharedVerdict& each) { return each.verdict_.consumer == consumer; });
}

std::size_t VerdictStore::purgeTag(std::string_view tag) {
  return purgeIf([&](const SharedVerdict& each) { return each.verdict_.tags.has(tag); });
}

std::size_t VerdictStore::retainChains(std::span<const std::uint32_t> chains) {
  return purgeIf([&](const SharedVerdict& each) {
    return !std::binary_search(chains.begin(), chains.end(), each.chain_);
  });
}

std::size_t VerdictStore::purgeChains(std::span<const std::uint32_t> chains) {
  return purgeIf([&](const SharedVerdict& each) {
    return std::binary_search(chains.begin(), chains.end(), each.chain_);
  });
}

std::size_t VerdictStore::clear() {
  return purgeIf([](const SharedVerdict&) { return true; });
}

}  // namespace tidegate
