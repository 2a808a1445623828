#include "kernels/nearest/codes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/nearest/cells.hpp"

namespace lanner::nearest {

namespace {

/// The value that most rows have, as a sample of them says; of several, the least.
float most_common(const ReferenceSet& set, std::size_t feature, std::vector<float>& sample) {
  constexpr std::size_t asked = 1024;
  const std::size_t n = set.distinct(), count = std::min(asked, n);
  sample.clear();
  for (std::size_t i = 0; i < count; ++i) sample.push_back(set.values[i * n / count * set.width + feature]);
  std::sort(sample.begin(), sample.end());
  float found = sample.front();
  std::size_t most = 0;
  for (std::size_t begin = 0, end; begin < count; begin = end) {
    for (end = begin; end < count && sample[end] == sample[begin];) ++end;
    if (end - begin > most) most = end - begin, found = sample[begin];
  }
  return found;
}

}  // namespace

CodeGrid code_grid(const ReferenceSet& set, float scale) {
  CodeGrid grid;
  double widest = 0;
  for (std::size_t j = 0; j < set.width; ++j) {
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (std::size_t i = j; i < set.values.size(); i += set.width) {
      low = std::min(low, set.values[i]);
      high = std::max(high, set.values[i]);
    }
    grid.centre.push_back(scale * (low / 2 + high / 2));
    const double centre = static_cast<double>(grid.centre.back());
    widest = std::max({widest, static_cast<double>(scale) * static_cast<double>(high) - centre,
                       centre - static_cast<double>(scale) * static_cast<double>(low)});
  }
  // Half a code is left for what follows.
  grid.step = std::max(1.0f, float_above(widest / (reference_code_max - 0.5)));
  // A value that many rows share has a code of its own, so that it adds nothing to their errors.
  const auto step = static_cast<double>(grid.step);
  std::vector<float> sample;
  for (std::size_t j = 0; j < set.width; ++j) {
    const double common = static_cast<double>(scale) * static_cast<double>(most_common(set, j, sample));
    const double codes = std::nearbyint((static_cast<double>(grid.centre[j]) - common) / step);
    grid.centre[j] = static_cast<float>(common + codes * step);
  }
  return grid;
}

double encode(const CodeGrid& grid, float scale, const float* row, std::int8_t* codes) {
  const double step = static_cast<double>(grid.step);
  double squared = 0;
  for (std::size_t j = 0; j < grid.centre.size(); ++j) {
    const double value =
        static_cast<double>(scale) * static_cast<double>(row[j]) - static_cast<double>(grid.centre[j]);
    const double code =
        std::clamp(std::nearbyint(value / step), -1.0 * reference_code_max, 1.0 * reference_code_max);
    codes[j] = static_cast<std::int8_t>(code);
    squared += (value - code * step) * (value - code * step);
  }
  return code_error(std::sqrt(squared), step);
}

double left_over_by_codes(const ReferenceSet& set, std::size_t k) {
  if (set.width < 2 * code_features || set.width > code_width_max)
    return std::numeric_limits<double>::infinity();
  constexpr std::size_t asked = 16;
  const float scale = scale_for(set);
  const CodeGrid grid = code_grid(set, scale);
  const std::size_t n = set.distinct(), queries = std::min(asked, n);
  std::vector<std::int8_t> codes(set.width);
  std::vector<double> distance(n), sorted;
  double left_over = 0;
  for (std::size_t i = 0; i < queries; ++i) {
    const float* query = set.values.data() + i * n / queries * set.width;
    for (std::size_t r = 0; r < n; ++r) {
      const float* row = set.values.data() + r * set.width;
      float sum = 0;  // an estimate
      for (std::size_t j = 0; j < set.width; ++j)
        sum += scale * (row[j] - query[j]) * (scale * (row[j] - query[j]));
      distance[r] = std::sqrt(static_cast<double>(sum));
    }
    sorted = distance;
    const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(k, n - 1));
    std::nth_element(sorted.begin(), last, sorted.end());
    const double within = *last + 2 * encode(grid, scale, query, codes.data());
    left_over += static_cast<double>(
        std::count_if(distance.begin(), distance.end(), [&](double d) { return d <= within; }));
  }
  return left_over / static_cast<double>(queries);
}

bool codes_pay(CpuTier tier, std::size_t width, double rows_read, double left_over) {
  const auto features = static_cast<double>(width);
  const bool wide = tier == CpuTier::avx512;
  // Cycles, as measured: a row in a tile of floats less one in a tile of codes, for one query; a row that is
  // left over. Most of these are told apart by their codes, so that few are measured. A fifth is taken off
  // for smaller batches: what they read serves fewer queries, and codes are a quarter of it.
  const double saved = features * (wide ? 1.0 / 32 - 1.0 / 112 : 1.0 / 16 - 1.0 / 24);
  const double kept = wide ? 45 + 0.02 * features : 130 + 0.1 * features;
  // More are left over than lie within the limit, which is not known from the first row on.
  constexpr double until_the_limit = 3, of_the_first_cell = 60;
  return (until_the_limit * left_over + of_the_first_cell) * kept < rows_read * saved;
}

bool has_code_products(CpuTier tier) {
#if defined(LANNER_AVX512_LOWERED)
  return tier != CpuTier::scalar;
#else
  return tier == CpuTier::avx2 || (tier == CpuTier::avx512 && __builtin_cpu_supports("avx512vnni"));
#endif
}

}  // namespace lanner::nearest
