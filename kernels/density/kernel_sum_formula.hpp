// The exact definition of a Gaussian kernel sum, shared by every backend.
//
// 1. The references (distinct rows with weights) are put into blocks of `block_rows` by splitting their set
// in two, at
//    the feature of largest extent, until a block is left (kernel_sum.cpp states it in full). All blocks but
//    the last are full; within a block the rows keep their order in the set.
// 2. For query q and reference r: s is the float32 chain s = fma(d, d, s), d = q[j] - r[j], over the features
// in order
//    from 0, and e = exponent(s) = -(s * scale), held at the least finite float. Exponents are of 2, so scale
//    is log2(e) / (2 h^2), rounded to float32 and held within its normal range.
// 3. A block's largest exponent is m. Its sum has `chains` float32 chains from 0: row i goes to chain i mod
// `chains`,
//    in order, as acc = fma(w, term(e - m), acc). The chains, widened to float64, are added as a tree: halves
//    onto each other, 16 -> 8 -> 4 -> 2 -> 1. A row left out (the query itself) counts with its weight less
//    one, and where that is 0 not for m either.
// 4. M is the largest m. Blocks with double(m) - double(M) < -cutoff are dropped; the others' sums times
//    2^(double(m) - double(M)) = exp(ln 2 * (..)) go, block by block, to `partial_sums` float64 chains, block
//    b to chain b mod `partial_sums` (acc = acc + sum * factor, product and sum each rounded), which are
//    added as a tree likewise. The answer is double(M) * ln 2 + log(total), or `nothing` where no reference
//    is left.
// 5. Attraction, for feature j: a block's squares are `chains` float32 chains acc = fma(w * term(e - m), d *
// d, acc) of
//    the rows with e - m >= -cutoff (d * d held within the finite floats), added as its tree; the blocks that
//    rule 4 keeps give the float64 chain squares = squares + block's * factor, in block order; see
//    attraction_value.
//
// What is dropped: at most the whole weight times 2^-40 = 1e-12 of the largest term. A term's own relative
// error is below 2^-21; that of e, (width + 2) 2^-24 of e, weighs more.
//
// A block may be skipped where a bound shows that rule 4 drops it. The bound is the exponent of the distance
// to the block's bounding box computed by the same chain: rounding is monotone, so every row of the block
// has, to the bit, a distance no smaller and an exponent no larger.
#pragma once

#include <cstddef>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::density::kernel_sum {

inline constexpr std::size_t block_rows = 256;
inline constexpr std::size_t chains = 16;
inline constexpr std::size_t partial_sums = 8;
inline constexpr float cutoff = 40.0f;
inline constexpr float largest = 0x1.fffffep127f;
inline constexpr double ln2 = 0x1.62e42fefa39efp-1;
/// The log of an empty sum: the least exponent there is.
inline constexpr double nothing = -0x1.fffffep127;

template <class F>
LANNER_FORMULA F exponent(F s, F scale) {
  return maximum(s * -scale, F(-largest));
}

/// 2^t for t <= 0, and 2^-126 below that: nothing next to the 1 that the block's largest term is.
template <class F>
LANNER_FORMULA F term(F t) {
  const F held = maximum(t, F(-126.0f));
  const F sum = held + F(elementary::rounder);
  const F r = held - (sum - F(elementary::rounder));
  F p = fma(F(0x1.5f1c38p-10f), r, F(0x1.3cbfb6p-7f));
  p = fma(p, r, F(0x1.c6af5cp-5f));
  p = fma(p, r, F(0x1.ebfa4ap-3f));
  p = fma(p, r, F(0x1.62e43p-1f));
  p = fma(p, r, F(1.0f));
  // The low bits of the sum are the integer part; the shift leaves nothing of the others.
  return from_bits(to_bits(p) + (to_bits(sum) << 23));
}

/// A term that counts for attraction.
template <class F>
LANNER_FORMULA F near_term(F t) {
  return select(t >= F(-cutoff), term(t), F(0.0f));
}

/// How far a value lies outside a block's bounding box in one feature: no further than from any of its rows.
template <class F>
LANNER_FORMULA F box_gap(F low, F high, F x) {
  return maximum(maximum(low - x, x - high), F(0.0f));
}

LANNER_FORMULA bool dropped(float block_largest, float overall_largest) {
  return static_cast<double>(block_largest) - static_cast<double>(overall_largest) <
         -static_cast<double>(cutoff);
}

/// 2^(m - M), for the sum of a block of largest exponent m.
template <class D>
LANNER_FORMULA D block_factor(D below_largest) {
  return exp(below_largest * D(ln2));
}

LANNER_FORMULA double log_sum(float overall_largest, double total) {
  return static_cast<double>(overall_largest) * ln2 + log(total);
}

/// The score of a density detector, within the finite floats.
LANNER_FORMULA float negative_log_density(double log_kernel_sum, double lowest, double log_rows) {
  constexpr auto most = static_cast<double>(largest);
  const double score = lowest + (log_rows - log_kernel_sum);
  return static_cast<float>(maximum(minimum(score, most), -most));
}

/// The fixed tree; `values` is used up.
template <std::size_t count>
LANNER_FORMULA double tree_sum(double* values) {
  for (std::size_t half = count / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) values[i] = values[i] + values[i + half];
  return values[0];
}

/// A feature's share of attraction, from its kernel-weighted sum of squared differences and the kernel sum.
LANNER_FORMULA float attraction_value(double squares, double total, double scale) {
  return static_cast<float>(minimum(squares / total * scale, static_cast<double>(largest)));
}

}  // namespace lanner::density::kernel_sum
