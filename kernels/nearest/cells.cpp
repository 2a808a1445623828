#include "kernels/nearest/cells.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/nearest/clusters.hpp"
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

namespace {

constexpr std::size_t clusters_max = 64;
constexpr std::size_t cluster_rows_min = 256;
/// A row is a stray where its squared distance from the cell's mean is so many times the median one.
constexpr double stray_factor = 8;

class Cutting {
 public:
  Cutting(const ReferenceSet& set, std::size_t granule) : set_(set), granule_(granule) {
    cells_.order.resize(set.distinct());
    std::iota(cells_.order.begin(), cells_.order.end(), 0u);
  }

  Cells halved() && {
    halve(0, cells_.order.size());
    return std::move(cells_);
  }

  /// The rows of `cells` in those same cells, but for strays.
  Cells without_strays(const Cells& cells) && {
    cells_ = cells;
    gather_strays();
    return std::move(cells_);
  }

  Cells clusters_halved(std::size_t clusters) && {
    const std::vector<std::uint32_t> cluster = clusters_of(set_, clusters);
    std::stable_sort(cells_.order.begin(), cells_.order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return cluster[a] < cluster[b]; });
    const std::vector<std::uint32_t>& order = cells_.order;
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      while (end < order.size() && cluster[order[end]] == cluster[order[begin]]) ++end;
      halve(begin, end);
    }
    gather_strays();
    return std::move(cells_);
  }

 private:
  double value(std::uint32_t row, std::size_t j) const {
    return static_cast<double>(set_.values[row * set_.width + j]);
  }

  void halve(std::size_t begin, std::size_t end, bool grouped = false) {
    if (!grouped && end - begin <= group_rows_max) {
      cells_.groups.push_back(cells_.count());
      grouped = true;
    }
    if (end - begin <= cell_rows_max) {
      cells_.begins.push_back(begin);
      return;
    }
    const std::size_t j = widest(begin, end);
    const std::size_t half = (end - begin) / 2;
    const std::size_t middle = begin + (half + granule_ - 1) / granule_ * granule_;
    const auto at = [&](std::size_t i) { return cells_.order.begin() + static_cast<std::ptrdiff_t>(i); };
    std::nth_element(at(begin), at(middle), at(end),
                     [&](std::uint32_t a, std::uint32_t b) { return value(a, j) < value(b, j); });
    halve(begin, middle, grouped);
    halve(middle, end, grouped);
  }

  // By a sample: the choice only decides how fast the search is.
  std::size_t widest(std::size_t begin, std::size_t end) const {
    const std::size_t step = std::max<std::size_t>(1, (end - begin) / 500);
    std::vector<double> mean(set_.width, 0), square(set_.width, 0);
    double count = 0;
    for (std::size_t i = begin; i < end; i += step) {
      ++count;
      for (std::size_t j = 0; j < set_.width; ++j) {
        const double x = value(cells_.order[i], j), d = x - mean[j];
        mean[j] += d / count;
        square[j] += d * (x - mean[j]);
      }
    }
    return static_cast<std::size_t>(std::max_element(square.begin(), square.end()) - square.begin());
  }

  void gather_strays() {
    Cells kept;
    kept.groups = cells_.groups;
    std::vector<std::uint32_t> strays;
    std::vector<double> mean(set_.width), distance, sorted;
    for (std::size_t cell = 0; cell < cells_.count(); ++cell) {
      const std::span<const std::uint32_t> rows = cells_.rows(cell);
      std::fill(mean.begin(), mean.end(), 0.0);
      for (std::uint32_t row : rows)
        for (std::size_t j = 0; j < set_.width; ++j) mean[j] += value(row, j);
      for (double& m : mean) m /= static_cast<double>(rows.size());
      distance.clear();
      for (std::uint32_t row : rows) {
        double sum = 0;
        for (std::size_t j = 0; j < set_.width; ++j)
          sum += (value(row, j) - mean[j]) * (value(row, j) - mean[j]);
        distance.push_back(sum);
      }
      sorted = distance;
      const auto median = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
      std::nth_element(sorted.begin(), median, sorted.end());
      kept.begins.push_back(kept.order.size());
      for (std::size_t i = 0; i < rows.size(); ++i)
        (distance[i] <= stray_factor * *median ? kept.order : strays).push_back(rows[i]);
    }
    cells_ = std::move(kept);
    if (strays.empty()) return;
    const std::size_t begin = cells_.order.size();
    cells_.order.insert(cells_.order.end(), strays.begin(), strays.end());
    halve(begin, cells_.order.size());
  }

  const ReferenceSet& set_;
  std::size_t granule_;
  Cells cells_;
};

