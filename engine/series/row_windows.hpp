// Rows of metrics as features over trailing windows, row by row.
//
// Definition. For each window of m rows, that ends with the row at hand and is shorter at the start: the mean
// and the population standard deviation of every metric. Sums are chains over the window's rows from the
// newest back, taken afresh for every row: nothing is subtracted, so nothing drifts.
// A row's features: the metrics, their means over each window, their deviations over each window times
// `deviation_weight`.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/series/snapshot.hpp"

namespace lanner::engine {

class RowWindows {
 public:
  /// Windows of at least one row, ascending.
  RowWindows(std::size_t metrics, std::vector<std::size_t> windows, double deviation_weight);

  std::size_t features() const { return metrics_ * (1 + 2 * windows_.size()); }
  /// metrics [metrics], finite; out [features()].
  void push(std::span<const double> metrics, std::span<float> out);

  /// Magnitudes are at most metric_most.
  void save(SnapshotWriter&) const;
  void load(SnapshotReader&, double metric_most);

 private:
  const double* row(std::size_t back) const;
  /// Rows that are held at most.
  std::size_t room() const { return held_.size() / metrics_; }

  std::size_t metrics_;
  std::vector<std::size_t> windows_;
  double deviation_weight_;
  std::vector<double> held_;            ///< [longest window, metrics], a ring
  std::size_t next_ = 0, rows_ = 0;     ///< where the next row goes; rows held
  std::vector<double> sums_, squares_;  ///< [metrics]
};

}  // namespace lanner::engine
