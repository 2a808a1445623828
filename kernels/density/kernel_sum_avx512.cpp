#include "kernels/density/kernel_sum_tier.hpp"

namespace lanner::density::kernel_sum {

void log_sums_avx512(const Tables& tables, Rows queries, const std::uint32_t* self,
                     const Workspace& workspace, double* out) {
  Kernel<simd::Avx512>::log_sums(tables, queries, self, workspace, out);
}

void attraction_avx512(const Tables& tables, Rows queries, const Workspace& workspace, MutableRows out) {
  Kernel<simd::Avx512>::attraction(tables, queries, workspace, out);
}

}  // namespace lanner::density::kernel_sum
