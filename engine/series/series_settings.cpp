#include "engine/series/series_settings.hpp"

namespace lanner::engine {

std::span<const Parameter> series_settings() {
  static const std::vector<Parameter> table = {
      {"warm_up",
       Kind::integer,
       "750",
       "Rows learned from before the first alarm; the spans of patterns and pauses follow from it",
       {},
       20,
       1e6},
      {"threshold", Kind::number, "2.5", "Score of an alarm, higher for fewer", {}, 0.001, 1e6},
      {"pause", Kind::number, "0.16", "Without alarms after an alarm, in warm-ups", {}, 0, 1e6},
      {"fatigue", Kind::number, "0.3", "What an alarm adds to the threshold", {}, 0, 1e6},
      {"fatigue_decay", Kind::number, "3", "How long that lasts, in warm-ups", {}, 0.001, 1e6},
      {"blocks_held",
       Kind::integer,
       "1024",
       "Earlier windows that a window is compared with; memory and time grow with them",
       {},
       32,
       65'536},
      {"largest_share",
       Kind::number,
       "0.8",
       "Share of the most surprised channel's surprise that the score is at least",
       {},
       0,
       1},
  };
  return table;
}

SeriesParameters series_parameters(const Settings& settings) {
  SeriesParameters parameters;
  parameters.warm_up = static_cast<std::size_t>(settings.integer("warm_up"));
  parameters.threshold = settings.number("threshold");
  parameters.pause = settings.number("pause");
  parameters.fatigue = settings.number("fatigue");
  parameters.fatigue_decay = settings.number("fatigue_decay");
  parameters.blocks_held = static_cast<std::size_t>(settings.integer("blocks_held"));
  parameters.largest_share = settings.number("largest_share");
  return parameters;
}

std::span<const Parameter> multivariate_settings() {
  static const std::vector<Parameter> table = {
      {"windows",
       Kind::integers,
       "20,120",
       "Rows of the trailing windows whose means and deviations join the metrics, ascending",
       {},
       1,
       100'000},
      {"deviation_weight", Kind::number, "2", "Weight of deviations beside values and means", {}, 0, 1e6},
      {"clip_low",
       Kind::number,
       "-1",
       "Where a metric is cut off below, in ranges of the training rows, whose minimum is 0",
       {},
       -1e6,
       0},
      {"clip_high", Kind::number, "2", "Where it is cut off above; their maximum is 1", {}, 1, 1e6},
      {"neighbours",
       Kind::integer,
       "5",
       "The score is the distance to the nearest training row of this number",
       {},
       1,
       10'000},
      {"references_max",
       Kind::integer,
       "6000",
       "Most training rows that are compared with; of more, so many are taken, evenly spaced",
       {},
       2,
       10'000'000},
      {"smoothing", Kind::integer, "5", "Rows that a score is averaged over", {}, 1, 100'000},
  };
  return table;
}

std::span<const Parameter> series_model_settings() {
  static const std::vector<Parameter> table = [] {
    std::vector<Parameter> all(multivariate_settings().begin(), multivariate_settings().end());
    all.push_back({"calibration",
                   Kind::number,
                   "0.2",
                   "Share of the rows, the last in their order, held out to calibrate on; none: no p-values",
                   {"none"},
                   0.001,
                   0.9});
    all.push_back({"trim", Kind::boolean, "true", "Leave suspected anomalies out of the calibration scores"});
    all.push_back({"extrapolate", Kind::boolean, "true",
                   "Rank what lies beyond the calibration scores by a Pareto tail"});
    return all;
  }();
  return table;
}

MultivariateParameters multivariate_parameters(const Settings& settings) {
  MultivariateParameters parameters;
  parameters.windows.clear();
  for (const std::int64_t rows : settings.integers("windows"))
    parameters.windows.push_back(static_cast<std::size_t>(rows));
  parameters.deviation_weight = settings.number("deviation_weight");
  parameters.clip_low = settings.number("clip_low");
  parameters.clip_high = settings.number("clip_high");
  parameters.neighbours = static_cast<std::size_t>(settings.integer("neighbours"));
  parameters.references_max = static_cast<std::size_t>(settings.integer("references_max"));
  parameters.smoothing = static_cast<std::size_t>(settings.integer("smoothing"));
  return parameters;
}

}  // namespace lanner::engine
