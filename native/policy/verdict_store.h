// The verdicts that one I/O thread keeps, to replay them for requests with equal inputs.
//
// The key is what writeInputs() makes of a request: the chain, which stands for its policies and
// their options, and every value that they see. It is found by a hash with a secret and compared
// byte by byte, so that a collision can serve nobody somebody else's verdict.
//
// Memory is bounded. When it is used up, a new verdict comes in only in place of one that is needed
// less often, by an estimate that also remembers requests whose verdicts were not kept
// (TinyLFU, Einziger et al. 2017): keys that are seen once push out nothing that is used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "io/buffer_pool.h"
#include "policy/verdict.h"
#include "shared/siphash.h"

namespace tidegate {

class VerdictStore;
class VerdictRef;
struct KeptLink;

// What a verdict is kept under; borrowed.
struct VerdictKey {
  std::uint32_t chain = 0;
  std::uint64_t hash = 0;
  std::span<const std::byte> inputs;  // of writeInputs()
};

// A verdict with the bytes that it points into. Lives as long as somebody has a VerdictRef to it.
class SharedVerdict : private ListNode<KeptLink> {
 public:
  const Verdict& verdict() const { return verdict_; }

 private:
  friend class VerdictStore;
  friend class VerdictRef;
  friend class Slab<SharedVerdict>;
  friend class IntrusiveList<SharedVerdict, KeptLink>;

  explicit SharedVerdict(VerdictStore& store) : store_(store) {}
  SharedVerdict(VerdictStore& store, const VerdictCopy& verdict, Block memory)
      : store_(store),
        verdict_(verdict.into(reinterpret_cast<std::byte*>(memory.data()))),
        block_(std::move(memory)) {}

  bool isOf(const VerdictKey& key) const;

  // What every look and every use needs first.
  std::uint64_t hash_ = 0;
  SharedVerdict* next_ = nullptr;  // of the same bucket
  // Of one that is kept: the verdict's own, with the key from keyAt_ on.
  std::unique_ptr<std::byte[]> memory_;
  std::size_t keyAt_ = 0;
  std::size_t keySize_ = 0;
  std::uint64_t freshUntil_ = 0;  // ms of the event loop
  std::uint64_t staleUntil_ = 0;
  std::uint32_t era_ = 0;  // when uses_ was last right
  std::uint32_t references_ = 0;
  std::uint32_t chain_ = 0;
  std::uint8_t uses_ = 0;
  VerdictStore& store_;
  Verdict verdict_;
  Block block_;  // of one that came just now
  std::size_t cost_ = 0;
};

// Shares in a verdict. Of one thread, and not beyond the store's life.
class VerdictRef {
 public:
  VerdictRef() = default;
  explicit VerdictRef(SharedVerdict* verdict) : verdict_(verdict) {
    if (verdict_ != nullptr) ++verdict_->references_;
  }
  VerdictRef(const VerdictRef& other) : VerdictRef(other.verdict_) {}
  VerdictRef(VerdictRef&& other) noexcept : verdict_(std::exchange(other.verdict_, nullptr)) {}
  VerdictRef& operator=(VerdictRef other) noexcept {
    std::swap(verdict_, other.verdict_);
    return *this;
  }
  ~VerdictRef();

  explicit operator bool() const { return verdict_ != nullptr; }
  const Verdict& operator*() const { return verdict_->verdict(); }
  const Verdict* operator->() const { return &verdict_->verdict(); }

 private:
  SharedVerdict* verdict_ = nullptr;
};

// Which kept verdicts go.
struct VerdictPurge {
  enum class By : std::uint8_t { Everything, Policy, Consumer, Tag };

  By by = By::Everything;
  std::string name;  // of the policy, consumer or tag
};

struct KeptLookup {
  VerdictRef verdict;
  bool fresh = false;  // false: only to be used while nobody can decide anew
};

class VerdictStore {
 public:
  // `maxBytes`: of kept verdicts with their keys, 0 keeps none. The secret is for tests to fix.
  explicit VerdictStore(std::size_t maxBytes, const SipKey& secret = SipKey::random());
  ~VerdictStore();
  VerdictStore(const VerdictStore&) = delete;
  VerdictStore& operator=(const VerdictStore&) = delete;

  // From now on; what is too much goes.
  void setMaxBytes(std::size_t maxBytes);

  void addTo(Reclaimer& memory) { memory.add(verdicts_.cells()); }

  VerdictKey keyOf(std::uint32_t chain, std::span<const std::byte> inputs) const;

  // A verdict that is not kept, in a block of at least the copy's size.
  VerdictRef hold(const VerdictCopy& verdict, Block memory);

  // `now`: ms of the event loop.
  KeptLookup find(const VerdictKey& key, std::uint64_t now);

  // Keeps a verdict for as long as it says, in place of what was kept under the key; not, where it
  // is needed less than what is kept already.
  void keep(const VerdictKey& key, const VerdictCopy& verdict, std::uint64_t now);

  // Each returns how many went.
  std::size_t purgeConsumer(std::string_view consumer);
  std::size_t purgeTag(std::string_view tag);
  // All chains but these, which are sorted.
  std::size_t retainChains(std::span<const std::uint32_t> chains);
  std::size_t purgeChains(std::span<const std::uint32_t> chains);
  std::size_t clear();

  std::size_t count() const { return count_; }
  std::size_t bytes() const { return bytes_; }

 private:
  friend class VerdictRef;

  // A cache line of counters, four of which a key has.
  using SketchLine = std::array<std::uint8_t, 64>;
  static constexpr std::uint8_t kMostUses = 15;

  SharedVerdict* lookup(const VerdictKey& key);
  std::uint8_t countRequest(std::uint64_t hash);
  void age();
  std::uint8_t usesOf(SharedVerdict& verdict) const;
  bool makeRoom(std::size_t bytes, std::uint8_t uses, std::uint64_t now);
  void remove(SharedVerdict& verdict);
  void allocateTables();
  template <typename Predicate>
  std::size_t purgeIf(Predicate predicate);
  void release(SharedVerdict& verdict);

  const SipKey secret_;
  std::size_t maxBytes_;
  Slab<SharedVerdict> verdicts_;
  IntrusiveList<SharedVerdict, KeptLink> kept_;  // the store has a reference to each
  std::vector<SharedVerdict*> buckets_;          // a power of two; chained by next_
  std::vector<SketchLine> sketch_;
  std::size_t sketchAdded_ = 0;
  std::uint32_t era_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

inline VerdictRef::~VerdictRef() {
  if (verdict_ != nullptr && --verdict_->references_ == 0) verdict_->store_.release(*verdict_);
}

}  // namespace tidegate
