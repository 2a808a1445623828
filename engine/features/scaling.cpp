#include "engine/features/scaling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lanner::engine {
namespace {

/// A power of two that brings the values near 1 where their squares or sums could overflow or vanish.
double unit_of(std::span<const double> values) {
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::fabs(v));
  if (largest == 0 || (largest > 0x1p-400 && largest < 0x1p400)) return 1;
  return std::ldexp(1.0, std::ilogb(largest));
}

double sum_of(std::span<const double> values, double unit) {
  double sum = 0;
  for (const double v : values) sum += v / unit;
  return sum;
}

double deviation_of(std::span<const double> values, double mean) {
  const double unit = unit_of(values);
  double squares = 0;
  for (const double v : values) {
    const double difference = v / unit - mean / unit;
    squares += difference * difference;
  }
  return std::sqrt(squares / static_cast<double>(values.size())) * unit;
}

double quantile_of(std::span<double> values, double share) {
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const double part = place - static_cast<double>(below);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(below), values.end());
  const double low = values[below];
  if (part == 0) return low;
  const double high =
      *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(below) + 1, values.end());
  return low * (1 - part) + high * part;
}

}  // namespace

double mean_of(std::span<const double> values) {
  const double unit = unit_of(values), count = static_cast<double>(values.size());
  const double rough = sum_of(values, unit) / count;
  // A second pass takes the first one's rounding out.
  double rest = 0;
  for (const double v : values) rest += v / unit - rough;
  return (rough + rest / count) * unit;
}

double median_of(std::span<double> values) {
  return quantile_of(values, 0.5);
}

Scaling learn_scaling(Scale scale, std::span<double> values) {
  if (scale == Scale::none) return {};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double smallest = *low, largest = *high;
  if (smallest == largest) return {smallest, std::max(std::fabs(smallest), 1.0)};

  Scaling result{smallest, largest - smallest};
  if (scale == Scale::standard) {
    result.offset = mean_of(values);
    result.divisor = deviation_of(values, result.offset);
  } else if (scale == Scale::robust) {
    result.offset = median_of(values);
    result.divisor = (quantile_of(values, 0.75) - quantile_of(values, 0.25)) / 1.349;
    if (result.divisor == 0) result.divisor = deviation_of(values, mean_of(values));
  }
  // Values a whole float64 range apart, or closer than it resolves.
  if (std::isinf(result.divisor)) result.divisor = std::numeric_limits<double>::max();
  if (result.divisor == 0) result.divisor = std::max(std::fabs(result.offset), 1.0);
  return result;
}

}  // namespace lanner::engine
