// Anomalies in rows of many metrics of one machine, learned from a time that was mostly normal: what is
// learned, and a row's features.
//
// Definition. A metric is scaled by the training rows' minimum and range (at least 1e-9) and held within
// [clip_low, clip_high]. Features are the metrics, their means and weighted deviations over trailing windows
// (row_windows.hpp), in float32. Reference rows are those of the training rows, at most `references_max`,
// evenly spaced: row floor(i (n - 1) / (references_max - 1)). A row's distance is that to its
// `neighbours`-th nearest reference row (kernels/nearest: exact); its score the mean of the last `smoothing`
// distances, a chain from the oldest.
//
// Contributions, base 0: a distance r to the `neighbours`-th row, r^2 = sum of d_f^2 over the features,
// splits over them as r d_f^2 / r^2; a metric's part is the sum over its value, means and deviations, and its
// contribution the mean of its parts in the last `smoothing` distances.
//
// A missing value (not finite) counts as the metric's last one that was there; before there was any, as the
// training mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/series/row_windows.hpp"
#include "engine/series/snapshot.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine {

struct MultivariateParameters {
  std::vector<std::size_t> windows{20, 120};  ///< rows, ascending
  double deviation_weight = 2;                ///< of deviations beside values and means
  double clip_low = -1, clip_high = 2;        ///< in ranges of the training rows
  std::size_t neighbours = 5;
  std::size_t references_max = 6000;
  std::size_t smoothing = 5;  ///< rows
};

/// Throws std::invalid_argument for parameters out of range.
void check(const MultivariateParameters&);

/// What was learned: plain data, no device.
struct MultivariateModel {
  MultivariateParameters parameters;
  std::vector<double> low, range, typical;  ///< [metrics]; `typical` is scaled
  nearest::ReferenceSet references;

  std::size_t metrics() const { return low.size(); }
  std::size_t features() const { return metrics() * (1 + 2 * parameters.windows.size()); }
  /// The first row of a machine, counted from 1, all of whose distances are of full windows.
  std::size_t warm_up() const {
    return (parameters.windows.empty() ? 1 : parameters.windows.back()) + parameters.smoothing - 1;
  }
};

/// rows [n, metrics] row-major, in the order of time. machines [n]: whose each row is, counted from 0; empty:
/// one machine's. Windows are each machine's own, everything else is of all together. Throws
/// std::invalid_argument for no rows, a metric without a finite value, parameters out of range.
MultivariateModel fit_multivariate(std::span<const double> rows, std::size_t metrics,
                                   const MultivariateParameters& = {},
                                   std::span<const std::uint32_t> machines = {});

/// What a row's features depend on, of the rows of its machine that have passed.
class MachineWindows {
 public:
  explicit MachineWindows(const MultivariateModel&);

  /// The next row [metrics] of a machine; out [features].
  void push(const MultivariateModel&, std::span<const double> row, std::span<float> out);
  void save(SnapshotWriter&) const;
  void load(const MultivariateModel&, SnapshotReader&);

 private:
  RowWindows windows_;
  std::vector<double> present_;  ///< [metrics] scaled, missing ones filled in
};

/// Of what was learned: that two snapshots are of the same.
std::uint64_t fingerprint(const MultivariateModel&);

}  // namespace lanner::engine
