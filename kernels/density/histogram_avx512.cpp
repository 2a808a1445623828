#include "kernels/density/histogram_tier.hpp"

namespace lanner::density {

void look_up_avx512(const HistogramTables& tables, Rows rows, float* scores, MutableRows parts) {
  HistogramKernel<simd::Avx512>::look_up(tables, rows, scores, parts);
}

}  // namespace lanner::density
