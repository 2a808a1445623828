// How well scores rank: what the field's papers report.
#pragma once

#include <span>

namespace lanner::engine {

/// Area under the ROC curve: the chance that an anomaly (label not 0) scores above a normal row, ties
/// counting half. Equal lengths, finite scores. NaN where one of the classes is empty.
double auc_roc(std::span<const int> labels, std::span<const float> scores);

/// Average precision: sum over distinct scores, falling, of (recall gained) * precision, as scikit-learn
/// defines it. NaN where there is no anomaly.
double average_precision(std::span<const int> labels, std::span<const float> scores);

}  // namespace lanner::engine
