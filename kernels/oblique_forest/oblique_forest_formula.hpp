// The sum of a cut, for every backend.
#pragma once

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::oblique_forest {

/// Into which a cut's sum is parted; the sum of all of them begins with those this half apart.
inline constexpr unsigned chains = 16;

/// Of chains [16], which are used up.
LANNER_FORMULA float sum_of(float* e) {
  for (unsigned half = chains / 2; half > 0; half /= 2)
    for (unsigned c = 0; c < half; ++c) e[c] = e[c] + e[c + half];
  return e[0];
}

}  // namespace lanner::oblique_forest
