// Runs every operation of kernels/simd/lanes.hpp in one tier, on arrays: instantiated in a file a tier,
// compiled with that tier's flags.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef LANNER_LANES_TIER
#include "kernels/simd/lanes.hpp"
#endif

namespace lanner::test {

/// Results of all operations on a, b, c; each [count], a multiple of 16. Masks are all ones or zero.
template <class T, class Integer>
struct Operations {
  T *sum, *difference, *product, *quotient, *negative, *fused, *root, *rounded, *selected, *least, *greatest,
      *magnitude, *from_bits, *stored;
  Integer *less, *less_equal, *greater, *greater_equal, *equal, *bits, *integer;
  Integer *conjunction, *disjunction, *exclusive, *left, *right;
  std::uint32_t* lane_bits;  ///< of `less`, one word a register
  int lanes;                 ///< set: values a register
};
using FloatOperations = Operations<float, std::int32_t>;
using DoubleOperations = Operations<double, std::int64_t>;

struct Conversions {
  float* to_float;     ///< of integers
  double* as_doubles;  ///< of floats
};

void run_avx2(const float* a, const float* b, const float* c, std::size_t count, FloatOperations&);
void run_avx2(const double* a, const double* b, const double* c, std::size_t count, DoubleOperations&);
void convert_avx2(const float* a, const std::int32_t* i, std::size_t count, const Conversions&);
void run_avx512(const float* a, const float* b, const float* c, std::size_t count, FloatOperations&);
void run_avx512(const double* a, const double* b, const double* c, std::size_t count, DoubleOperations&);
void convert_avx512(const float* a, const std::int32_t* i, std::size_t count, const Conversions&);

#ifdef LANNER_LANES_TIER
template <class Tier, class T, class Integer>
LANNER_INLINE void run_operations(const T* a_, const T* b_, const T* c_, std::size_t count,
                                  Operations<T, Integer>& out) {
  using Values = simd::Lanes<Tier, T>;
  using Mask = typename Values::Mask;
  out.lanes = Values::width;
  for (std::size_t i = 0; i < count; i += Values::width) {
    const Values a = Values::load(a_ + i), b = Values::load(b_ + i), c = Values::load(c_ + i);
    (a + b).store(out.sum + i);
    (a - b).store(out.difference + i);
    (a * b).store(out.product + i);
    (a / b).store(out.quotient + i);
    (-a).store(out.negative + i);
    fma(a, b, c).store(out.fused + i);
    square_root(a).store(out.root + i);
    round_even(a).store(out.rounded + i);
    select(a < b, b, c).store(out.selected + i);
    minimum(a, b).store(out.least + i);
    maximum(a, b).store(out.greatest + i);
    absolute(a).store(out.magnitude + i);
    simd::from_bits(to_bits(a)).store(out.from_bits + i);
    Values(a[0]).store(out.stored + i);
    (a < b).store(out.less + i);
    (a <= b).store(out.less_equal + i);
    (a > b).store(out.greater + i);
    (a >= b).store(out.greater_equal + i);
    (a == b).store(out.equal + i);
    const Mask x = to_bits(a), y = to_bits(b);
    x.store(out.bits + i);
    // Within the integers' range, as the contract asks.
    const Values within = select(absolute(a) < Values(T(1 << 30)), a, Values(T(0)));
    to_integer(round_even(within)).store(out.integer + i);
    (x & y).store(out.conjunction + i);
    (x | y).store(out.disjunction + i);
    (x ^ y).store(out.exclusive + i);
    (x << 5).store(out.left + i);
    (x >> 7).store(out.right + i);
    out.lane_bits[i / Values::width] = lane_bits(a < b);
  }
}

template <class Tier>
LANNER_INLINE void run_conversions(const float* a, const std::int32_t* integers, std::size_t count,
                                   const Conversions& out) {
  using Word = typename simd::Floats<Tier>::Mask;
  for (std::size_t i = 0; i < count; i += Word::width)
    to_float(Word::load(integers + i)).store(out.to_float + i);
  for (std::size_t i = 0; i < count; i += simd::Doubles<Tier>::width)
    simd::load_as_doubles<Tier>(a + i).store(out.as_doubles + i);
}
#endif

}  // namespace lanner::test
