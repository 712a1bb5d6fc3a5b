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
  ExtraFields() = default;
  ExtraFields(const ExtraFields&) = delete;
  ExtraFields& operator=(const ExtraFields&) = delete;

  void clear() { next_ = places_.data(); }

  void add(std::string_view name, std::string_view value) {
    if (next_ == end_) grow();
    *next_++ = {name, value};
  }

  // Takes out all of that name, in whatever case.
  void remove(std::string_view name) {
    next_ = std::remove_if(places_.data(), next_, [name](const OutgoingField& f) {
      return equalsIgnoreCase(f.name, name);
    });
  }

  // Void after the next add().
  std::span<const OutgoingField> all() const { return {places_.data(), next_}; }

 private:
  static constexpr std::size_t kPlaces = 16;  // to begin with

  void grow();

  std::vector<OutgoingField> places_ = std::vector<OutgoingField>(kPlaces);
  OutgoingField* next_ = places_.data();
  OutgoingField* end_ = next_ + kPlaces;
};

}  // namespace tidegate
