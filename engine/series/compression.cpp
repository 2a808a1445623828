#include "engine/series/compression.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <vector>

#include "engine/series/left_neighbours.hpp"
#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

double standard_deviation(std::span<const double> values) {
  const double n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return square_root(squares / n);
}

}  // namespace

double inverse_hyperbolic_sine(double x) {
  const double magnitude = absolute(x);
  // Beyond this, 1 adds nothing to the square, which itself may be more than a double holds.
  constexpr double large = 0x1p28, ln2 = 0x1.62e42fefa39efp-1;
  const double square = magnitude * magnitude;
  const double result = magnitude > large ? lanner::log(magnitude) + ln2
                                          : lanner::log1p(magnitude + square / (1 + square_root(1 + square)));
  return x < 0 ? -result : result;
}

Compression Compression::learn(std::span<const double> values) {
  assert(!values.empty());
  Compression result;
  std::vector<double> copy(values.begin(), values.end());
  result.centre_ = median(copy);
  for (double& value : copy) value = absolute(value - result.centre_);
  result.spread_ = 1.4826 * median(std::move(copy));
  if (!(result.spread_ > 0)) result.spread_ = standard_deviation(values);
  if (!(result.spread_ > 0)) result.spread_ = 1;
  return result;
}

double Compression::operator()(double value) const {
  const double quotient = (value - centre_) / (2 * spread_);
  const double most = std::numeric_limits<double>::max();
  return inverse_hyperbolic_sine(std::clamp(quotient, -most, most));
}

void Compression::save(SnapshotWriter& writer) const {
  writer.number(centre_);
  writer.number(spread_);
}

void Compression::load(SnapshotReader& reader) {
  centre_ = reader.number(-value_most, value_most);
  spread_ = reader.number(std::numeric_limits<double>::denorm_min(), 4 * value_most);
}

}  // namespace lanner::engine
