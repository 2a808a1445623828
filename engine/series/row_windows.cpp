#include "engine/series/row_windows.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {

RowWindows::RowWindows(std::size_t metrics, std::vector<std::size_t> windows, double deviation_weight)
    : metrics_(metrics),
      windows_(std::move(windows)),
      deviation_weight_(deviation_weight),
      held_((windows_.empty() ? 1 : windows_.back()) * metrics),
      sums_(metrics),
      squares_(metrics) {
  assert(std::is_sorted(windows_.begin(), windows_.end()));
}

const double* RowWindows::row(std::size_t back) const {
  return &held_[(next_ + room() - 1 - back) % room() * metrics_];
}

void RowWindows::push(std::span<const double> metrics, std::span<float> out) {
  std::copy(metrics.begin(), metrics.end(), held_.begin() + static_cast<std::ptrdiff_t>(next_ * metrics_));
  next_ = (next_ + 1) % room();
  rows_ = std::min(rows_ + 1, room());

  float* at = out.data();
  for (std::size_t j = 0; j < metrics_; ++j) *at++ = static_cast<float>(metrics[j]);
  float* deviations = at + windows_.size() * metrics_;
  std::fill(sums_.begin(), sums_.end(), 0.0);
  std::size_t summed = 0;
  for (const std::size_t window : windows_) {
    const std::size_t rows = std::min(window, rows_);
    const double count = static_cast<double>(rows);
    for (; summed < rows; ++summed) {
      const double* const earlier = row(summed);
      for (std::size_t j = 0; j < metrics_; ++j) sums_[j] += earlier[j];
    }
    std::fill(squares_.begin(), squares_.end(), 0.0);
    for (std::size_t back = 0; back < rows; ++back) {
      const double* const earlier = row(back);
      for (std::size_t j = 0; j < metrics_; ++j) {
        const double difference = earlier[j] - sums_[j] / count;
        squares_[j] += difference * difference;
      }
    }
    for (std::size_t j = 0; j < metrics_; ++j) {
      *at++ = static_cast<float>(sums_[j] / count);
      *deviations++ = static_cast<float>(deviation_weight_ * square_root(squares_[j] / count));
    }
  }
}

void RowWindows::save(SnapshotWriter& writer) const {
  writer.whole(rows_);
  for (std::size_t back = rows_; back-- > 0;) writer.numbers({row(back), metrics_});
}

void RowWindows::load(SnapshotReader& reader, double metric_most) {
  rows_ = reader.whole(room());
  for (std::size_t i = 0; i < rows_; ++i)
    reader.numbers(std::span(held_).subspan(i * metrics_, metrics_), -metric_most, metric_most);
  next_ = rows_ % room();
}

}  // namespace lanner::engine
