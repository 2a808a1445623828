#include "kernels/cut_forest/separation_tier.hpp"

namespace lanner::cut_forest {

void separation_avx2(const ForestTables& forest, Rows rows, float* y, float* scores) {
  SeparationKernel<simd::Avx2>::separate(forest, rows, y, scores);
}

}  // namespace lanner::cut_forest
