// Anomalies in rows of many metrics of one machine, learned from a time that was mostly normal.
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
  /// contributions [metrics] of the last row pushed, not negative: they add up to its score within 1e-5 of
  /// it. Costs a search for each of the last `smoothing` rows. Throws std::invalid_argument where no row was
  /// pushed, or the span is of another length.
  void contributions(std::span<double> contributions);

  std::vector<std::byte> snapshot() const;
  /// As SeriesDetector::restore; the snapshot must be of a detector of the same model.
  void restore(std::span<const std::byte>);

 private:
  std::uint64_t model_fingerprint() const;
  double smoothed(double distance);
  void keep(std::span<const float> features);
  /// The features of the row that was pushed `back` rows before the last one.
  std::span<const float> kept(std::size_t back) const;
  void make_room(std::size_t rows);
  void make_room_to_explain();

  Device* device_;
  std::shared_ptr<const MultivariateModel> model_;
  std::shared_ptr<const nearest::Index> index_;
  RowWindows windows_;
  std::vector<double> present_;  ///< [metrics] scaled, missing ones filled in
  std::vector<double> recent_;   ///< the last distances, oldest first
  std::vector<float> kept_;      ///< [smoothing, features] of those rows, a ring
  std::size_t next_kept_ = 0;

  // Room for so many rows at once, kept for the next ones.
  std::size_t room_ = 0;
  Array<float> features_, distances_;
  Array<std::byte> workspace_;
  Pinned<float> staged_, found_;

  // Of rows that are explained.
  Array<float> explained_, explained_distances_;
  Array<std::uint32_t> explained_rows_, explained_taken_, explained_counts_;
  Array<std::byte> explained_workspace_;
  Pinned<float> staged_explained_, found_distances_;
  Pinned<std::uint32_t> found_rows_, found_counts_;
  std::vector<double> split_;
};

}  // namespace lanner::engine
