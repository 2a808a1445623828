// The element-wise parts of a training step, for a float or a register of floats, on every backend.
#pragma once

#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/training.hpp"

namespace lanner::mlp {

/// Beyond it a gradient would overflow when squared; it counts as this.
inline constexpr float largest_gradient = 1e18f;
/// Below it a moment counts as zero: it no longer moves a weight, and denormals are slow.
inline constexpr float smallest_moment = 1e-30f;

/// The sum z's activation, saturated as in the forward pass.
template <Activation activation, class F>
LANNER_FORMULA F activated(F z) {
  if constexpr (activation == Activation::rectifier) {
    return rectify(z);
  } else if constexpr (is_curved(activation)) {
    return curved(activation, saturate(z));
  } else {
    return saturate(z);
  }
}

/// delta, the loss by an activation a, as the loss by the sum before it.
template <Activation activation, class F>
LANNER_FORMULA F passed_back(F a, F delta) {
  if constexpr (activation == Activation::rectifier) {
    return select(a > F(0.0f), saturate(delta), F(0.0f));
  } else if constexpr (activation == Activation::tanh) {
    return saturate(delta) * fma(-a, a, F(1.0f));
  } else if constexpr (activation == Activation::sigmoid) {
    return saturate(delta) * fma(-a, a, a);
  } else {
    return saturate(delta);
  }
}

/// Of a difference d of output and input: the loss by that output.
template <class F>
LANNER_FORMULA F loss_by_output(F d, F scale) {
  return saturate(d) * scale;
}
/// Of a chain of squared differences.
template <class F>
LANNER_FORMULA F bounded_square(F sum) {
  return minimum(sum, F(largest));
}

/// Kingma & Ba 2015, algorithm 1.
template <class F>
LANNER_FORMULA void adapt(const AdamStep& s, F gradient, F& moment1, F& moment2, F& weight) {
  const F g = minimum(maximum(gradient, F(-largest_gradient)), F(largest_gradient));
  F m = fma(F(s.decay1), moment1, F(s.gain1) * g);
  F v = fma(F(s.decay2), moment2, (F(s.gain2) * g) * g);
  m = select(absolute(m) < F(smallest_moment), F(0.0f), m);
  v = select(v < F(smallest_moment), F(0.0f), v);
  const F change = (F(s.rate) * m) / (square_root(F(s.correction2) * v) + F(s.epsilon));
  moment1 = m;
  moment2 = v;
  weight = weight - change;
}

}  // namespace lanner::mlp
