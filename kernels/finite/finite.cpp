#include "kernels/finite/finite.hpp"

#include "kernels/finite/finite_pass.hpp"

namespace lanner::finite {
namespace {

const Passes& passes(CpuTier tier) {
  switch (tier) {
    case CpuTier::avx512:
      return passes_avx512;
    case CpuTier::avx2:
      return passes_avx2;
    case CpuTier::scalar:
      break;
  }
  return passes_scalar;
}

}  // namespace

bool all_finite(CpuTier tier, const float* values, std::size_t count) {
  return passes(tier).look(values, count);
}

bool all_finite(CpuTier tier, Rows rows) {
  if (rows.stride == rows.width) return all_finite(tier, rows.data, rows.count * rows.width);
  for (std::size_t i = 0; i < rows.count; ++i)
    if (!all_finite(tier, rows.row(i), rows.width)) return false;
  return true;
}

bool copy_finite(CpuTier tier, const float* from, float* to, std::size_t count) {
  return passes(tier).copy_floats(from, to, count);
}

bool copy_finite(CpuTier tier, const double* from, float* to, std::size_t count) {
  return passes(tier).copy_doubles(from, to, count);
}

}  // namespace lanner::finite
