// A training step of the SIMD tiers, a template over the tier.
#pragma once

#include "kernels/mlp/training_loops.hpp"
#include "kernels/simd/transpose.hpp"

namespace lanner::mlp {

/// A block of c, rows x (2 registers), that stays in registers.
template <class Tier>
inline constexpr int product_rows = Tier::bytes == 32 ? 6 : 12;

template <class Tier, int rows, int vectors>
[[gnu::noinline]] void product_block(const Product& p, std::size_t i, std::size_t j) {
  using F = simd::Floats<Tier>;
  F c[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) c[r][v] = p.start ? F::load(p.start + j + v * F::width) : F(0.0f);
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + j;
  const std::size_t a_row = p.a_row, a_step = p.a_step, b_row = p.b_row;
#pragma GCC unroll 1
  for (std::size_t k = p.depth; k > 0; --k) {
    F in[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) in[v] = F::load(b + v * F::width);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const F w(a[static_cast<std::size_t>(r) * a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) c[r][v] = fma(w, in[v], c[r][v]);
    }
    a += a_step;
    b += b_row;
  }
  float* to = p.c + i * p.c_row + j;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v)
      c[r][v].store(to + static_cast<std::size_t>(r) * p.c_row + v * F::width);
}

template <class Tier, int vectors>
LANNER_INLINE void product_columns(const Product& p, std::size_t begin, std::size_t end, std::size_t j) {
  constexpr int rows = product_rows<Tier>;
  std::size_t i = begin;
  for (; i + rows <= end; i += rows) product_block<Tier, rows, vectors>(p, i, j);
  for (; i + rows / 3 <= end; i += rows / 3) product_block<Tier, rows / 3, vectors>(p, i, j);
  for (; i < end; ++i) product_block<Tier, 1, vectors>(p, i, j);
}

template <class Tier>
LANNER_INLINE void multiply(const Product& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t width = simd::Floats<Tier>::width;
  std::size_t j = 0;
  for (; j + 2 * width <= p.columns; j += 2 * width) product_columns<Tier, 2>(p, begin, end, j);
  for (; j < p.columns; j += width) product_columns<Tier, 1>(p, begin, end, j);
}

LANNER_INLINE void transpose_block(View<const float> from, float* to, std::size_t to_stride) {
  for (std::size_t i = 0; i < from.rows; i += 8) {
    const std::size_t here = from.rows - i < 8 ? from.rows - i : 8;
    for (std::size_t j = 0; j < from.columns; j += 8) {
      __m256 block[8];
      for (std::size_t r = 0; r < 8; ++r)
        block[r] = r < here ? _mm256_loadu_ps(from.data + (i + r) * from.stride + j) : _mm256_setzero_ps();
      simd::transpose_8x8(block);
      for (std::size_t r = 0; r < 8 && j + r < from.columns; ++r)
        _mm256_storeu_ps(to + (j + r) * to_stride + i, block[r]);
    }
  }
}

}  // namespace lanner::mlp
