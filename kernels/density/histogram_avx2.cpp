#include "kernels/density/histogram_tier.hpp"

namespace lanner::density {

void look_up_avx2(const HistogramTables& tables, Rows rows, float* scores, MutableRows parts) {
  HistogramKernel<simd::Avx2>::look_up(tables, rows, scores, parts);
}

}  // namespace lanner::density
