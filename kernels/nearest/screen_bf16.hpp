// The screen of the GPU backends: that of screen.hpp with rows rounded to bfloat16 for tensor cores. What
// docs/bounds/nearest.md proves of it, as code; and where the tensor cores want which value.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/screen.hpp"

namespace lanner::nearest {

/// Values are rounded to bfloat16 after centring, so that a row's error is relative to its distance from the
/// centre. Squared norms of references are within 2^-28 of themselves, those of queries are float32 sums.
constexpr ScreenBound screen_bound_bf16(std::size_t width) {
  const double sum = screen_sum_error(width), query_norm = (static_cast<double>(width) + 8) * 0x1p-24;
  return {2.02 * sum + 0x1p-7 + 0x1p-14, 1.02 * (sum + query_norm) + 0x1p-7 + 0x1p-14,
          (static_cast<double>(width) + 4) * 0x1p-126};
}

/// Its upper half: the nearest bfloat16, ties to even. |x| < 2^127.
LANNER_FORMULA std::uint32_t to_bf16(float x) {
  const auto bits = static_cast<std::uint32_t>(to_bits(x));
  return (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
}
LANNER_FORMULA std::uint32_t to_bf16_pair(float low, float high) {
  return to_bf16(low) | to_bf16(high) << 16;
}

// A step of mma.m16n8k16 takes sixteen features. Lane l has features 4 (l % 4) ... + 3 of them, as two
// registers: its two places among the sixteen, which may be any, as both factors have the same.

inline constexpr unsigned step_features = 16;
inline constexpr unsigned cell_rows = 256;  ///< of a cell's panel: eight warps of 32 rows
inline constexpr unsigned step_words = cell_rows * step_features / 2;

/// Where in a step of a cell's panel features 4 quad ... + 3 of a row are: two words, one after the other.
LANNER_FORMULA std::uint32_t panel_word(std::uint32_t row, std::uint32_t quad) {
  const std::uint32_t warp = row / 32, tile = row / 8 % 4, lane = row % 8 * 4 + quad;
  return ((warp * 2 + tile / 2) * 32 + lane) * 4 + tile % 2 * 2;
}

}  // namespace lanner::nearest
