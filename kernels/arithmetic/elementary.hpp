// exp, log, log1p, expm1, tanh, sin, cos for float and exp, log, log1p for double, written once over the
// primitives of scalar.hpp and kernels/simd/lanes.hpp: the scalar call and every lane of every tier give the
// same bits, today and on any machine with IEEE 754 arithmetic. No library function is called, none has a
// branch.
//
// F is float, double, or a register of them. The stated errors hold for every argument (floats:
// tests/kernels/ arithmetic; the table is in docs/arithmetic.md). A NaN argument, or one outside the domain,
// gives the positive quiet NaN with no payload; overflow gives infinity, underflow a denormal or zero. Needs
// rounding to nearest and denormals (arithmetic/environment.hpp).
//
// Reductions: Cody & Waite 1980, "Software Manual for the Elementary Functions"; the polynomials are our own
// minimax fits with coefficients rounded to the format (Brisebarre & Chevillard 2007).
#pragma once

#include <concepts>
#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner {

template <class F>
concept SingleValues = std::same_as<F, float> || std::same_as<typename F::Value, float>;
template <class F>
concept DoubleValues = std::same_as<F, double> || std::same_as<typename F::Value, double>;

/// What sin and cos answer for: beyond it (infinities too) the argument counts as 0.
inline constexpr float trigonometric_limit = 131072.0f;

