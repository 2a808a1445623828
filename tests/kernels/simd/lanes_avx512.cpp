#define LANNER_LANES_TIER
#include "tests/kernels/simd/lanes_under_test.hpp"

namespace lanner::test {

void run_avx512(const float* a, const float* b, const float* c, std::size_t count, FloatOperations& out) {
  run_operations<simd::Avx512>(a, b, c, count, out);
}
void run_avx512(const double* a, const double* b, const double* c, std::size_t count, DoubleOperations& out) {
  run_operations<simd::Avx512>(a, b, c, count, out);
}
void convert_avx512(const float* a, const std::int32_t* integers, std::size_t count, const Conversions& out) {
  run_conversions<simd::Avx512>(a, integers, count, out);
}

}  // namespace lanner::test
