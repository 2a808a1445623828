#include "kernels/oblique_forest/walk_tier.hpp"

namespace lanner::oblique_forest {

void isolation_avx512(const ForestTables& forest, Rows rows, float* y, float* scores) {
  WalkKernel<simd::Avx512>::isolation(forest, rows, y, scores);
}

void attribution_avx512(const ForestTables& forest, Rows rows, float* y, MutableRows moved, double* lengths) {
  attribute_rows<WalkKernel<simd::Avx512>>(forest, rows, y, moved, lengths);
}

}  // namespace lanner::oblique_forest
