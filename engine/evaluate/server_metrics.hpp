// The multivariate detector on machines with labelled rows: learned on `train`, labels unused, scored on
// `test`.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/series/multivariate.hpp"

namespace lanner::engine {

/// An event whose causes are known.
struct ExplainedEvent {
  std::size_t begin = 0;             ///< its first test row
  std::vector<std::size_t> metrics;  ///< that made it, each once
};

struct LabelledMachine {
  std::string name;
  std::size_t metrics = 0;
  std::vector<double> train, test;             ///< [n, metrics] row-major, in the order of time
  std::vector<int> labels;                     ///< a test row each; 0: normal
  std::vector<ExplainedEvent> explained = {};  ///< by their first rows
};

/// Means over explained events, each explained by the contributions of its highest row; NaN where there are
/// none. hit_rate.hpp has the definitions.
struct HitRates {
  double first = 0;  ///< the largest contribution is one of the listed metrics'
  double hit_rate_100 = 0, hit_rate_150 = 0;
};

struct MachineEvaluation {
  std::string name;
  std::size_t rows = 0, events = 0;
  double auc_roc = 0, average_precision = 0;  ///< of rows
  double vus_pr = 0;                          ///< of ranges, at range_buffer_max
  double event_recall = 0;                    ///< at false_alarm_share
  double fit_s = 0, score_s = 0;
  std::size_t events_explained = 0;
  HitRates hits, random_hits;  ///< ours, and what a random ranking finds on average
};

/// Of normal rows, that may be flagged for event_recall.
inline constexpr double false_alarm_share = 0.01;
/// Rows, for vus_pr.
inline constexpr std::size_t range_buffer_max = 100;

/// Throws std::invalid_argument where the machine can't be learned from, labels and test rows differ in
/// number, or an explained event is no event or lists a metric that isn't there.
MachineEvaluation evaluate_machine(Device&, const LabelledMachine&, const MultivariateParameters& = {});

/// The share of events (runs of labels that aren't 0) with a row above the lowest threshold that flags at
/// most `share` of the normal rows. NaN where there is no event.
double event_recall(std::span<const int> labels, std::span<const float> scores, double share);
std::size_t event_count(std::span<const int> labels);

}  // namespace lanner::engine
