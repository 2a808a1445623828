// The screen's bound: what docs/bounds/nearest.md proves, as code. All squared distances here are in scaled
// units: S = scale^2 |q - r|^2, with the index's power of two `scale`, so that squares neither overflow nor
// vanish.
//
// For a cell with centre c (in scaled units) the screen sums, in float32 and in any order,
//   A = bias(r) - 2 q' . r',   q' = float(scale q - c), r' = float(scale r - c),
// and then  A + lower_shift(q) <= S <= A + extra(r) + upper_shift(q).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanner::nearest {

inline constexpr std::size_t screen_width_max = 65536;
/// Scaled reference values stay below 2^41, those of a query that the screen can bound at or below 2^50.
inline constexpr int scaled_exponent = 40;
inline constexpr float scaled_query_max = 0x1p50f;

struct ScreenBound {
  double reference = 0;  ///< g: the share of a reference's squared norm that its error may reach
  double query = 0;      ///< h: the same for a query
  double absolute = 0;   ///< omega: what underflow may add
};

/// Relative error of a sum of `width` products and a bias against the sum of their magnitudes: 2^-23 for
/// every operation a term may pass (truncation, not only rounding), and a little over a quarter more for
/// units that align blocks of four or more terms to the largest.
constexpr double screen_sum_error(std::size_t width) {
  return (1.27 * static_cast<double>(width) + 8) * 0x1p-23;
}

constexpr ScreenBound screen_bound(std::size_t width) {
  const double sum = screen_sum_error(width);
  return {2 * sum + 0x1p-21, sum + 0x1p-21, (static_cast<double>(width) + 2) * 0x1p-126};
}

// Always inlined: the SIMD tiers' files must not leave copies of them that other code could link to.
#if defined(__CUDACC__)
#define LANNER_SCREEN __host__ __device__ __forceinline__
#else
#define LANNER_SCREEN [[gnu::always_inline]] inline
#endif

// Without branches, which nobody could predict.

/// The nearest float at or below x; beyond the largest finite float, that float.
LANNER_SCREEN float float_below(double x) {
  const float nearest = static_cast<float>(x);
  const auto bits = __builtin_bit_cast(std::int32_t, nearest);
  const std::int32_t away_from_zero = 1 + 2 * (bits >> 31);
  return __builtin_bit_cast(float, bits - (static_cast<double>(nearest) > x) * away_from_zero);
}
/// The nearest float at or above x; infinite beyond the largest finite float.
LANNER_SCREEN float float_above(double x) {
  const float nearest = static_cast<float>(x);
  const auto bits = __builtin_bit_cast(std::int32_t, nearest);
  const std::int32_t away_from_zero = 1 + 2 * (bits >> 31);
  return __builtin_bit_cast(float, bits + (static_cast<double>(nearest) < x) * away_from_zero);
}

// squared_norm: |scale r - c|^2 or |scale q - c|^2, within 2^-28 of itself.

LANNER_SCREEN float screen_bias(const ScreenBound& bound, double squared_norm) {
  return float_below(squared_norm * (1 - bound.reference));
}
/// extra(r) <= bias(r) * screen_extra_share + 2^-148.
LANNER_SCREEN float screen_extra_share(const ScreenBound& bound) {
  return float_above((1 + bound.reference) / (1 - bound.reference) * (1 + 0x1p-22) - 1);
}
LANNER_SCREEN float screen_extra(const ScreenBound& bound, float bias) {
  return float_above(static_cast<double>(bias) * static_cast<double>(screen_extra_share(bound)) + 0x1p-148);
}
LANNER_SCREEN float screen_lower_shift(const ScreenBound& bound, double squared_norm) {
  return float_below(squared_norm * (1 - bound.query) - bound.absolute);
}
LANNER_SCREEN float screen_upper_shift(const ScreenBound& bound, double squared_norm) {
  return float_above(squared_norm * (1 + bound.query) + bound.absolute);
}

/// Where A is above it, S > limit. Never infinite: padding has an infinite bias, and must fail the
/// comparison.
LANNER_SCREEN float screen_threshold(float limit, float lower_shift) {
  const double exact = static_cast<double>(limit) - static_cast<double>(lower_shift);
  const float above = float_above(exact + __builtin_fabs(exact) * 0x1p-50);
  return above < 0x1.fffffep127f ? above : 0x1.fffffep127f;
}

/// The limit on S up to which rows must be kept, where k rows have S <= kth: a little more, since the order
/// is that of rounded float64 chains.
LANNER_SCREEN float screen_limit(double kth) {
  return float_above(kth * (1 + 0x1p-22) + 0x1p-126);
}

/// A squared distance B that is summed in float32 from differences of scaled values, in 16 chains or more and
/// a tree, says  B (1 - share) - absolute <= S <= B (1 + share) + absolute.
LANNER_SCREEN float screen_measured_error(std::size_t width) {
  return (static_cast<float>(width) / 16 + 16) * 0x1p-23f;
}
LANNER_SCREEN float screen_measured_absolute(const ScreenBound& bound) {
  return float_above(bound.absolute);
}

/// Where a squared distance to a cell's box, summed in float32, is above it, S > limit.
LANNER_SCREEN float screen_reach(const ScreenBound& bound, float limit) {
  return float_above((static_cast<double>(limit) + bound.absolute) * (1 + 4 * bound.query));
}

}  // namespace lanner::nearest
