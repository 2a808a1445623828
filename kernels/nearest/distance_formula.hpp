// The distance of the definition, from a squared distance: one formula for every backend.
#pragma once

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::nearest {

LANNER_FORMULA float distance_of(double squared) {
  const auto distance = static_cast<float>(square_root(squared));
  constexpr float largest = 0x1.fffffep127f;
  return distance < largest ? distance : largest;
}

}  // namespace lanner::nearest
