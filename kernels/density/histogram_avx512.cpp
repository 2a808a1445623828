#include "kernels/density/histogram_tier.hpp"

namespace lanner::density {

void look_up_avx512(const HistogramTables& tables, Rows rows, float* scores, MutableRows parts) {
  using Kernel = HistogramKernel<simd::Avx512>;
  if (tables.alike() && !parts.data)
    Kernel::look_up_alike(tables, rows, scores);
  else
    Kernel::look_up(tables, rows, scores, parts);
}

bool look_up_alike_avx512(const HistogramTables& tables, Rows rows, float* scores) {
  return HistogramKernel<simd::Avx512>::look_up_alike(tables, rows, scores);
}

}  // namespace lanner::density
