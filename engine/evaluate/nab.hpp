// The scoring rule of the Numenta Anomaly Benchmark.
//
// Definition. A row is flagged where its score is at least the threshold; the first probation(n) rows of a
// series never count. sigma(y) = 2 / (1 + exp(5 y)) - 1, and -1 for y >= 3.
// - Of a window's flagged rows the most valuable one counts; row i of window [a, b] is worth
//   true_positive sigma(-(b - i + 1) / (b - a + 1)) / sigma(-1): all of true_positive in the first row, less
//   and less after it. A window without one costs false_negative; one that ends within the probation is no
//   window.
// - Every flagged row outside costs false_positive times -sigma(y), where y = (i - b) / (width - 1) of the
//   last window before it; the full weight where there is none, or where it is one row wide.
// The sum over series, `raw`, is normalised so that flagging nothing scores 0, and the first row of every
// window and nothing else 100.
// Source: Lavin & Ahmad 2015, "Evaluating Real-Time Anomaly Detection Algorithms: the Numenta Anomaly
// Benchmark"; where the paper and the published program differ (probation, windows' first row), the program.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace lanner::engine {

struct NabProfile {
  std::string name;
  double true_positive = 1, false_negative = 1, false_positive = 0.11;
};
/// The three published ones.
std::vector<NabProfile> nab_profiles();

struct NabWindow {
  std::size_t first = 0, last = 0;  ///< rows, both inside
};

struct NabSeries {
  std::string name;
  std::size_t rows = 0;
  std::vector<NabWindow> windows;  ///< ascending, sharing no row
};

/// floor(0.15 n), at most 750.
std::size_t nab_probation(std::size_t rows);

struct NabScore {
  std::size_t windows = 0, found = 0, false_positives = 0;
  double raw = 0, null = 0, perfect = 0;

  NabScore& operator+=(const NabScore&);
  /// 0 to 100 between flagging nothing and perfection; below 0 is worse than nothing. NaN without windows.
  double normalised() const;
};

/// scores [rows]. Throws std::invalid_argument for another number of scores, or windows that aren't ascending
/// and apart, or lie outside.
NabScore nab_score(const NabSeries&, std::span<const double> scores, double threshold, const NabProfile&);

/// The published choice of a detector's threshold: the one for all series together, among their distinct
/// scores, with the best sum; the highest such. Infinity where nothing is worth flagging.
double nab_optimised_threshold(std::span<const NabSeries>, std::span<const std::vector<double>> scores,
                               const NabProfile&);

}  // namespace lanner::engine
