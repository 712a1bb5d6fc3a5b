// Memory that a thread keeps for reuse, and when it goes back to the system: what nobody has needed
// for a while, half of it at a time, in small steps between the thread's other work.
#pragma once

#include <cstddef>
#include <vector>

namespace tidegate {

// A keeper of memory. Belongs to one thread, like all that it keeps.
class Reclaimable {
 public:
  // A period of time has passed: half of what was not needed in it is due, rounded up.
  virtual void age() = 0;
  // Frees one piece of what is due; how many bytes, 0 when nothing is.
  virtual std::size_t reclaim() = 0;

 protected:
  ~Reclaimable() = default;
};

// All keepers of one thread, which must outlive it.
class Reclaimer {
 public:
  void add(Reclaimable& keeper) { keepers_.push_back(&keeper); }

  void age() {
    for (Reclaimable* keeper : keepers_) keeper->age();
  }

  // Frees what is due until that is `bytes` or more. False when nothing is due any more.
  bool reclaim(std::size_t bytes) {
    std::size_t freed = 0;
    for (Reclaimable* keeper : keepers_) {
      while (const std::size_t piece = keeper->reclaim()) {
        freed += piece;
        if (freed >= bytes) return true;
      }
    }
    return false;
  }

 private:
  std::vector<Reclaimable*> keepers_;
};

}  // namespace tidegate
