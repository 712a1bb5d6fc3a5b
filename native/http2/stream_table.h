// Finds the streams of a connection by their ids. Ids of one side go up by two, so that those of
// streams that are open at the same time hardly ever meet in one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
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
    for (std::size_t at = home(id); places_[at].stream != nullptr; at = next(at)) {
      if (places_[at].id == id) return places_[at].stream;
    }
    return nullptr;
  }

  // Its id is not in the table yet.
  void insert(T& stream) {
    if ((size_ + 1) * 2 > places_.size()) grow();
    place({&stream, stream.id()});
    ++size_;
  }

  // It is in the table.
  void remove(const T& stream) {
    std::size_t hole = home(stream.id());
    while (places_[hole].stream != &stream) hole = next(hole);
    // What was pushed on moves back; one that is at home has nothing behind it that was.
    for (std::size_t at = next(hole); places_[at].stream != nullptr && pushed(at) > 0;
         at = next(at)) {
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole] = {};
    --size_;
  }

 private:
  static constexpr std::size_t kFirstPlaces = 32;

  // The id beside the stream, so that a search reads no stream but the one it finds.
  struct Place {
    T* stream = nullptr;
    std::uint32_t id = 0;
  };

  std::size_t mask() const { return places_.size() - 1; }
  std::size_t home(std::uint32_t id) const { return (id >> 1) & mask(); }
  std::size_t next(std::size_t at) const { return (at + 1) & mask(); }
  // How far from its home the one at that place is.
  std::size_t pushed(std::size_t at) const { return (at - home(places_[at].id)) & mask(); }

  void place(Place added) {
    std::size_t at = home(added.id);
    for (std::size_t far = 0; places_[at].stream != nullptr; at = next(at), ++far) {
      // Whoever is nearer to its home goes on (Robin Hood hashing, Celis 1986).
      if (pushed(at) >= far) continue;
      far = pushed(at);
      std::swap(places_[at], added);
    }
    places_[at] = added;
  }

  void grow() {
    std::vector<Place> before(places_.empty() ? kFirstPlaces : places_.size() * 2);
    before.swap(places_);
    for (const Place& each : before) {
      if (each.stream != nullptr) place(each);
    }
  }

  std::vector<Place> places_;  // a power of two, never more than half full
  std::size_t size_ = 0;
};

}  // namespace tidegate::http2
