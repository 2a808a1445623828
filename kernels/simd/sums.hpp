// Eight registers of partial sums, each added up into a lane of its own.
#pragma once

#include "kernels/simd/lanes.hpp"

namespace lanner::simd {

/// Lane r: the sum of v[r], of its lanes those 4 apart first, then 2, then 1. Seven shuffles: of each pair of
/// registers the halves that change places are shuffled, those that stay are blended.
LANNER_INLINE Floats<Avx2> lane_sums(const Floats<Avx2> (&v)[8]) {
  __m256 fours[4], twos[2];
  for (int i = 0; i < 4; ++i)
    fours[i] = _mm256_add_ps(_mm256_blend_ps(v[i].v, v[i + 4].v, 0xF0),
                             _mm256_permute2f128_ps(v[i].v, v[i + 4].v, 0x21));
  for (int i = 0; i < 2; ++i)
    twos[i] = _mm256_add_ps(_mm256_blend_ps(fours[i], fours[i + 2], 0xCC),
                            _mm256_shuffle_ps(fours[i], fours[i + 2], 0x4E));
  const __m256 ones = _mm256_add_ps(_mm256_blend_ps(twos[0], twos[1], 0xAA),
                                    _mm256_permute_ps(_mm256_blend_ps(twos[0], twos[1], 0x55), 0xB1));
  return ones;
}

}  // namespace lanner::simd
