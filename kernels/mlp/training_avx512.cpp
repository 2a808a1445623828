#include "kernels/mlp/training_tile.hpp"

namespace lanner::mlp {
namespace {

using F = simd::Floats<simd::Avx512>;

void product(const Product& p, std::size_t begin, std::size_t end) {
  multiply<simd::Avx512>(p, begin, end);
}
void activate(Activation activation, View<float> z) {
  activate_all<F>(activation, z);
}
void through_activation(Activation activation, View<const float> a, float* delta) {
  pass_activation<F>(activation, a, delta);
}
void compare(View<const float> y, const float* x, float scale, float* delta, float* square) {
  compare_rows<F>(y, x, scale, delta, square);
}
void sum_rows(View<const float> delta, float* sum) {
  sum_all_rows<F>(delta, sum);
}
void transpose(View<const float> from, float* to, std::size_t to_stride) {
  transpose_block(from, to, to_stride);
}
void adam(const AdamStep& step, std::size_t count, const float* gradient, float* moment1, float* moment2,
          float* weight) {
  adam_all<F>(step, count, gradient, moment1, moment2, weight);
}

}  // namespace

constinit const TrainingTier training_avx512{product,   activate, through_activation, compare, sum_rows,
                                             transpose, adam};

}  // namespace lanner::mlp
