// The screen in bytes, for data in which boxes exclude little: each row a vector of signed bytes, multiplied
// exactly. What docs/bounds/nearest.md proves in its section on codes, as code. Internal.
//
// In scaled units (screen.hpp), with one centre c and one step s for the whole set,
//   scale r - c = s b + error,   |b_j| <= 127,      scale q - c = s 2^e a + error,
// and by the triangle inequality, with D = |2^e a - b|^2, an integer,
//   (s sqrt(D) - error_q - error_r)^2 <= S <= (s sqrt(D) + error_q + error_r)^2.
// The exponent e is each query's own: one beyond the set's values has coarser codes, not none.
//
// A tile sums, in 32 bits and exactly,  P = sum u_j b_j + start(r),  u_j = a_j + offset not negative,
// start(r) = -offset sum b_j - floor(|b|^2 / 2^(e+1)), so that D = 4^e |a|^2 - 2^(e+1) P + (less than
// 2^(e+1)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/nearest/screen.hpp"

namespace lanner::nearest {

struct ReferenceSet;

inline constexpr std::size_t code_features = 4;      ///< that one instruction multiplies and adds
inline constexpr std::size_t code_width_max = 4096;  ///< for larger ones 32 bits might not do
inline constexpr std::size_t code_padding = 64;      ///< a query's codes are padded to so many bytes
inline constexpr int reference_code_max = 127;
inline constexpr int code_exponent_max = 24;               ///< beyond it a query's codes are cut off
inline constexpr std::int32_t padding_start = -(1 << 30);  ///< of rows that are not there

/// Part of an index, plain pointers.
struct CodeView {
  const std::int8_t* codes = nullptr;    ///< [panel, width / 4, panel_width, 4]; none: the index has no codes
  const std::int32_t* square = nullptr;  ///< [positions]: |b|^2
  const std::int32_t* start = nullptr;   ///< [positions]: -offset sum b_j; padding_start in padding
  const float* error = nullptr;          ///< [positions]: |scale r - c - s b|
  const float* cell_error = nullptr;     ///< [cells]: the largest of its rows'
  const float* centre = nullptr;         ///< [width padded to centre_padding]
  float step = 0;
  std::size_t groups = 0;  ///< ceil(width / code_features)
  std::size_t stride = 0;  ///< of a query's codes, bytes
};

/// What a tier's instruction takes of a query's codes. AVX2 adds two products in 16 bits, which holds codes
/// of 7 bits alone; AVX-512's VNNI adds four in 32.
struct CodeRange {
  int offset;        ///< codes are [-offset, offset)
  int exponent_min;  ///< so that a query's codes reach about as far as a reference's
};
inline constexpr CodeRange code_range_avx2{64, 1}, code_range_avx512{128, 0};
constexpr CodeRange code_range(CpuTier tier) {
  return tier == CpuTier::avx512 ? code_range_avx512 : code_range_avx2;
}

/// What a query is to the screen.
struct CodedQuery {
  double error;   ///< of its codes, scaled units
  double square;  ///< 4^e |a|^2
  std::int32_t exponent;
};

/// A bound of |x - s b| for the computed one: a sum in float64 of squares of differences, and those of values
/// that codes of that step reach, or fall short of by about as much as is computed.
LANNER_SCREEN double code_error(double computed, double step) {
  return computed * (1 + 0x1p-20) + step * 0x1p-30;
}

/// Rows with P below it have S > limit. root: that of the limit; error: the query's and the cell's.
LANNER_SCREEN std::int32_t code_threshold(double root, double error, double square, double inverse_step,
                                          double inverse_factor) {
  const double far = (root + error) * inverse_step * (1 + 0x1p-40);
  const double least = (square - far * far - (square + far * far) * 0x1p-40) * inverse_factor;
  const double inside = least < 0x1p30 ? least : 0x1p30;
  return static_cast<std::int32_t>(inside > -0x1p30 + 2 ? inside : -0x1p30 + 2) - 1;
}

/// Bounds of S from a row's P. factor: 2^(e+1).
LANNER_SCREEN float code_lower(double square, double factor, double product, double error, double step) {
  const double slack = (square + factor * __builtin_fabs(product)) * 0x1p-50;
  const double least = square - factor * product - slack;
  const double near = __builtin_sqrt(least > 0 ? least : 0) * step * (1 - 0x1p-40) - error;
  const double below = near * near * (1 - 0x1p-20) - 0x1p-100;
  return near > 0 && below > 0 ? static_cast<float>(below) : 0.0f;
}
LANNER_SCREEN float code_upper(double square, double factor, double product, double error, double step) {
  const double slack = (square + factor * __builtin_fabs(product)) * 0x1p-50;
  const double most = square - factor * product + factor + slack;
  const double far = __builtin_sqrt(most > 0 ? most : 0) * step * (1 + 0x1p-40) + error;
  return static_cast<float>(far * far * (1 + 0x1p-20) + 0x1p-100);
}

/// How the codes of a set are cut, on a host.
struct CodeGrid {
  std::vector<float> centre;  ///< the middle of each feature's values
  float step = 1;
};
CodeGrid code_grid(const ReferenceSet&, float scale);

/// Writes a row's codes; returns a bound of its error.
double encode(const CodeGrid&, float scale, const float* row, std::int8_t* codes);

/// How many rows lie within the codes' errors of the k-th neighbour, for some of the rows as queries, on
/// average; infinite where rows are too wide or too narrow for codes.
double left_over_by_codes(const ReferenceSet&, std::size_t k);

/// Whether it costs less to screen in codes, where a query would read so many rows, and so many would be left
/// over.
bool codes_pay(CpuTier, std::size_t width, double rows_read, double left_over);

/// Whether this processor multiplies bytes as the tier's tiles do.
bool has_code_products(CpuTier);

}  // namespace lanner::nearest
