// The multivariate detector on machines with labelled rows: learned on `train`, labels unused, scored on
// `test`.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "engine/series/multivariate.hpp"

namespace lanner::engine {

struct LabelledMachine {
  std::string name;
  std::size_t metrics = 0;
  std::vector<double> train, test;  ///< [n, metrics] row-major, in the order of time
  std::vector<int> labels;          ///< a test row each; 0: normal
};

struct MachineEvaluation {
  std::string name;
  std::size_t rows = 0, events = 0;
  double auc_roc = 0, average_precision = 0;  ///< of rows
  double vus_pr = 0;                          ///< of ranges, at range_buffer_max
  double event_recall = 0;                    ///< at false_alarm_share
  double fit_s = 0, score_s = 0;
};

/// Of normal rows, that may be flagged for event_recall.
inline constexpr double false_alarm_share = 0.01;
/// Rows, for vus_pr.
inline constexpr std::size_t range_buffer_max = 100;

/// Throws std::invalid_argument where the machine can't be learned from, or labels and test rows differ in
/// number.
MachineEvaluation evaluate_machine(Device&, const LabelledMachine&, const MultivariateParameters& = {});

/// The share of events (runs of labels that aren't 0) with a row above the lowest threshold that flags at
/// most `share` of the normal rows. NaN where there is no event.
double event_recall(std::span<const int> labels, std::span<const float> scores, double share);
std::size_t event_count(std::span<const int> labels);

}  // namespace lanner::engine
