#include "kernels/oblique_forest/walk_tier.hpp"

namespace lanner::oblique_forest {

void isolation_avx512(const ForestTables& forest, Rows rows, float* y, float* scores) {
  WalkKernel<simd::Avx512>::isolation(forest, rows, y, scores);
}

float projection_avx512(const float* y, const std::uint32_t* feature, const float* weight,
                        std::size_t mixed) {
  return WalkKernel<simd::Avx512>::projection(y, feature, weight, mixed);
}

void attribution_avx512(const ForestTables& forest, Rows rows, float* y, MutableRows moved, double* lengths) {
  attribute_rows<WalkKernel<simd::Avx512>>(forest, rows, y, moved, lengths);
}

}  // namespace lanner::oblique_forest
