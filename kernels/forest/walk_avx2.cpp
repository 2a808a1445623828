#include "kernels/forest/walk_tier.hpp"

namespace lanner::forest {

void walk_avx2(const ForestTables& forest, Rows rows, float* columns, float* scores) {
  WalkKernel<simd::Avx2>::walk(forest, rows, columns, scores);
}

}  // namespace lanner::forest
