// The plain reference.
#include "kernels/mlp/training_loops.hpp"

namespace lanner::mlp {
namespace {

void product(const Product& p, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i)
    for (std::size_t j = 0; j < p.columns; ++j) {
      float c = p.start ? p.start[j] : 0.0f;
      for (std::size_t k = 0; k < p.depth; ++k)
        c = fma(p.a[i * p.a_row + k * p.a_step], p.b[k * p.b_row + j], c);
      p.c[i * p.c_row + j] = c;
    }
}
void activate(Activation activation, View<float> z) {
  activate_all<float>(activation, z);
}
void through_activation(Activation activation, View<const float> a, float* delta) {
  pass_activation<float>(activation, a, delta);
}
void compare(View<const float> y, const float* x, float scale, float* delta, float* square) {
  compare_rows<float>(y, x, scale, delta, square);
}
void sum_rows(View<const float> delta, float* sum) {
  sum_all_rows<float>(delta, sum);
}
void transpose(View<const float> from, float* to, std::size_t to_stride) {
  for (std::size_t i = 0; i < from.rows; ++i)
    for (std::size_t j = 0; j < from.columns; ++j) to[j * to_stride + i] = from.data[i * from.stride + j];
}
void adam(const AdamStep& step, std::size_t count, const float* gradient, float* moment1, float* moment2,
          float* weight) {
  adam_all<float>(step, count, gradient, moment1, moment2, weight);
}

}  // namespace

constinit const TrainingTier training_scalar{product,   activate, through_activation, compare, sum_rows,
                                             transpose, adam};

}  // namespace lanner::mlp
