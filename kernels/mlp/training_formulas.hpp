// The element-wise parts of a training step, for a float or a register of floats.
#pragma once

#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/training.hpp"
#include "kernels/simd/lanes.hpp"

namespace lanner::mlp {

/// How a value is read and written: alone, or as a register of them.
template <class F>
struct Access {
  static constexpr std::size_t width = F::width;
  LANNER_INLINE static F load(const float* from) { return F::load(from); }
  LANNER_INLINE static void store(F value, float* to) { value.store(to); }
};
template <>
struct Access<float> {
  static constexpr std::size_t width = 1;
  LANNER_INLINE static float load(const float* from) { return *from; }
  LANNER_INLINE static void store(float value, float* to) { *to = value; }
};

/// Beyond it a gradient would overflow when squared; it counts as this.
inline constexpr float largest_gradient = 1e18f;
/// Below it a moment counts as zero: it no longer moves a weight, and denormals are slow.
inline constexpr float smallest_moment = 1e-30f;

template <class F>
LANNER_INLINE void activate_all(Activation activation, View<float> z) {
  using A = Access<F>;
  for (std::size_t i = 0; i < z.rows; ++i) {
    float* row = z.data + i * z.stride;
    switch (activation) {
      case Activation::rectifier:
        for (std::size_t j = 0; j < z.columns; j += A::width) A::store(rectify(A::load(row + j)), row + j);
        break;
      case Activation::tanh:
        for (std::size_t j = 0; j < z.columns; j += A::width)
          A::store(hyperbolic_tangent(saturate(A::load(row + j))), row + j);
        break;
      case Activation::identity:
        for (std::size_t j = 0; j < z.columns; j += A::width) A::store(saturate(A::load(row + j)), row + j);
        break;
    }
  }
}

template <class F>
LANNER_INLINE void pass_activation(Activation activation, View<const float> a, float* delta) {
  using A = Access<F>;
  for (std::size_t i = 0; i < a.rows; ++i) {
    const float* value = a.data + i * a.stride;
    float* row = delta + i * a.stride;
    switch (activation) {
      case Activation::rectifier:
        for (std::size_t j = 0; j < a.columns; j += A::width)
          A::store(select(A::load(value + j) > F(0.0f), saturate(A::load(row + j)), F(0.0f)), row + j);
        break;
      case Activation::tanh:
        for (std::size_t j = 0; j < a.columns; j += A::width) {
          const F t = A::load(value + j);
          A::store(saturate(A::load(row + j)) * fma(-t, t, F(1.0f)), row + j);
        }
        break;
      case Activation::identity:
        for (std::size_t j = 0; j < a.columns; j += A::width) A::store(saturate(A::load(row + j)), row + j);
        break;
    }
  }
}

template <class F>
LANNER_INLINE void compare_rows(View<const float> y, const float* x, float scale, float* delta,
                                float* square) {
  using A = Access<F>;
  for (std::size_t j = 0; j < y.columns; j += A::width) {
    F sum(0.0f);
    for (std::size_t i = 0; i < y.rows; ++i) {
      const F d = A::load(y.data + i * y.stride + j) - A::load(x + i * y.stride + j);
      sum = fma(d, d, sum);
      if (delta) A::store(saturate(d) * F(scale), delta + i * y.stride + j);
    }
    A::store(minimum(sum, F(largest)), square + j);
  }
}

template <class F>
LANNER_INLINE void sum_all_rows(View<const float> delta, float* sums) {
  using A = Access<F>;
  for (std::size_t j = 0; j < delta.columns; j += A::width) {
    F sum(0.0f);
    for (std::size_t i = 0; i < delta.rows; ++i) sum = sum + A::load(delta.data + i * delta.stride + j);
    A::store(sum, sums + j);
  }
}

/// Kingma & Ba 2015, algorithm 1.
template <class F>
LANNER_INLINE void adam_all(const AdamStep& s, std::size_t count, const float* gradient, float* moment1,
                            float* moment2, float* weight) {
  using A = Access<F>;
  for (std::size_t i = 0; i < count; i += A::width) {
    const F g = minimum(maximum(A::load(gradient + i), F(-largest_gradient)), F(largest_gradient));
    F m = fma(F(s.decay1), A::load(moment1 + i), F(s.gain1) * g);
    F v = fma(F(s.decay2), A::load(moment2 + i), (F(s.gain2) * g) * g);
    m = select(absolute(m) < F(smallest_moment), F(0.0f), m);
    v = select(v < F(smallest_moment), F(0.0f), v);
    const F change = (F(s.rate) * m) / (square_root(F(s.correction2) * v) + F(s.epsilon));
    A::store(m, moment1 + i);
    A::store(v, moment2 + i);
    A::store(A::load(weight + i) - change, weight + i);
  }
}

}  // namespace lanner::mlp
