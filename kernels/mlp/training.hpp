// What one step of training is made of, for each CPU tier. Matrices are row-major and filled up with zeros to
// a multiple of 16 columns, which the results keep; counts of columns below are such multiples. Lanes are
// columns and every result is one chain in a fixed order, so that even training gives the same bits in every
// tier, and on GPUs (training_cuda.cu).
#pragma once

#include <cstddef>

#include "kernels/mlp/mlp.hpp"

namespace lanner::mlp {

inline constexpr std::size_t column_multiple = 16;

/// c(i, j) = start[j], or 0 where there is none; for k in order: c(i, j) = fma(a(i, k), b(k, j), c(i, j)).
/// a(i, k) is at a[i * a_row + k * a_step], b(k, j) at b[k * b_row + j], c(i, j) at c[i * c_row + j].
struct Product {
  std::size_t columns = 0, depth = 0;
  const float* a = nullptr;
  std::size_t a_row = 0, a_step = 0;
  const float* b = nullptr;
  std::size_t b_row = 0;
  const float* start = nullptr;
  float* c = nullptr;
  std::size_t c_row = 0;
};

/// A matrix.
template <class T>
struct View {
  T* data = nullptr;
  std::size_t rows = 0, columns = 0, stride = 0;
};

/// Adam's constants at one step: the corrections for the moments' start at zero are folded in.
struct AdamStep {
  float decay1, decay2, gain1, gain2;  // gain = 1 - decay
  float rate;                          // learning rate / (1 - decay1^t)
  float correction2;                   // 1 / (1 - decay2^t)
  float epsilon;
};

struct TrainingTier {
  /// Rows [begin, end) of c.
  void (*product)(const Product&, std::size_t begin, std::size_t end);
  /// z becomes its activation, saturated as in the forward pass.
  void (*activate)(Activation, View<float> z);
  /// delta, the loss by an activation a, becomes the loss by the sum before it.
  void (*through_activation)(Activation, View<const float> a, float* delta);
  /// square[j] = the chain over rows of fma(d, d, .) with d = y - x; delta, if not null, = d * scale.
  void (*compare)(View<const float> y, const float* x, float scale, float* delta, float* square);
  /// sum[j] = the chain over rows of delta.
  void (*sum_rows)(View<const float> delta, float* sum);
  /// to(j, i) = from(i, j); `from` has whole multiples of 8 columns that exist in its buffer.
  void (*transpose)(View<const float> from, float* to, std::size_t to_stride);
  void (*adam)(const AdamStep&, std::size_t count, const float* gradient, float* moment1, float* moment2,
               float* weight);
};

extern const TrainingTier training_scalar, training_avx2, training_avx512;

/// The gradient of the mean reconstruction error of `rows`, in the shape of the network; error: that mean.
Network gradient(Device&, const Network&, Rows rows, double* error = nullptr);

}  // namespace lanner::mlp
