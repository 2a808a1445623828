// Calibration: from the scores of rows that were not fitted on, to a p-value for any score.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/tail/tail.hpp"

namespace lanner::engine {

struct CalibrationOptions {
  /// Rows suspected to be anomalies themselves are trimmed from the calibration scores by a stated rule
  /// (calibrate.cpp, docs/calibration.md), so that contamination doesn't cost power.
  bool trim = true;
  /// A generalised-Pareto tail ranks what lies beyond the calibration scores, marked as extrapolated.
  bool extrapolate = true;
};

struct CalibrationReport {
  std::size_t scores = 0;   ///< that were given
  std::size_t trimmed = 0;  ///< of them
  std::string tail;         ///< for people: how the tail was fitted, or why not
};

/// scores: finite, at least 1 (std::invalid_argument otherwise); any order. They are sorted on the device.
tail::Calibration calibrate(Device&, std::span<const float> scores, const CalibrationOptions&,
                            CalibrationReport* = nullptr);

/// The least score whose p-value is at most `p_value`; infinite where there is none. On the cpu backend.
float least_score(Device&, const tail::Calibration&, double p_value);

/// Below which no p-value is: 1 / (n + 1), or 0 with an extrapolated tail.
double least_p_value(const tail::Calibration&);

}  // namespace lanner::engine
