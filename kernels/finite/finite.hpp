// Whether rows are finite, which all are before a kernel reads them: the one pass over every event.
#pragma once

#include <cstddef>

#include "kernels/device/cpu_tier.hpp"
#include "kernels/rows.hpp"

namespace lanner::finite {

/// Whether each of `count` values is finite. The tier is one of available_cpu_tiers().
bool all_finite(CpuTier, const float* values, std::size_t count);

/// Likewise each value of rows.
bool all_finite(CpuTier, Rows);

/// Copies `count` values, cast to float, and says whether all came out finite. The memories don't overlap.
bool copy_finite(CpuTier, const float* from, float* to, std::size_t count);
bool copy_finite(CpuTier, const double* from, float* to, std::size_t count);

}  // namespace lanner::finite