namespace elementary {

/// The integer type that holds F's bits.
template <class F>
using Bits = decltype(to_bits(F{}));

// Adding it leaves the nearest integer (ties to even) in the low bits of the sum.
inline constexpr float rounder = 0x1.8p23f;
inline constexpr double wide_rounder = 0x1.8p52;

/// The nearest integer to a value below 2^22 (2^51) in magnitude, as a value and as an integer.
template <class F>
struct Nearest {
  F value;
  Bits<F> integer;
};
template <SingleValues F>
LANNER_FORMULA Nearest<F> nearest(F factor, F x) {
  const F sum = fma(x, factor, F(rounder));
  return {sum - F(rounder), to_bits(sum) - Bits<F>(0x4B400000)};
}
template <DoubleValues F>
LANNER_FORMULA Nearest<F> nearest(F factor, F x) {
  const F sum = fma(x, factor, F(wide_rounder));
  return {sum - F(wide_rounder), to_bits(sum) - Bits<F>(0x4338000000000000)};
}

template <SingleValues F>
LANNER_FORMULA F quiet_nan(F) {
  return from_bits(Bits<F>(0x7FC00000));
}
template <DoubleValues F>
LANNER_FORMULA F quiet_nan(F) {
  return from_bits(Bits<F>(0x7FF8000000000000));
}
template <SingleValues F>
LANNER_FORMULA F infinity(F) {
  return from_bits(Bits<F>(0x7F800000));
}
template <DoubleValues F>
LANNER_FORMULA F infinity(F) {
  return from_bits(Bits<F>(0x7FF0000000000000));
}
/// 2^n for a normal result.
template <SingleValues F>
LANNER_FORMULA F power_of_two(F, Bits<F> n) {
  return from_bits((n + Bits<F>(127)) << 23);
}
template <DoubleValues F>
LANNER_FORMULA F power_of_two(F, Bits<F> n) {
  return from_bits((n + Bits<F>(1023)) << 52);
}
template <SingleValues F>
LANNER_FORMULA Bits<F> sign_bit(F x) {
  return to_bits(x) & Bits<F>(INT32_MIN);
}

/// x = n ln 2 + r: n, and r within +-0.3467. ln 2 in two parts, the first short enough for n times it to be
/// exact.
template <SingleValues F>
LANNER_FORMULA F reduced(F x, Nearest<F>& n) {
  n = nearest(F(0x1.715476p0f), x);
  return fma(n.value, F(-0x1.7f7d1cp-20f), fma(n.value, F(-0x1.62e4p-1f), x));
}
template <DoubleValues F>
LANNER_FORMULA F reduced(F x, Nearest<F>& n) {
  n = nearest(F(0x1.71547652b82fep0), x);
  return fma(n.value, F(-0x1.ef35793c7673p-45), fma(n.value, F(-0x1.62e42fefa38p-1), x));
}

/// exp(r) for a reduced r.
template <SingleValues F>
LANNER_FORMULA F exp_reduced(F r) {
  F p = fma(F(0x1.6ca9aap-10f), r, F(0x1.120adp-7f));
  p = fma(p, r, F(0x1.55556cp-5f));
  p = fma(p, r, F(0x1.5554dep-3f));
  p = fma(p, r, F(0x1p-1f));
  return F(1.0f) + fma(r * r, p, r);
}
template <DoubleValues F>
LANNER_FORMULA F exp_reduced(F r) {
  F p = fma(F(0x1.aeabce96afe56p-26), r, F(0x1.2891bdd5a0cf9p-22));
  p = fma(p, r, F(0x1.71de59ee2ee8fp-19));
  p = fma(p, r, F(0x1.a019b8cb006b6p-16));
  p = fma(p, r, F(0x1.a01a018c38db4p-13));
  p = fma(p, r, F(0x1.6c16c178a5f25p-10));
  p = fma(p, r, F(0x1.11111111144cbp-7));
  p = fma(p, r, F(0x1.5555555553ce7p-5));
  p = fma(p, r, F(0x1.555555555554dp-3));
  p = fma(p, r, F(0x1.0000000000001p-1));
  return F(1.0) + fma(r * r, p, r);
}

/// exp(r) - 1 for a reduced r; the sign of a zero is lost.
template <SingleValues F>
LANNER_FORMULA F expm1_reduced(F r) {
  F p = fma(F(0x1.a2d982p-13f), r, F(0x1.6d3074p-10f));
  p = fma(p, r, F(0x1.110fc2p-7f));
  p = fma(p, r, F(0x1.5555p-5f));
  p = fma(p, r, F(0x1.555556p-3f));
  p = fma(p, r, F(0x1p-1f));
  return fma(r * r, p, r);
}

/// k ln 2 + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1] and an integral k.
template <SingleValues F>
LANNER_FORMULA F log_joined(F k, F f) {
  F p = fma(F(0x1.2cb40ep-4f), f, F(-0x1.ddb2cep-4f));
  p = fma(p, f, F(0x1.dc75e8p-4f));
  p = fma(p, f, F(-0x1.fbbf2ep-4f));
  p = fma(p, f, F(0x1.23de4p-3f));
  p = fma(p, f, F(-0x1.556288p-3f));
  p = fma(p, f, F(0x1.999d2ap-3f));
  p = fma(p, f, F(-0x1.ffffe6p-3f));
  p = fma(p, f, F(0x1.555554p-2f));
  p = fma(p, f, F(-0x1p-1f));
  const F low = fma(f * f, p, k * F(0x1.7f7d1cp-20f));
  return fma(k, F(0x1.62e4p-1f), f + low);
}
template <DoubleValues F>
LANNER_FORMULA F log_joined(F k, F f) {
  // log(1 + f) = log((1 + s) / (1 - s)), an odd function of s.
  const F s = f / (F(2.0) + f);
  const F z = s * s;
  F p = fma(F(0x1.2f0386277d979p-3), z, F(0x1.39a1edfae38f2p-3));
  p = fma(p, z, F(0x1.74663cba3bcd5p-3));
  p = fma(p, z, F(0x1.c71c521542383p-3));
  p = fma(p, z, F(0x1.24924941e048bp-2));
  p = fma(p, z, F(0x1.999999997ff27p-2));
  p = fma(p, z, F(0x1.5555555555592p-1));
  const F square_half = (F(0.5) * f) * f;
  const F low = fma(s, fma(p, z, square_half), k * F(0x1.ef35793c7673p-45));
  return fma(k, F(0x1.62e42fefa38p-1), f - (square_half - low));
}

/// For a positive normal x: k + 127 (1023) where x = 2^k m with m in [sqrt(1/2), sqrt(2)). Never negative.
template <SingleValues F>
LANNER_FORMULA Bits<F> biased_exponent(F x) {
  return (to_bits(x) + Bits<F>(0x3F800000 - 0x3F3504F3)) >> 23;
}
template <DoubleValues F>
LANNER_FORMULA Bits<F> biased_exponent(F x) {
  return (to_bits(x) + Bits<F>(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)) >> 52;
}
/// A biased exponent less its bias, as a value.
template <SingleValues F>
LANNER_FORMULA F exponent_value(F, Bits<F> biased) {
  return from_bits(biased | Bits<F>(0x4B000000)) - F(0x1p23f + 127.0f);
}
template <DoubleValues F>
LANNER_FORMULA F exponent_value(F, Bits<F> biased) {
  return from_bits(biased | Bits<F>(0x4330000000000000)) - F(0x1p52 + 1023.0);
}
template <SingleValues F>
LANNER_FORMULA F mantissa(F x, Bits<F> biased) {
  return from_bits(to_bits(x) - ((biased - Bits<F>(127)) << 23));
}
template <DoubleValues F>
LANNER_FORMULA F mantissa(F x, Bits<F> biased) {
  return from_bits(to_bits(x) - ((biased - Bits<F>(1023)) << 52));
}

/// 2^-k in two factors that exist for every k.
template <class F>
struct Factors {
  F first, second;
};
template <SingleValues F>
LANNER_FORMULA Factors<F> scale_down(F, Bits<F> biased) {
  const Bits<F> half = biased >> 1;
  return {from_bits((Bits<F>(190) - half) << 23), from_bits((Bits<F>(191) - (biased - half)) << 23)};
}
template <DoubleValues F>
LANNER_FORMULA Factors<F> scale_down(F, Bits<F> biased) {
  const Bits<F> half = biased >> 1;
  return {from_bits((Bits<F>(1534) - half) << 52), from_bits((Bits<F>(1535) - (biased - half)) << 52)};
}

/// `up`, a power of two that lifts every denormal into the normal range, is 2^steps.
template <class F>
LANNER_FORMULA F log_of(F x, F smallest_normal, F largest, F up, F steps) {
  const auto denormal = x < smallest_normal;
  F y = select(denormal, x * up, x);
  y = select(y > F(0), minimum(y, largest), F(1));  // what has no logarithm is settled below
  const Bits<F> biased = biased_exponent(y);
  const F k = exponent_value(y, biased) - select(denormal, steps, F(0));
  F result = log_joined(k, mantissa(y, biased) - F(1));
  result = select(x > largest, infinity(x), result);
  result = select(x == F(0), -infinity(x), result);
  return select(x >= F(0), result, quiet_nan(x));
}

template <class F>
LANNER_FORMULA F log1p_of(F x, F largest) {
  const F y = select(x > F(-1), minimum(x, largest), F(0));
  const Bits<F> biased = biased_exponent(F(1) + y);
  const Factors<F> down = scale_down(y, biased);
  // (1 + x) 2^-k - 1 with one rounding, where 1 + x would have lost the low bits of x.
  const F f = fma(y * down.first, down.second, fma(down.first, down.second, F(-1)));
  F result = log_joined(exponent_value(y, biased), f);
  result = select(x > largest, infinity(x), result);
  result = select(x == F(-1), -infinity(x), result);
  result = select(x == F(0), x, result);
  return select(x >= F(-1), result, quiet_nan(x));
}

/// |x| = n pi/2 + r: the quarter turn n, and r within +-0.79. pi/2 in three parts; n times the first less |x|
/// is exact.
template <SingleValues F>
struct Turn {
  F r;
  Bits<F> quarter;
};
template <SingleValues F>
LANNER_FORMULA Turn<F> turn(F magnitude) {
  const F x = select(magnitude <= F(trigonometric_limit), magnitude, F(0));
  const Nearest<F> n = nearest(F(0x1.45f306p-1f), x);
  const F first = fma(n.value, F(-0x1.921fb6p0f), x);
  const F second = fma(n.value, F(0x1.777a5cp-25f), first);
  return {fma(n.value, F(0x1.ee59dap-50f), second), n.integer};
}
/// The sine of r where the quarter is even, else its cosine; negated in the third and fourth quarter.
template <SingleValues F>
LANNER_FORMULA F wave(Turn<F> t, Bits<F> quarter) {
  const F square = t.r * t.r;
  F s = fma(F(-0x1.9a8acap-13f), square, F(0x1.110ba4p-7f));
  s = fma(s, square, F(-0x1.555552p-3f));
  const F sine = fma(square * t.r, s, t.r);
  F c = fma(F(0x1.9ba7bap-16f), square, F(-0x1.6c126cp-10f));
  c = fma(c, square, F(0x1.555554p-5f));
  c = fma(c, square, F(-0x1p-1f));
  const F cosine = fma(c, square, F(1.0f));
  const F value = select((quarter & Bits<F>(1)) == Bits<F>(0), sine, cosine);
  return from_bits(to_bits(value) ^ ((quarter & Bits<F>(2)) << 30));
}

}  // namespace elementary

