// The primitives that the shared formulas are written in, for one value. kernels/simd/lanes.hpp offers the
// same names for a register of values, so that one formula gives the same bits in every lane of every backend.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define LANNER_HOST_DEVICE __host__ __device__
#else
#define LANNER_HOST_DEVICE
#endif

namespace lanner {

LANNER_HOST_DEVICE inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
LANNER_HOST_DEVICE inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
LANNER_HOST_DEVICE inline float square_root(float x) { return __builtin_sqrtf(x); }
LANNER_HOST_DEVICE inline double square_root(double x) { return __builtin_sqrt(x); }
/// To the nearest integer, ties to even.
LANNER_HOST_DEVICE inline float round_even(float x) { return __builtin_rintf(x); }
LANNER_HOST_DEVICE inline double round_even(double x) { return __builtin_rint(x); }
LANNER_HOST_DEVICE inline float select(bool chosen, float yes, float no) { return chosen ? yes : no; }
LANNER_HOST_DEVICE inline double select(bool chosen, double yes, double no) { return chosen ? yes : no; }
/// The smaller (larger); of two zeros, and where an argument is NaN, the second: as x86's MINPS and MAXPS.
LANNER_HOST_DEVICE inline float minimum(float a, float b) { return a < b ? a : b; }
LANNER_HOST_DEVICE inline float maximum(float a, float b) { return a > b ? a : b; }
LANNER_HOST_DEVICE inline double minimum(double a, double b) { return a < b ? a : b; }
LANNER_HOST_DEVICE inline double maximum(double a, double b) { return a > b ? a : b; }
LANNER_HOST_DEVICE inline float absolute(float x) { return __builtin_fabsf(x); }
LANNER_HOST_DEVICE inline double absolute(double x) { return __builtin_fabs(x); }
LANNER_HOST_DEVICE inline std::int32_t to_bits(float x) { return std::bit_cast<std::int32_t>(x); }
LANNER_HOST_DEVICE inline std::int64_t to_bits(double x) { return std::bit_cast<std::int64_t>(x); }
LANNER_HOST_DEVICE inline float from_bits(std::int32_t x) { return std::bit_cast<float>(x); }
LANNER_HOST_DEVICE inline double from_bits(std::int64_t x) { return std::bit_cast<double>(x); }
/// An integral value within the integer's range, as that integer; and back.
LANNER_HOST_DEVICE inline std::int32_t to_integer(float x) { return static_cast<std::int32_t>(x); }
LANNER_HOST_DEVICE inline std::int64_t to_integer(double x) { return static_cast<std::int64_t>(x); }
LANNER_HOST_DEVICE inline float to_float(std::int32_t x) { return static_cast<float>(x); }
LANNER_HOST_DEVICE inline double to_double(float x) { return static_cast<double>(x); }

}  // namespace lanner
