#include "kernels/finite/finite_tier.hpp"

namespace lanner::finite {

static bool look(const float* values, std::size_t count) {
  return FinitePass<simd::Avx512>::pass(values, nullptr, count);
}
static bool copy_floats(const float* from, float* to, std::size_t count) {
  return FinitePass<simd::Avx512>::pass(from, to, count);
}
static bool copy_doubles(const double* from, float* to, std::size_t count) {
  return FinitePass<simd::Avx512>::pass(from, to, count);
}

constinit const Passes passes_avx512{look, copy_floats, copy_doubles};

}  // namespace lanner::finite
