// Anomalies in rows of many metrics of one machine, learned from a time that was mostly normal.
//
// Definition. A metric is scaled by the training rows' minimum and range (at least 1e-9) and held within
// [clip_low, clip_high]. Features are the metrics, their means and weighted deviations over trailing windows
// (row_windows.hpp), in float32. Reference rows are those of the training rows, at most `references_max`,
// evenly spaced: row floor(i (n - 1) / (references_max - 1)). A row's distance is that to its
// `neighbours`-th nearest reference row (kernels/nearest: exact); its score the mean of the last `smoothing`
// distances, a chain from the oldest.
//
// A missing value (not finite) counts as the metric's last one that was there; before there was any, as the
// training mean.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "engine/series/row_windows.hpp"
#include "kernels/device/device.hpp"
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

/// What was learned: plain data, no device.
struct MultivariateModel {
  MultivariateParameters parameters;
  std::vector<double> low, range, typical;  ///< [metrics]; `typical` is scaled
  nearest::ReferenceSet references;

  std::size_t metrics() const { return low.size(); }
};

/// rows [n, metrics] row-major, in the order of time. Throws std::invalid_argument for no rows, a metric
/// without a finite value, parameters out of range.
MultivariateModel fit_multivariate(std::span<const double> rows, std::size_t metrics,
                                   const MultivariateParameters& = {});

/// One machine's rows, scored as they come. The calling thread holds a FloatEnvironment.
class MultivariateDetector {
 public:
  MultivariateDetector(Device&, std::shared_ptr<const MultivariateModel>);

  /// row [metrics]; the score, in feature units.
  double push(std::span<const double> row);
  /// rows [n, metrics] row-major: the same scores to the bit as pushing one after the other, sooner.
  std::vector<double> push_rows(std::span<const double> rows);

  std::vector<std::byte> snapshot() const;
  /// As SeriesDetector::restore; the snapshot must be of a detector of the same model.
  void restore(std::span<const std::byte>);

 private:
  std::uint64_t model_fingerprint() const;
  double smoothed(double distance);
  void make_room(std::size_t rows);

  Device* device_;
  std::shared_ptr<const MultivariateModel> model_;
  std::shared_ptr<const nearest::Index> index_;
  RowWindows windows_;
  std::vector<double> present_;  ///< [metrics] scaled, missing ones filled in
  std::vector<double> recent_;   ///< the last distances, oldest first

  // Room for so many rows at once, kept for the next ones.
  std::size_t room_ = 0;
  Array<float> features_, distances_;
  Array<std::byte> workspace_;
  Pinned<float> staged_, found_;
};

}  // namespace lanner::engine
