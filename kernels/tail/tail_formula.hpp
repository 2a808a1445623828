// The generalised-Pareto tail beyond the largest calibration score: one formula for every backend.
//
// Definition. With c the largest of n calibration scores and E(s) = log(1 + shape z)/shape, z = (s -
// threshold)/scale (z itself for shape 0; infinite at and beyond the end point of a negative shape; 0 below
// the threshold), the fitted tail gives the probability q(s) = exceedance exp(-E(s)). The p-value is
//   p(s) = min(1, exp(L - E(s))) / (n + 1),   L = max(log((n + 1) exceedance), E(c)),   never below
//   `smallest_p`:
// q(s) where that continues the conformal 1/(n + 1) from above, and q scaled up to meet it where the
// calibration rows reached further than the fit expected. So p leaves the edge without a jump, is never above
// 1/(n + 1), and an event no larger than what calibration saw is never called rarer than 1/(n + 1).
//
// Monotone to the bit: z is cut to 36 significant bits, so that two z are equal or differ by far more than
// the errors of log1p and exp.
#pragma once

#include <cstdint>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::tail {

inline constexpr double smallest_p = 1e-300;

/// E(s). scale > 0.
LANNER_FORMULA double exceedance_exponent(double s, double threshold, double shape, double scale) {
  const double infinity = from_bits(std::int64_t{0x7FF0000000000000});
  const double exact = (s - threshold) / scale;
  if (!(exact > 0)) return 0;
  if (exact == infinity) return infinity;
  const double z = from_bits(to_bits(exact) & ~std::int64_t{0x1FFFF});
  // Smaller shapes could only bring denormals; the two formulas agree to the last bit there.
  if (absolute(shape) < 1e-100) return z;
  const double y = shape * z;
  if (y <= -1) return infinity;
  return log1p(y) / shape;
}

/// What is needed of a tail: all constants of p(s).
struct TailFormula {
  double threshold = 0, shape = 0, scale = 1;
  double level = 0;   ///< L
  double edge_p = 1;  ///< 1 / (n + 1)

  LANNER_FORMULA double p(double s) const {
    const double exponent = exceedance_exponent(s, threshold, shape, scale);
    if (!(exponent > level)) return edge_p;
    return maximum(exp(level - exponent) * edge_p, smallest_p);
  }
};

LANNER_FORMULA TailFormula make_tail_formula(double threshold, double shape, double scale, double exceedance,
                                             double largest, double n) {
  const double reached = exceedance_exponent(largest, threshold, shape, scale);
  return {threshold, shape, scale, maximum(log((n + 1) * exceedance), reached), 1 / (n + 1)};
}

}  // namespace lanner::tail
