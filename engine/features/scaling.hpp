// What a column's scale is learned as, in float64.
#pragma once

#include <span>
#include <vector>

#include "engine/features/features.hpp"

namespace lanner::engine {

/// scaled = (value - offset) / divisor
struct Scaling {
  double offset = 0, divisor = 1;
  friend bool operator==(const Scaling&, const Scaling&) = default;
};

/// `values`: at least one, finite, none missing; reordered. standard: mean and population deviation. robust:
/// median and IQR / 1.349 (quantiles interpolated linearly); the population deviation where the IQR is 0 and
/// the column isn't constant. minmax: smallest value and range. A constant column: its value and max(|value|,
/// 1).
Scaling learn_scaling(Scale, std::span<double> values);

double mean_of(std::span<const double> values);
/// Reorders.
double median_of(std::span<double> values);

}  // namespace lanner::engine
