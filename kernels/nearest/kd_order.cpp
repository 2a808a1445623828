#include "kernels/nearest/kd_order.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/nearest/screen.hpp"

namespace lanner::nearest {

void check_reference(const ReferenceSet& set) {
  const std::size_t n = set.distinct();
  if (n == 0 || set.width == 0)
    throw std::invalid_argument("nearest: an index needs at least one reference row");
  if (set.width > screen_width_max)
    throw std::invalid_argument("nearest: rows of " + std::to_string(set.width) +
                                " features, allowed: up to " + std::to_string(screen_width_max));
  if (set.values.size() != n * set.width || set.member_begin.size() != n + 1 || set.member_begin[0] != 0 ||
      set.member_begin[n] != set.members.size())
    throw std::invalid_argument("nearest: the reference set's parts do not fit together");
  for (std::size_t i = 0; i < n; ++i)
    if (set.weight[i] == 0 || set.member_begin[i] > set.member_begin[i + 1] ||
        set.weight[i] != set.member_begin[i + 1] - set.member_begin[i])
      throw std::invalid_argument("nearest: a row's weight is not the number of its members");
  for (float value : set.values)
    if (!std::isfinite(value)) throw std::invalid_argument("nearest: reference values must be finite");
}

float scale_for(const ReferenceSet& set) {
  float largest = 0;
  for (float value : set.values) largest = std::max(largest, std::fabs(value));
  if (largest == 0) return 1;
  return std::ldexp(1.0f, std::min(126, scaled_exponent - std::ilogb(largest)));
}

KdOrder::KdOrder(const ReferenceSet& set, std::size_t granule)
    : order(set.distinct()), set_(set), granule_(granule) {
  std::iota(order.begin(), order.end(), 0u);
  divide(0, order.size());
}

void KdOrder::divide(std::size_t begin, std::size_t end) {
  if (end - begin <= cell_rows_max) {
    begins.push_back(begin);
    return;
  }
  const std::size_t j = widest(begin, end);
  const std::size_t half = (end - begin) / 2, middle = begin + (half + granule_ - 1) / granule_ * granule_;
  std::nth_element(order.begin() + begin, order.begin() + middle, order.begin() + end,
                   [&](std::uint32_t a, std::uint32_t b) { return value(a, j) < value(b, j); });
  divide(begin, middle);
  divide(middle, end);
}

// By a sample: the choice only decides how fast the search is.
std::size_t KdOrder::widest(std::size_t begin, std::size_t end) const {
  const std::size_t step = std::max<std::size_t>(1, (end - begin) / 500);
  std::vector<double> mean(set_.width, 0), square(set_.width, 0);
  double count = 0;
  for (std::size_t i = begin; i < end; i += step) {
    ++count;
    for (std::size_t j = 0; j < set_.width; ++j) {
      const double x = value(order[i], j), d = x - mean[j];
      mean[j] += d / count;
      square[j] += d * (x - mean[j]);
    }
  }
  return static_cast<std::size_t>(std::max_element(square.begin(), square.end()) - square.begin());
}

}  // namespace lanner::nearest
