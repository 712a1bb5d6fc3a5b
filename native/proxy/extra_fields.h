// The fields that the gateway adds to a head on its way. One head at a time: the memory stays for
// the next.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/ascii.h"
#include "http/stream.h"

namespace tidegate {

// One thread owns it. Names and values are borrowed until clear().
class ExtraFields {
 public:
  void clear() { count_ = 0; }

  void add(std::string_view name, std::string_view value) {
    if (count_ == places_.size()) places_.resize(2 * count_);
    places_[count_++] = {name, value};
  }

  // Takes out all of that name, in whatever case.
  void remove(std::string_view name) {
    const auto last = places_.begin() + static_cast<std::ptrdiff_t>(count_);
    const auto left = std::remove_if(places_.begin(), last, [name](const OutgoingField& f) {
      return equalsIgnoreCase(f.name, name);
    });
    count_ = static_cast<std::size_t>(left - places_.begin());
  }

  // Void after the next add().
  std::span<const OutgoingField> all() const { return {places_.data(), count_}; }

 private:
  static constexpr std::size_t kPlaces = 16;  // to begin with

  std::vector<OutgoingField> places_ = std::vector<OutgoingField>(kPlaces);
  std::size_t count_ = 0;
};

}  // namespace tidegate