/// Error at most 1.1 ulp.
template <SingleValues F>
LANNER_FORMULA F exp(F x) {
  elementary::Nearest<F> n;
  const F bounded = maximum(minimum(x, F(89.0f)), F(-104.0f));
  const F p = elementary::exp_reduced(elementary::reduced(bounded, n));
  // Two factors, so that neither overflows before the product does and a denormal is rounded once.
  const auto half = n.integer >> 1;
  const F result = p * elementary::power_of_two(x, half) * elementary::power_of_two(x, n.integer - half);
  return select(x == x, result, elementary::quiet_nan(x));
}

/// Error at most 1.1 ulp.
template <DoubleValues F>
LANNER_FORMULA F exp(F x) {
  elementary::Nearest<F> n;
  const F bounded = maximum(minimum(x, F(710.0)), F(-746.0));
  const F p = elementary::exp_reduced(elementary::reduced(bounded, n));
  const auto half = elementary::nearest(F(0.5), n.value).integer;
  const F result = p * elementary::power_of_two(x, half) * elementary::power_of_two(x, n.integer - half);
  return select(x == x, result, elementary::quiet_nan(x));
}

/// exp, the same bits at less work, for -87 <= x <= 88 (others give no meaningful value).
template <SingleValues F>
LANNER_FORMULA F exp_normal(F x) {
  elementary::Nearest<F> n;
  const F p = elementary::exp_reduced(elementary::reduced(x, n));
  return from_bits(to_bits(p) + (n.integer << 23));
}

