// A stream's rows as those of machines, an entity each, scored by a model of series
// (engine/series/series_model.hpp): every entity's windows, over one resident model, on the CPU.
//
// What is published of a row: the score, the bits of `lanner score` on each entity's rows; the p-value, which
// is the share of calibration rows at least as high, with no guarantee, so that it is marked as extrapolated
// (engine/series/series_scorer.hpp), and 1 while the entity warms up; what the stream's decision rule says.
// Contributions are the metrics', which add up to the score. A missing value is no reason to refuse a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/calibrate/decide.hpp"
#include "engine/series/series_scorer.hpp"
#include "host/pipeline/series_lane.hpp"

namespace lanner::host {

/// What a lane knows from the rows that have passed: the scoring thread's.
struct MachineLaneState {
  MachineLaneState(Device& device, std::shared_ptr<const engine::SeriesModel> model)
      : scorer(device, std::move(model)) {}

  engine::SeriesScorer scorer;
  // Of the rows being scored, those that aren't refused.
  std::vector<double> values;
  std::vector<engine::EntityRow> rows;
  std::vector<float> scores;
  std::vector<double> p_values;
  std::vector<std::uint8_t> unguaranteed;
  std::vector<double> parts;
};

struct MachineLane : SeriesLane {
  /// The stream's fields are the model's metrics. `before`: the lane of this name before; its windows go on
  /// where the model is the same, its decisions where the rule is.
  MachineLane(const StreamConfig&, std::string name, Role, std::shared_ptr<const engine::SeriesModel>,
              Device& cpu, const SeriesLane* before);

  void score(Stream&, std::span<const BatchPart>, std::span<const std::uint8_t> refused,
             std::size_t result) const override;
  std::vector<std::byte> snapshot() const override { return state->scorer.machines().snapshot(); }
  void restore(std::span<const std::byte>) const override;
  engine::Decider* decider() const override { return rule_at_work.get(); }

  double least_p_value;
  std::shared_ptr<MachineLaneState> state;
  std::shared_ptr<engine::Decider> rule_at_work;  ///< the scoring thread's

 private:
  const char* obstacle(const engine::Records&, std::size_t) const override { return nullptr; }
  void explain(Batch&, std::size_t result, std::size_t row, std::size_t pushed) const;
};

}  // namespace lanner::host
