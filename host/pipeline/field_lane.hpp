// The series of one field of a stream, an entity each: what a lane is to a model, with no model. Scores,
// alarms and reasons are the detector's own (engine/series/series_detector.hpp), in recorded order.
//
// What is published of a row: score, as the detector's; p-value, 10^-score, marked as extrapolated, as no
// calibration stands behind it; threshold, the p-value from which on the row would have been an alarm, 0
// where none could be. A row of the warm-up, or without a value, scores 0, at a p-value of 1. The
// contributions are the four channels', which add up to the score.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/series/series_by_entity.hpp"
#include "host/pipeline/series_lane.hpp"

namespace lanner::host {

/// What a lane knows from the rows that have passed: the scoring thread's.
struct FieldState {
  explicit FieldState(const engine::SeriesParameters& parameters) : series(parameters) {}

  engine::SeriesByEntity series;
  std::vector<engine::SeriesRow> rows;  ///< being scored
  std::vector<engine::SeriesScore> scores;
};

struct FieldLane : SeriesLane {
  /// `value`: a field of numbers of the stream. `before`: the lane of this name before; its series go on
  /// where the settings are the same.
  FieldLane(const StreamConfig&, const std::string& value, const SeriesLane* before);

  void score(Stream&, std::span<const BatchPart>, std::span<const std::uint8_t> refused,
             std::size_t result) const override;
  std::vector<std::byte> snapshot() const override { return state->series.snapshot(); }
  void restore(std::span<const std::byte>) const override;

  std::size_t field;  ///< of the stream's
  bool skips_missing;
  std::shared_ptr<FieldState> state;

 private:
  const char* obstacle(const engine::Records&, std::size_t row) const override;
  void put(Batch&, std::size_t result, std::size_t row, const engine::SeriesScore&) const;
};

}  // namespace lanner::host