/// Error at most 1 ulp. log(+-0) = -infinity; negative arguments give NaN.
template <SingleValues F>
LANNER_FORMULA F log(F x) {
  return elementary::log_of(x, F(0x1p-126f), F(0x1.fffffep127f), F(0x1p32f), F(32));
}

/// Error at most 1 ulp. log(+-0) = -infinity; negative arguments give NaN.
template <DoubleValues F>
LANNER_FORMULA F log(F x) {
  return elementary::log_of(x, F(0x1p-1022), F(0x1.fffffffffffffp1023), F(0x1p64), F(64));
}

/// log(1 + x). Error at most 1.5 ulp. log1p(-1) = -infinity; below -1 NaN; log1p(-0) = -0.
template <SingleValues F>
LANNER_FORMULA F log1p(F x) {
  return elementary::log1p_of(x, F(0x1.fffffep127f));
}

/// log(1 + x). Error at most 1.5 ulp. log1p(-1) = -infinity; below -1 NaN; log1p(-0) = -0.
template <DoubleValues F>
LANNER_FORMULA F log1p(F x) {
  return elementary::log1p_of(x, F(0x1.fffffffffffffp1023));
}

/// exp(x) - 1. Error at most 1.5 ulp. expm1(-0) = -0.
template <SingleValues F>
LANNER_FORMULA F expm1(F x) {
  elementary::Nearest<F> n;
  const F bounded = maximum(minimum(x, F(89.0f)), F(-18.0f));
  const F q = elementary::expm1_reduced(elementary::reduced(bounded, n));
  // Half of 2^n is finite where 2^n no longer is; and q itself where n is 0, since half a denormal may not
  // exist.
  const F half = elementary::power_of_two(x, n.integer - elementary::Bits<F>(1));
  const F scaled = fma(q, half, half - F(0.5f));
  F result = select(n.value == F(0), q, scaled + scaled);
  result = select(x == F(0), x, result);
  return select(x == x, result, elementary::quiet_nan(x));
}

/// Error at most 1.5 ulp. Within [-1, 1], odd to the bit.
template <SingleValues F>
LANNER_FORMULA F tanh(F x) {
  const F magnitude = minimum(absolute(x), F(10.0f));
  const F square = magnitude * magnitude;
  F p = fma(F(-0x1.9cb942p-8f), square, F(0x1.5a3d52p-6f));
  p = fma(p, square, F(-0x1.b9613cp-5f));
  p = fma(p, square, F(0x1.110f2p-3f));
  p = fma(p, square, F(-0x1.555554p-2f));
  const F small = fma(square * magnitude, p, magnitude);
  const F large = F(1) - F(2) / (exp_normal(magnitude + magnitude) + F(1));
  const F value = select(magnitude < F(0.6f), small, large);
  const F result = from_bits(to_bits(value) | elementary::sign_bit(x));
  return select(x == x, result, elementary::quiet_nan(x));
}

/// Error at most 1.6 ulp for |x| <= trigonometric_limit; beyond it sin is +-0. Odd to the bit.
template <SingleValues F>
LANNER_FORMULA F sin(F x) {
  const auto t = elementary::turn(absolute(x));
  const F result = from_bits(to_bits(elementary::wave(t, t.quarter)) ^ elementary::sign_bit(x));
  return select(x == x, result, elementary::quiet_nan(x));
}

/// Error at most 1.6 ulp for |x| <= trigonometric_limit; beyond it cos is 1. Even to the bit.
template <SingleValues F>
LANNER_FORMULA F cos(F x) {
  const auto t = elementary::turn(absolute(x));
  const F result = elementary::wave(t, t.quarter + elementary::Bits<F>(1));
  return select(x == x, result, elementary::quiet_nan(x));
}

}  // namespace lanner
