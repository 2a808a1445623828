// The rows of one machine's many metrics, scored as they come; multivariate_model.hpp has the definition.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "engine/series/multivariate_model.hpp"
#include "engine/series/multivariate_scorer.hpp"
#include "kernels/device/device.hpp"

namespace lanner::engine {

/// The calling thread holds a FloatEnvironment.
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
  void contributions(std::span<double> contributions) { scorer_.contributions(machine_, contributions); }

  std::vector<std::byte> snapshot() const;
  /// As SeriesDetector::restore; the snapshot must be of a detector of the same model.
  void restore(std::span<const std::byte>);

 private:
  MultivariateScorer scorer_;
  MachineState machine_;
  std::vector<MachineRow> rows_;
  std::vector<MultivariateScore> scores_;
};

}  // namespace lanner::engine
