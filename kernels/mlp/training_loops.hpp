// The element-wise parts of a training step over matrices, for each CPU tier.
#pragma once

#include "kernels/mlp/training.hpp"
#include "kernels/mlp/training_formulas.hpp"
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

template <class F, Activation activation>
LANNER_INLINE void activate_rows(View<float> z) {
  using A = Access<F>;
  for (std::size_t i = 0; i < z.rows; ++i) {
    float* row = z.data + i * z.stride;
    for (std::size_t j = 0; j < z.columns; j += A::width)
      A::store(activated<activation>(A::load(row + j)), row + j);
  }
}

template <class F>
LANNER_INLINE void activate_all(Activation activation, View<float> z) {
  switch (activation) {
    case Activation::rectifier:
      return activate_rows<F, Activation::rectifier>(z);
    case Activation::tanh:
      return activate_rows<F, Activation::tanh>(z);
    case Activation::sigmoid:
      return activate_rows<F, Activation::sigmoid>(z);
    case Activation::identity:
      return activate_rows<F, Activation::identity>(z);
  }
}

template <class F, Activation activation>
LANNER_INLINE void pass_back_rows(View<const float> a, float* delta) {
  using A = Access<F>;
  for (std::size_t i = 0; i < a.rows; ++i) {
    const float* value = a.data + i * a.stride;
    float* row = delta + i * a.stride;
    for (std::size_t j = 0; j < a.columns; j += A::width)
      A::store(passed_back<activation>(A::load(value + j), A::load(row + j)), row + j);
  }
}

template <class F>
LANNER_INLINE void pass_activation(Activation activation, View<const float> a, float* delta) {
  switch (activation) {
    case Activation::rectifier:
      return pass_back_rows<F, Activation::rectifier>(a, delta);
    case Activation::tanh:
      return pass_back_rows<F, Activation::tanh>(a, delta);
    case Activation::sigmoid:
      return pass_back_rows<F, Activation::sigmoid>(a, delta);
    case Activation::identity:
      return pass_back_rows<F, Activation::identity>(a, delta);
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
      if (delta) A::store(loss_by_output(d, F(scale)), delta + i * y.stride + j);
    }
    A::store(bounded_square(sum), square + j);
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

template <class F>
LANNER_INLINE void adam_all(const AdamStep& step, std::size_t count, const float* gradient, float* moment1,
                            float* moment2, float* weight) {
  using A = Access<F>;
  for (std::size_t i = 0; i < count; i += A::width) {
    F m = A::load(moment1 + i), v = A::load(moment2 + i), w = A::load(weight + i);
    adapt(step, A::load(gradient + i), m, v, w);
    A::store(m, moment1 + i);
    A::store(v, moment2 + i);
    A::store(w, weight + i);
  }
}

}  // namespace lanner::mlp
