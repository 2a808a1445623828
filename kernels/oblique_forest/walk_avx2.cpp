#include "kernels/oblique_forest/walk_tier.hpp"

namespace lanner::oblique_forest {

void isolation_avx2(const ForestTables& forest, Rows rows, float* y, float* scores) {
  WalkKernel<simd::Avx2>::isolation(forest, rows, y, scores);
}

void attribution_avx2(const ForestTables& forest, Rows rows, float* y, MutableRows moved, double* lengths) {
  attribute_rows<WalkKernel<simd::Avx2>>(forest, rows, y, moved, lengths);
}

}  // namespace lanner::oblique_forest
