// Whether a refitted model may take over: it must do no worse than the one at work on recent events that
// neither of them learned from, and on anomalies planted among these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/model/model.hpp"

namespace lanner::engine {

struct Gate {
  /// Of the events compared on, those that both models take.
  std::size_t events = 0;
  /// Flagged at a p-value of .01, as they came; and how many a well calibrated model may flag: the mean plus
  /// 4 standard deviations of the beta-binomial law of conformal p-values (docs/calibration.md).
  std::size_t flagged_now = 0, flagged_next = 0, flagged_allowed = 0;
  /// Planted anomalies (engine/refit/planted.hpp), and how they rank among the other events: area under the
  /// ROC curve.
  std::size_t planted = 0;
  double ranked_now = 0, ranked_next = 0;

  /// How much lower the next may rank planted anomalies: what chance does to a few dozen of them.
  static constexpr double ranked_lower = 0.02;

  bool flags_no_worse() const { return flagged_next <= flagged_allowed || flagged_next <= flagged_now; }
  bool ranks_no_worse() const { return planted == 0 || ranked_next >= ranked_now - ranked_lower; }
  bool open() const { return flags_no_worse() && ranks_no_worse(); }
  /// For people: what was compared, and what was worse.
  std::string text() const;
};

/// `before`: recent events that came before `held_out` (windows look back on them).
/// Both of the models' schema, which is the same. A device of the cpu backend.
Gate compare(Device&, const std::shared_ptr<const Model>& now, const std::shared_ptr<const Model>& next,
             const Records& before, const Records& held_out, std::uint64_t seed);

}  // namespace lanner::engine
