// How well scores of a series rank where anomalies are ranges and a row's exact place matters less.
//
// Definition (VUS-PR). For a buffer of b rows, labels are softened: rows up to floor(b / 2) before and after
// an event (a run of labels that aren't 0), d rows from it, count sqrt(1 - d / b), overlaps added, at most 1.
// While rows are flagged by falling score, ties together, with TP the flagged rows' soft labels:
//   precision = TP / flagged
//   recall = min(TP / ((labels + soft labels) / 2), 1) * share of soft events with a flagged row
// Range AUC-PR is the area under precision over recall by trapezia from (0, 1) on; the volume its mean over
// b = 0, 1, ..., buffer_max.
// Source: Paparrizos et al. 2022, "Volume Under the Surface: A New Accuracy Evaluation Measure for
// Time-Series Anomaly Detection"; the published program takes 250 thresholds, this every one.
#pragma once

#include <cstddef>
#include <span>

namespace lanner::engine {

/// Equal lengths, finite scores. NaN where there is no event.
double vus_pr(std::span<const int> labels, std::span<const float> scores, std::size_t buffer_max);

}  // namespace lanner::engine
