#include "tests/kernels/arithmetic/elementary_lanes_tier.hpp"

namespace lanner::test {

void evaluate_avx2(Function function, const float* x, float* y, std::size_t count) {
  evaluate_lanes<simd::Floats<simd::Avx2>>(function, x, y, count);
}
void evaluate_avx2(WideFunction function, const double* x, double* y, std::size_t count) {
  evaluate_lanes<simd::Doubles<simd::Avx2>>(function, x, y, count);
}

}  // namespace lanner::test
