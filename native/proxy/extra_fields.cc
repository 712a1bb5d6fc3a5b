// More room, for a head to which policies add many fields.
#include "proxy/extra_fields.h"

namespace tidegate {

void ExtraFields::grow() {
  const std::size_t count = places_.size();
  places_.resize(2 * count);
  next_ = places_.data() + count;
  end_ = places_.data() + places_.size();
}

}  // namespace tidegate
