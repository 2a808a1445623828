// What finite.cpp and its tiers share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::finite {

struct Passes {
  bool (*look)(const float* values, std::size_t count);
  bool (*copy_floats)(const float* from, float* to, std::size_t count);
  bool (*copy_doubles)(const double* from, float* to, std::size_t count);
};

extern const Passes passes_scalar, passes_avx2, passes_avx512;

/// 0 for what is finite: 0 then, and NaN otherwise, is what remains.
LANNER_FORMULA std::int32_t unlike_finite(float x) {
  return to_bits(x - x);
}

}  // namespace lanner::finite
