// `detector: auto`: which detector of the catalogue, with which settings, for these rows within a budget of
// time, and why. The same rows and budget give the same choice on every machine.
//
// Rule. Candidates are tried in order, and the first whose estimated cost (costs.hpp) is within both budgets
// is chosen; where none is, the one that scores an event soonest:
//   ensemble; ensemble among 3,000 rows; among 1,000; mahalanobis; isolation_forest; copod; histogram
// in the order of how they ranked anomalies on fifteen public sets (docs/detectors/auto.md), and by that of
// their cost. Fewer than 10 rows: mahalanobis with a shrunk covariance in place of the first four; so few
// support no more. All are indifferent to the features' units, so nothing is scaled. What values the features
// take does not change the order (measured there), but repeated rows make the ensemble cheaper.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/choose/costs.hpp"
#include "engine/choose/rows_summary.hpp"
#include "engine/parameters/parameters.hpp"

namespace lanner::engine {

inline constexpr std::string_view auto_name = "auto";
inline constexpr std::string_view auto_summary =
    "Chooses a detector of the others, by how many rows and features there are, what values they take, and "
    "the time "
    "that fitting and scoring may take; says which, and why.";
/// fit_s_max, event_us_max.
std::span<const Parameter> auto_parameters();

/// What may be spent, in the time of one core.
struct TimeBudget {
  double fit_s_max = 60;       ///< calibration included
  double event_us_max = 1000;  ///< to score one event, in batches
};
TimeBudget time_budget(const Settings&);

/// What a fit is beside fitting once on all rows.
struct FitWork {
  double fits = 1;           ///< on as many rows: cross-calibration takes several
  double rows_to_score = 0;  ///< to calibrate on
};

struct Choice {
  std::string detector;
  std::map<std::string, std::string> settings;  ///< of the detector; the rest keep their defaults
  Cost cost;                                    ///< of it, estimated; fit_s includes the calibration
  /// In sentences without semicolons: the rows, the choice, and each candidate that was passed over.
  std::vector<std::string> reasons;
};

Choice choose(const RowsSummary&, const TimeBudget&, const FitWork& = {});

}  // namespace lanner::engine
