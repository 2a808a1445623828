// The series of one field of a stream, an entity each: what a lane is to a model, with no model. Scores,
// alarms and reasons are the detector's own (engine/series/series_detector.hpp), in recorded order.
//
// What is published of a row: score, as the detector's; p-value, 10^-score, marked as extrapolated, as no
// calibration stands behind it; threshold, the p-value from which on the row would have been an alarm, 0
// where none could be. A row of the warm-up, or without a value, scores 0, at a p-value of 1. The
// contributions are the four channels', which add up to the score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/records/records.hpp"
#include "engine/series/series_by_entity.hpp"
#include "host/batch.hpp"
#include "host/config/config.hpp"
#include "host/pipeline/counters.hpp"
#include "host/pipeline/lane_identity.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

/// What a lane knows from the rows that have passed: the scoring thread's, but for the counters, which say
/// where it stands.
struct SeriesState {
  explicit SeriesState(const engine::SeriesParameters& parameters) : series(parameters) {}
  void show();

  engine::SeriesByEntity series;
  std::vector<engine::SeriesRow> rows;  ///< being scored
  std::vector<engine::SeriesScore> scores;
  Counter entities, warm, warm_up_rows, evicted;
};

struct SeriesLane : LaneIdentity {
  /// `value`: a field of numbers of the stream. `before`: the lane of this field before; its series go on
  /// where the settings are the same.
  SeriesLane(const StreamConfig&, const std::string& value, const SeriesLane* before);

  /// The intake thread's. Marks rows [begin, end) that the records or the lane refuse in refused[0 .. end -
  /// begin), with a reason appended for the latter: "latency_ms: missing".
  void refuse(const engine::Records&, std::size_t begin, std::size_t end, std::span<std::uint8_t> refused,
              std::vector<engine::RowRefusal>& reasons) const;
  /// The scoring thread's, in recorded order: results of rows in these parts of batches, and the flagged
  /// ones' reasons. `refused`: of all these rows. The device is the CPU.
  void score(Stream&, std::span<const BatchPart>, std::span<const std::uint8_t> refused,
             std::size_t result) const;

  std::size_t warm_up() const { return state->series.parameters().warm_up; }

  std::string stream;
  std::size_t field;  ///< of the stream's
  bool has_entity;
  bool skips_missing;
  std::size_t entities_max;
  std::shared_ptr<SeriesState> state;

 private:
  void put(Batch&, std::size_t result, std::size_t row, const engine::SeriesScore&) const;
};

}  // namespace lanner::host
