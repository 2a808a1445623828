// The integer that stands for a float in sorting, and back.
#pragma once

#include <bit>
#include <cstdint>

namespace lanner::sort {

/// Ascending in the float's order, -0 just before +0; a different one for every finite float.
inline std::uint32_t key_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t negative = 0u - (bits >> 31);
  return bits ^ (negative | 0x80000000u);
}

inline float value_of(std::uint32_t key) {
  const std::uint32_t negative = (key >> 31) - 1u;
  return std::bit_cast<float>(key ^ (negative | 0x80000000u));
}

}  // namespace lanner::sort
