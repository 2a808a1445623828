// Blocks of floats turned over in registers, for the tiers from AVX2 up.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/simd/lanes.hpp"

namespace lanner::simd {

LANNER_INLINE void transpose_8x8(__m256 (&r)[8]) {
  __m256 t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  __m256 s[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 4) {
    s[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    s[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    s[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    s[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
  }
}

LANNER_INLINE __m256i first_lanes(std::size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// Columns of as many rows as a register has lanes, a register each; load(row): 8 values of a row.
template <class Tier, class Load>
LANNER_INLINE void turned_over(Floats<Tier> (&columns)[8], const Load& load) {
  constexpr int width = Floats<Tier>::width;
#if defined(__AVX512F__)
  if constexpr (width == 16) {
    // Rows four apart side by side, so that columns of 4 rows at a time become columns of 16 in one more
    // step.
    __m512 r[8], s[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const int row = i / 4 * 8 + i % 4;
      r[i] = _mm512_insertf32x8(_mm512_castps256_ps512(load(row)), load(row + 4), 1);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 4) {
      const __m512 low = _mm512_unpacklo_ps(r[i], r[i + 1]),
                   low_next = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
      const __m512 high = _mm512_unpackhi_ps(r[i], r[i + 1]);
      const __m512 high_next = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
      s[i] = _mm512_shuffle_ps(low, low_next, 0x44);
      s[i + 1] = _mm512_shuffle_ps(low, low_next, 0xEE);
      s[i + 2] = _mm512_shuffle_ps(high, high_next, 0x44);
      s[i + 3] = _mm512_shuffle_ps(high, high_next, 0xEE);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; ++i) {
      columns[i] = _mm512_shuffle_f32x4(s[i], s[i + 4], 0x88);
      columns[i + 4] = _mm512_shuffle_f32x4(s[i], s[i + 4], 0xDD);
    }
    return;
  }
#endif
  for (int r = 0; r < width; r += 8) {
    __m256 eight[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) eight[i] = load(r + i);
    transpose_8x8(eight);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      if constexpr (width == 8)
        columns[i] = eight[i];
      else
        __builtin_memcpy(reinterpret_cast<__m256*>(&columns[i]) + r / 8, &eight[i], sizeof eight[i]);
  }
}

/// Columns [0, count), at most 8, of rows; at(row): where a row begins. What is missing of 8 is zeros, and
/// not read.
template <class Tier, class At>
LANNER_INLINE void load_columns_at(std::size_t count, Floats<Tier> (&columns)[8], const At& at) {
  if (count >= 8) {
    turned_over<Tier>(columns, [&](int row) { return _mm256_loadu_ps(at(row)); });
  } else {
    const __m256i wanted = first_lanes(count);
    turned_over<Tier>(columns, [&](int row) { return _mm256_maskload_ps(at(row), wanted); });
  }
}

/// Columns [j, j + count) of the rows that begin there.
template <class Tier>
LANNER_INLINE void load_columns(const float* const* rows, std::size_t j, std::size_t count,
                                Floats<Tier> (&columns)[8]) {
  load_columns_at<Tier>(count, columns, [&](int row) { return rows[row] + j; });
}

/// Columns [0, count) of rows `stride` apart. From few addresses: a pointer for each row would take as many
/// loads as the rows do.
template <class Tier>
LANNER_INLINE void load_columns(const float* first, std::size_t stride, std::size_t count,
                                Floats<Tier> (&columns)[8]) {
  const float* ninth = first + 8 * stride;
  asm("" : "+r"(first), "+r"(ninth));  // not two of many pointers worked out beforehand
  const std::size_t three = 3 * stride, five = 5 * stride, seven = 7 * stride;
  load_columns_at<Tier>(count, columns, [&](int row) {
    const float* const eight = row < 8 ? first : ninth;
    const std::size_t apart[8] = {0, stride, 2 * stride, three, 4 * stride, five, 2 * three, seven};
    return eight + apart[row % 8];
  });
}

}  // namespace lanner::simd
