#include "tests/kernels/arithmetic/elementary_lanes_tier.hpp"

namespace lanner::test {

void evaluate_avx512(Function function, const float* x, float* y, std::size_t count) {
  evaluate_lanes<simd::Floats<simd::Avx512>>(function, x, y, count);
}
void evaluate_avx512(WideFunction function, const double* x, double* y, std::size_t count) {
  evaluate_lanes<simd::Doubles<simd::Avx512>>(function, x, y, count);
}

}  // namespace lanner::test
