// Latencies in buckets of equal relative width: under 1% off, at any length.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tidegate::bench {

class Histogram {
 public:
  void record(std::uint64_t nanoseconds) { ++counts_[bucketOf(nanoseconds)]; }

  // Calls `use(nanoseconds, count)` for each bucket that holds something, shortest first, with the
  // middle of the bucket.
  template <typename Use>
  void each(Use use) const {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] != 0) use(middleOf(i), counts_[i]);
    }
  }

 private:
  static constexpr unsigned kBits = 6;  // 64 buckets for each power of two
  static constexpr std::size_t kSteps = std::size_t{1} << kBits;

  // Values under kSteps have a bucket each; the others keep their highest kBits + 1 bits.
  static std::size_t bucketOf(std::uint64_t value) {
    if (value < kSteps) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
    return (shift + 1) * kSteps + ((value >> shift) - kSteps);
  }

  static std::uint64_t middleOf(std::size_t bucket) {
    if (bucket < kSteps) return bucket;
    const unsigned shift = static_cast<unsigned>(bucket / kSteps) - 1;
    const std::uint64_t low = (bucket % kSteps + kSteps) << shift;
    return low + ((std::uint64_t{1} << shift) >> 1);
  }

  std::array<std::uint64_t, (64 - kBits + 1) * kSteps> counts_{};
};

}  // namespace tidegate::bench
