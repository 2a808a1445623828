#include "kernels/density/kernel_sum_packing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/resident.hpp"

namespace lanner::density::kernel_sum {
namespace {

constexpr std::size_t sampled_rows = 512;

// Rule 1 of the definition. A set of more than `block_rows` rows is split at the feature of largest extent
// (the mean absolute deviation from the mean over every k-th row in order, k = ceil(rows / 512), both float64
// chains; the first feature where several tie): its rows in order of (value, index), half of the blocks it
// will fill, rounded up, go to the first part. Rows of a part stay in index order, so the blocks depend on
// nothing but the rows.
class Blocks {
 public:
  explicit Blocks(const nearest::ReferenceSet& set)
      : set_(set), order(set.distinct()), sorted_(set.distinct()) {
    std::iota(order.begin(), order.end(), 0u);
    split(0, order.size());
  }

 private:
  const nearest::ReferenceSet& set_;

 public:
  std::vector<std::uint32_t> order;  ///< block after block

 private:
  std::vector<std::uint32_t> sorted_;

  float value(std::uint32_t row, std::size_t j) const { return set_.values[row * set_.width + j]; }

  void split(std::size_t begin, std::size_t end) {
    const std::size_t blocks = (end - begin + block_rows - 1) / block_rows;
    if (blocks <= 1) return;
    const std::size_t middle = begin + (blocks + 1) / 2 * block_rows;
    const std::size_t j = widest(begin, end);
    const auto before = [&](std::uint32_t a, std::uint32_t b) {
      const float x = value(a, j), y = value(b, j);
      return x < y || (x == y && a < b);
    };
    const auto at = [](std::vector<std::uint32_t>& v, std::size_t i) {
      return v.begin() + static_cast<std::ptrdiff_t>(i);
    };
    std::copy(at(order, begin), at(order, end), at(sorted_, begin));
    std::nth_element(at(sorted_, begin), at(sorted_, middle), at(sorted_, end), before);
    std::sort(at(sorted_, begin), at(sorted_, middle));
    std::sort(at(sorted_, middle), at(sorted_, end));
    std::copy(at(sorted_, begin), at(sorted_, end), at(order, begin));
    split(begin, middle);
    split(middle, end);
  }

  std::size_t widest(std::size_t begin, std::size_t end) const {
    const std::size_t step = (end - begin + sampled_rows - 1) / sampled_rows;
    std::vector<double> mean(set_.width, 0.0), deviation(set_.width, 0.0);
    double count = 0;
    for (std::size_t i = begin; i < end; i += step) {
      for (std::size_t j = 0; j < set_.width; ++j) mean[j] += static_cast<double>(value(order[i], j));
      count += 1;
    }
    for (double& m : mean) m /= count;
    for (std::size_t i = begin; i < end; i += step)
      for (std::size_t j = 0; j < set_.width; ++j)
        deviation[j] += std::fabs(static_cast<double>(value(order[i], j)) - mean[j]);
    return static_cast<std::size_t>(std::max_element(deviation.begin(), deviation.end()) - deviation.begin());
  }
};

}  // namespace

ResidentTables::ResidentTables(Device& device, const nearest::ReferenceSet& set, double bandwidth) {
  const FloatEnvironment environment;
  const std::size_t n = set.distinct(), width = set.width;
  const Blocks blocks(set);
  tables_.width = width;
  tables_.blocks = (n + block_rows - 1) / block_rows;
  tables_.last_block_rows = n - (tables_.blocks - 1) * block_rows;
  tables_.block_stride = (tables_.blocks + 31) / 32 * 32;
  const double scale = 1 / (2 * bandwidth * bandwidth);
  const auto greatest = static_cast<double>(largest);
  tables_.attraction_scale = std::clamp(scale, 0x1p-126, greatest);
  // A normal number, so that no product with it is 0 times infinity.
  tables_.scale = static_cast<float>(std::clamp(scale / ln2, 0x1p-126, greatest));

  std::vector<float> values(tables_.blocks * block_rows * width), weights(tables_.blocks * block_rows);
  std::vector<float> low(width * tables_.block_stride, largest), high(low.size(), -largest);
  std::vector<std::uint32_t> place(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t row = blocks.order[i];
    place[row] = static_cast<std::uint32_t>(i);
    weights[i] = static_cast<float>(set.weight[row]);
    const std::size_t block = i / block_rows;
    for (std::size_t j = 0; j < width; ++j) {
      const float x = set.values[row * width + j];
      values[(i / panel_rows * width + j) * panel_rows + i % panel_rows] = x;
      float& box_low = low[j * tables_.block_stride + block];
      float& box_high = high[j * tables_.block_stride + block];
      box_low = std::min(box_low, x);
      box_high = std::max(box_high, x);
    }
  }
  values_ = resident_copy(device, values);
  weights_ = resident_copy(device, weights);
  low_ = resident_copy(device, low);
  high_ = resident_copy(device, high);
  place_ = resident_copy(device, place);
  tables_.values = values_.data();
  tables_.weights = weights_.data();
  tables_.low = low_.data();
  tables_.high = high_.data();
  tables_.place = place_.data();
}

}  // namespace lanner::density::kernel_sum
