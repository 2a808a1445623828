// Arguments at which arithmetic goes wrong, if it does.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::test {

// Bit patterns on and around the places where something changes: powers of two, limits, zeros, infinities,
// NaNs.
inline std::vector<float> awkward_floats() {
  std::vector<float> values;
  const auto around = [&](float x) {
    for (std::int32_t step = -3; step <= 3; ++step)
      for (std::uint32_t sign : {0u, 0x80000000u})
        values.push_back(std::bit_cast<float>(
            (std::bit_cast<std::uint32_t>(x) + static_cast<std::uint32_t>(step)) ^ sign));
  };
  for (int exponent = -149; exponent <= 127; ++exponent) around(std::ldexp(1.0f, exponent));
  for (float x : {0.0f,        INFINITY,    std::numeric_limits<float>::max(),
                  88.72284f,   103.97208f,  104.0f,
                  89.0f,       87.33655f,   0.34657359f,
                  1.03972077f, 0.70710678f, 1.41421356f,
                  0.41421356f, 0.29289322f, 0.6f,
                  9.01f,       10.0f,       17.33f,
                  18.0f,       0.78539816f, trigonometric_limit})
    around(x);
  for (int n = 1; n < 2000; ++n) around(static_cast<float>(n * 1.57079632679489661923));
  return values;
}

inline std::vector<double> awkward_doubles() {
  std::vector<double> values;
  const auto around = [&](double x) {
    for (std::int64_t step = -3; step <= 3; ++step)
      for (std::uint64_t sign : {std::uint64_t{0}, std::uint64_t{1} << 63})
        values.push_back(std::bit_cast<double>(
            (std::bit_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(step)) ^ sign));
  };
  for (int exponent = -1074; exponent <= 1023; ++exponent) around(std::ldexp(1.0, exponent));
  for (double x : {0.0, double(INFINITY), std::numeric_limits<double>::max(), 709.782712893384, 710.0,
                   745.13321910194122, 746.0, 708.39641853226408, 0.34657359027997264, 0.70710678118654757,
                   1.4142135623730951, 0.41421356237309515, 0.29289321881345254})
    around(x);
  return values;
}

inline std::vector<double> random_doubles(std::size_t count) {
  std::mt19937_64 random(7);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(std::bit_cast<double>(random()));  // any bits at all
    values.push_back(
        std::uniform_real_distribution<double>(-750, 750)(random));  // where exp is neither 0 nor infinite
    values.push_back(std::uniform_real_distribution<double>(-1, 3)(random));  // where logarithms are small
  }
  return values;
}

}  // namespace lanner::test
