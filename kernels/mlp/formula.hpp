// The formulas of one value that every tier and backend shares, for a float or a register of floats.
#pragma once

#include <limits>

#include "kernels/arithmetic/elementary.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::mlp {

inline constexpr float largest = std::numeric_limits<float>::max();

/// Both bounds: a chain that overflowed stands at an infinity, never at NaN (its factors are finite, and a
/// fused product is exact, so that no chain adds unlike infinities).
template <class F>
LANNER_FORMULA F saturate(F a) {
  return minimum(maximum(a, F(-largest)), F(largest));
}

template <class F>
LANNER_FORMULA F rectify(F a) {
  return minimum(maximum(a, F(0.0f)), F(largest));
}

template <class F>
LANNER_FORMULA F standardised(F x, F shift, F scale, F limit) {
  return minimum(maximum((x - shift) * scale, -limit), limit);
}

template <class F>
LANNER_FORMULA F hyperbolic_tangent(F saturated) {
  return lanner::tanh(saturated);
}

/// Beyond the bound it is 0 or 1 but for its rounding, and exp stays a normal number.
template <class F>
LANNER_FORMULA F sigmoid(F saturated) {
  constexpr float bound = 87.0f;
  return F(1.0f) / (F(1.0f) + exp_normal(minimum(maximum(-saturated, F(-bound)), F(bound))));
}

/// Whether an activation is one of the long formulas, which every backend lets stand once. One comparison:
/// with two of them a kernel of the GPU's spills registers.
LANNER_FORMULA constexpr bool is_curved(Activation activation) {
  return activation >= Activation::tanh;
}
template <class F>
LANNER_FORMULA F curved(Activation activation, F saturated) {
  return activation == Activation::sigmoid ? sigmoid(saturated) : hyperbolic_tangent(saturated);
}

}  // namespace lanner::mlp
