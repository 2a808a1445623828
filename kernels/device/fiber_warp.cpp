#include "kernels/device/fiber_warp.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace lanner::simt {
namespace {

constexpr unsigned rows = 16, columns = 8, depth = 16;
using Left = std::array<std::array<float, depth>, rows>;
using Right = std::array<std::array<float, columns>, depth>;

float bf16(unsigned pair, unsigned which) {
  return std::bit_cast<float>(which ? pair & 0xFFFF0000u : pair << 16);
}

void unpack(const MatrixProduct& product, Left& left, Right& right) {
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    const unsigned group = lane / 4, k = lane % 4 * 2;
    for (unsigned i = 0; i < 4; ++i)
      for (unsigned which = 0; which < 2; ++which)
        left[group + i % 2 * 8][k + i / 2 * 8 + which] = bf16(product.a[lane][i], which);
    for (unsigned i = 0; i < 2; ++i)
      for (unsigned which = 0; which < 2; ++which)
        right[k + i * 8 + which][group] = bf16(product.b[lane][i], which);
  }
}

float& output(MatrixProduct& product, unsigned row, unsigned column) {
  return product.d[row % 8 * 4 + column / 2][row / 8 * 2 + column % 2];
}

int exponent(double x) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7FF) - 1023;
}
double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}
constexpr int float_bits = std::numeric_limits<float>::digits;  // 24
constexpr int smallest =
    std::numeric_limits<float>::min_exponent - float_bits;  // of a float32 denormal, 2^-149

// |x| < 2^24 * 2^unit.
double truncated_to(double x, int unit) {
  return static_cast<double>(static_cast<std::int64_t>(x * power_of_two(-unit))) * power_of_two(unit);
}
float truncated_to_float(double x) {
  const float nearest = static_cast<float>(x);
  if (std::isinf(nearest) || std::fabs(static_cast<double>(nearest)) <= std::fabs(x)) return nearest;
  return std::nextafter(nearest, 0.0f);
}

}  // namespace

void MatrixProduct::in_order() {
  Left left;
  Right right;
  unpack(*this, left, right);
  for (unsigned row = 0; row < rows; ++row) {
    std::array<float, columns> sums;
    for (unsigned column = 0; column < columns; ++column) sums[column] = output(*this, row, column);
    for (unsigned k = 0; k < depth; ++k)
      for (unsigned column = 0; column < columns; ++column) sums[column] += left[row][k] * right[k][column];
    for (unsigned column = 0; column < columns; ++column) output(*this, row, column) = sums[column];
  }
}

void MatrixProduct::truncating(Random& random) {
  Left left;
  Right right;
  unpack(*this, left, right);
  std::array<unsigned, depth + 1> order;
  std::iota(order.begin(), order.end(), 0u);
  for (unsigned i = 0; i < depth; ++i) std::swap(order[i], order[i + random.below(depth + 1 - i)]);
  constexpr std::array<unsigned, 4> groups{1, 4, 8, 16};
  const unsigned group = groups[random.below(groups.size())];
  for (unsigned row = 0; row < rows; ++row)
    for (unsigned column = 0; column < columns; ++column) {
      std::array<double, depth + 1> terms;
      for (unsigned i = 0; i <= depth; ++i) {
        const unsigned k = order[i];
        terms[i] = k == depth ? double{output(*this, row, column)} : double{left[row][k]} * right[k][column];
      }
      double sum = truncated_to_float(terms[0]);
      for (unsigned begin = 1; begin <= depth; begin += group) {
        int largest = exponent(sum);
        for (unsigned i = begin; i < begin + group; ++i) largest = std::max(largest, exponent(terms[i]));
        if (largest > std::numeric_limits<float>::max_exponent) {  // infinite, NaN, or about to overflow
          for (unsigned i = begin; i < begin + group; ++i) sum += terms[i];
          sum = static_cast<float>(sum);
          continue;
        }
        const int unit = std::max(largest - (float_bits - 1), smallest);
        double added = truncated_to(sum, unit);
        for (unsigned i = begin; i < begin + group; ++i) added += truncated_to(terms[i], unit);
        sum = truncated_to_float(added);
      }
      output(*this, row, column) = static_cast<float>(sum);
    }
}

Meeting& Warp::meeting(unsigned mask) {
  for (const auto& meeting : meetings)
    if (meeting->mask == mask) return *meeting;
  for (const auto& meeting : meetings)
    if (meeting->idle()) {
      meeting->mask = mask;
      return *meeting;
    }
  meetings.push_back(std::make_unique<Meeting>());
  meetings.back()->mask = mask;
  return *meetings.back();
}

const char* name(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::sync:
      return "__syncwarp";
    case WarpOperation::shuffle:
      return "__shfl_sync";
    case WarpOperation::shuffle_up:
      return "__shfl_up_sync";
    case WarpOperation::shuffle_down:
      return "__shfl_down_sync";
    case WarpOperation::shuffle_xor:
      return "__shfl_xor_sync";
    case WarpOperation::ballot:
      return "__ballot_sync";
    case WarpOperation::mma:
      return "mma.sync";
  }
  return "?";
}

}  // namespace lanner::simt
