// The formula of one row, shared by the backends.
#pragma once

#include <cstddef>
#include <limits>

#include "kernels/arithmetic/elementary.hpp"
#include "kernels/blend/blend.hpp"

namespace lanner::blend {

LANNER_FORMULA float scaled(const Member& member, float score) {
  constexpr float largest = std::numeric_limits<float>::max();
  const float s = minimum(maximum(score, 0.0f) + member.offset, largest);
  return fma(member.weight, lanner::log(s), member.bias);
}

LANNER_FORMULA float blended(const Member* members, std::size_t count, const float* scores,
                             std::size_t stride) {
  constexpr float largest = std::numeric_limits<float>::max();
  float top = scaled(members[0], scores[0]), sum = top;
  for (std::size_t m = 1; m < count; ++m) {
    const float z = scaled(members[m], scores[m * stride]);
    top = maximum(top, z);
    sum = sum + z;
  }
  const float mean_share = (0.5f / static_cast<float>(count)) * sum;
  return minimum(maximum(fma(0.5f, top, mean_share), -largest), largest);
}

}  // namespace lanner::blend
