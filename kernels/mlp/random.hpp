// Seeded numbers that are the same on every machine, which the standard library's distributions are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace lanner::mlp {

/// SplitMix64 (Steele, Lea & Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// In [0, 1).
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// In [-1, 1).
  double symmetric() { return static_cast<double>(next() >> 11) * 0x1p-52 - 1; }
  /// In [0, count): the high bits of as many as are needed, drawn again where they are too large.
  std::size_t below(std::size_t count) {
    if (count < 2) return 0;
    const int drop = __builtin_clzll(static_cast<unsigned long long>(count - 1));
    std::uint64_t drawn = 0;
    do {
      drawn = next() >> drop;
    } while (drawn >= count);
    return static_cast<std::size_t>(drawn);
  }
  /// Fisher & Yates.
  template <class T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t state_;
};

}  // namespace lanner::mlp
