// A model of series at work on the rows of its machines, an entity each: scores and p-values.
//
// What a p-value is worth: rows of overlapping windows and averaged distances resemble those before them, so
// that a row and the calibration rows are not exchangeable, and no p-value is guaranteed (docs/series.md). It
// is the share of the held-out rows that scored at least as high. Until an entity is warm its rows have none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/series/multivariate_by_entity.hpp"
#include "engine/series/series_model.hpp"
#include "kernels/device/device.hpp"
#include "kernels/tail/tail.hpp"

namespace lanner::engine {

/// The calling thread holds a FloatEnvironment. Not to be used by two threads at once.
class SeriesScorer {
 public:
  /// The device must outlive it.
  SeriesScorer(Device&, std::shared_ptr<const SeriesModel>);

  const SeriesModel& model() const { return *model_; }
  MultivariateByEntity& machines() { return machines_; }
  const MultivariateByEntity& machines() const { return machines_; }

  /// Of rows [n] in the order they came. p_values: 1 while an entity warms up, and without calibration; every
  /// other one is outside any guarantee, and unguaranteed[i] = 1.
  void push_rows(std::span<const EntityRow> rows, std::size_t entities_max, std::span<float> scores,
                 std::span<double> p_values, std::span<std::uint8_t> unguaranteed);

 private:
  std::shared_ptr<const SeriesModel> model_;
  MultivariateByEntity machines_;
  std::shared_ptr<Device> cpu_;
  std::shared_ptr<const tail::ResidentTail> tail_;  ///< null: no calibration
  std::vector<MultivariateScore> scored_;
};

}  // namespace lanner::engine