// What a query of average luck costs, in rows: of some of the rows themselves, those of the cells that the
// tenth neighbour in the first cell doesn't exclude, and the boxes.
double rows_read(const ReferenceSet& set, const Cells& cells) {
  constexpr std::size_t asked = 64, neighbours = 10;
  constexpr double rows_a_box = 2.5;
  const std::size_t width = set.width, queries = std::min(asked, set.distinct());
  const auto row = [&](std::size_t i) { return set.values.data() + i * width; };
  const auto query = [&](std::size_t i) { return row(i * set.distinct() / queries); };
  std::vector<double> bound(queries * cells.count());
  std::vector<double> nearest(queries, std::numeric_limits<double>::infinity());
  std::vector<std::size_t> home(queries, 0);
  std::vector<float> low(width), high(width);
  std::vector<double> mean(width);
  for (std::size_t cell = 0; cell < cells.count(); ++cell) {
    const auto rows = cells.rows(cell);
    std::fill(mean.begin(), mean.end(), 0.0);
    std::fill(low.begin(), low.end(), std::numeric_limits<float>::infinity());
    std::fill(high.begin(), high.end(), -std::numeric_limits<float>::infinity());
    double spread = 0;
    for (std::uint32_t r : rows)
      for (std::size_t j = 0; j < width; ++j) {
        const float value = row(r)[j];
        low[j] = std::min(low[j], value);
        high[j] = std::max(high[j], value);
        mean[j] += static_cast<double>(value) / static_cast<double>(rows.size());
        spread += static_cast<double>(value) * static_cast<double>(value);
      }
    spread /= static_cast<double>(rows.size());
    for (double m : mean) spread -= m * m;
    for (std::size_t i = 0; i < queries; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < width; ++j) {
        const float q = query(i)[j];
        const double outside = static_cast<double>(std::max({low[j] - q, q - high[j], 0.0f}));
        sum += outside * outside;
      }
      bound[i * cells.count() + cell] = sum;
      if (sum + spread_share * spread < nearest[i]) {
        nearest[i] = sum + spread_share * spread;
        home[i] = cell;
      }
    }
  }
  double read = 0;
  std::vector<double> distance;
  for (std::size_t i = 0; i < queries; ++i) {
    distance.clear();
    for (std::uint32_t r : cells.rows(home[i])) {
      double sum = 0;
      for (std::size_t j = 0; j < width; ++j) {
        const double d = static_cast<double>(row(r)[j]) - static_cast<double>(query(i)[j]);
        sum += d * d;
      }
      distance.push_back(sum);
    }
    double limit = std::numeric_limits<double>::infinity();
    if (distance.size() > neighbours) {
      std::nth_element(distance.begin(), distance.begin() + neighbours, distance.end());
      limit = distance[neighbours];
    }
    for (std::size_t cell = 0; cell < cells.count(); ++cell)
      if (bound[i * cells.count() + cell] <= limit) read += static_cast<double>(cells.rows(cell).size());
  }
  return read / static_cast<double>(queries) + rows_a_box * static_cast<double>(cells.count());
}

}  // namespace

Cells halved(const ReferenceSet& set, std::size_t granule) {
  return Cutting(set, granule).halved();
}

Cells fitted_cells(const ReferenceSet& set, std::size_t granule) {
  Cells best = halved(set, granule);
  double least = rows_read(set, best);
  const auto consider = [&](Cells&& cells) {
    const double read = rows_read(set, cells);
    if (read < least) {
      least = read;
      best = std::move(cells);
    }
  };
  consider(Cutting(set, granule).without_strays(best));
  const std::size_t clusters = std::min(clusters_max, set.distinct() / cluster_rows_min);
  if (clusters > 1) consider(Cutting(set, granule).clusters_halved(clusters));
  best.rows_read = least;
  return best;
}

}  // namespace lanner::nearest
