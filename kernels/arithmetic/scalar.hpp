// The primitives that the shared formulas are written in, for one value. kernels/simd/lanes.hpp offers the
// same names for a register of values, so that one formula gives the same bits in every lane of every
// backend.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// Always inlined: a translation unit compiled for a wider instruction set must not leave a copy behind that
// the linker could hand to code for lesser machines.
#if defined(__CUDACC__)
#define LANNER_FORMULA __host__ __device__ __forceinline__
#else
#define LANNER_FORMULA [[gnu::always_inline]] inline
#endif

namespace lanner {

// On a GPU the same operations by their rounding: the intrinsics name it, whatever the flags.
#if defined(__CUDA_ARCH__)
LANNER_FORMULA float fma(float a, float b, float c) {
  return __fmaf_rn(a, b, c);
}
LANNER_FORMULA double fma(double a, double b, double c) {
  return __fma_rn(a, b, c);
}
LANNER_FORMULA float square_root(float x) {
  return __fsqrt_rn(x);
}
LANNER_FORMULA double square_root(double x) {
  return __dsqrt_rn(x);
}
/// To the nearest integer, ties to even.
LANNER_FORMULA float round_even(float x) {
  return ::rintf(x);
}
LANNER_FORMULA double round_even(double x) {
  return ::rint(x);
}
LANNER_FORMULA float absolute(float x) {
  return ::fabsf(x);
}
LANNER_FORMULA double absolute(double x) {
  return ::fabs(x);
}
LANNER_FORMULA std::int32_t to_bits(float x) {
  return __float_as_int(x);
}
LANNER_FORMULA std::int64_t to_bits(double x) {
  return __double_as_longlong(x);
}
LANNER_FORMULA float from_bits(std::int32_t x) {
  return __int_as_float(x);
}
LANNER_FORMULA double from_bits(std::int64_t x) {
  return __longlong_as_double(x);
}
#else
LANNER_FORMULA float fma(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
LANNER_FORMULA double fma(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
LANNER_FORMULA float square_root(float x) {
  return __builtin_sqrtf(x);
}
LANNER_FORMULA double square_root(double x) {
  return __builtin_sqrt(x);
}
/// To the nearest integer, ties to even.
LANNER_FORMULA float round_even(float x) {
  return __builtin_rintf(x);
}
LANNER_FORMULA double round_even(double x) {
  return __builtin_rint(x);
}
LANNER_FORMULA float absolute(float x) {
  return __builtin_fabsf(x);
}
LANNER_FORMULA double absolute(double x) {
  return __builtin_fabs(x);
}
LANNER_FORMULA std::int32_t to_bits(float x) {
  return std::bit_cast<std::int32_t>(x);
}
LANNER_FORMULA std::int64_t to_bits(double x) {
  return std::bit_cast<std::int64_t>(x);
}
LANNER_FORMULA float from_bits(std::int32_t x) {
  return std::bit_cast<float>(x);
}
LANNER_FORMULA double from_bits(std::int64_t x) {
  return std::bit_cast<double>(x);
}
#endif
LANNER_FORMULA float select(bool chosen, float yes, float no) {
  return chosen ? yes : no;
}
LANNER_FORMULA double select(bool chosen, double yes, double no) {
  return chosen ? yes : no;
}
/// The smaller (larger); of two zeros, and where an argument is NaN, the second: as x86's MINPS and MAXPS.
LANNER_FORMULA float minimum(float a, float b) {
  return a < b ? a : b;
}
LANNER_FORMULA float maximum(float a, float b) {
  return a > b ? a : b;
}
LANNER_FORMULA double minimum(double a, double b) {
  return a < b ? a : b;
}
LANNER_FORMULA double maximum(double a, double b) {
  return a > b ? a : b;
}
/// An integral value within the integer's range, as that integer; and back.
LANNER_FORMULA std::int32_t to_integer(float x) {
  return static_cast<std::int32_t>(x);
}
LANNER_FORMULA std::int64_t to_integer(double x) {
  return static_cast<std::int64_t>(x);
}
LANNER_FORMULA float to_float(std::int32_t x) {
  return static_cast<float>(x);
}
LANNER_FORMULA double to_double(float x) {
  return static_cast<double>(x);
}

}  // namespace lanner
