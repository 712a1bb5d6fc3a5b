// Finds the streams of a connection by their ids. Ids of one side go up by two, so that those of
// streams that are open at the same time hardly ever meet in one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidegate::http2 {

// Does not own the streams. T has `std::uint32_t id() const`. Grows with the most streams that were
// open at a time; allocates for nothing else.
template <typename T>
class StreamTable {
 public:
  std::size_t size() const { return size_; }

  // nullptr when there is none.
  T* find(std::uint32_t id) const {
    if (size_ == 0) return nullptr;
    for (std::size_t at = home(id); places_[at] != nullptr; at = next(at)) {
      if (places_[at]->id() == id) return places_[at];
    }
    return nullptr;
  }

  // Its id is not in the table yet.
  void insert(T& stream) {
    if ((size_ + 1) * 2 > places_.size()) grow();
    place(stream);
    ++size_;
  }

  // It is in the table.
  void remove(const T& stream) {
    std::size_t hole = home(stream.id());
    while (places_[hole] != &stream) hole = next(hole);
    // What was pushed on past the hole moves back, so that no search ends at it too early.
    for (std::size_t at = next(hole); places_[at] != nullptr; at = next(at)) {
      const std::size_t from = home(places_[at]->id());
      if (((at - from) & mask()) < ((at - hole) & mask())) continue;
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole] = nullptr;
    --size_;
  }

 private:
  static constexpr std::size_t kFirstPlaces = 32;

  std::size_t mask() const { return places_.size() - 1; }
  std::size_t home(std::uint32_t id) const { return (id >> 1) & mask(); }
  std::size_t next(std::size_t at) const { return (at + 1) & mask(); }

  void place(T& stream) {
    std::size_t at = home(stream.id());
    while (places_[at] != nullptr) at = next(at);
    places_[at] = &stream;
  }

  void grow() {
    std::vector<T*> before(places_.empty() ? kFirstPlaces : places_.size() * 2, nullptr);
    before.swap(places_);
    for (T* stream : before) {
      if (stream != nullptr) place(*stream);
    }
  }

  std::vector<T*> places_;  // a power of two, never more than half full
  std::size_t size_ = 0;
};

}  // namespace tidegate::http2
