#include "kernels/cut_forest/attribution.hpp"
#include "kernels/cut_forest/separation_tier.hpp"

namespace lanner::cut_forest {

void separation_avx512(const ForestTables& forest, Rows rows, float* y, float* scores) {
  SeparationKernel<simd::Avx512>::separate(forest, rows, y, scores);
}

void attribution_avx512(const ForestTables& forest, Rows rows, float base, float* y, MutableRows parts) {
  attribute_rows<SeparationKernel<simd::Avx512>>(forest, rows, base, y, parts);
}

}  // namespace lanner::cut_forest
