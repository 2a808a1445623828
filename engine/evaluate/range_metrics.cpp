#include "engine/evaluate/range_metrics.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

std::vector<double> softened(std::span<const int> labels, std::size_t buffer) {
  const std::size_t n = labels.size(), reach = buffer / 2;
  std::vector<double> soft(n);
  const auto add = [&](std::size_t row, std::size_t away) {
    soft[row] += square_root(1 - static_cast<double>(away) / static_cast<double>(buffer));
  };
  for (std::size_t i = 0; i < n; ++i) {
    if (labels[i] == 0) continue;
    const bool begins = i == 0 || labels[i - 1] == 0, ends = i + 1 == n || labels[i + 1] == 0;
    soft[i] += 1;
    for (std::size_t away = 1; begins && away <= std::min(reach, i); ++away) add(i - away, away);
    for (std::size_t away = 1; ends && away <= std::min(reach, n - 1 - i); ++away) add(i + away, away);
  }
  for (double& value : soft) value = std::min(value, 1.0);
  return soft;
}

/// Which run of positive values each row belongs to, from 1 on; 0: none.
std::vector<std::size_t> runs(std::span<const double> soft) {
  std::vector<std::size_t> run(soft.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < soft.size(); ++i) {
    if (!(soft[i] > 0)) continue;
    count += i == 0 || !(soft[i - 1] > 0);
    run[i] = count;
  }
  return run;
}

double range_auc_pr(std::span<const int> labels, std::span<const float> scores,
                    std::span<const std::size_t> falling, std::size_t buffer) {
  const std::vector<double> soft = softened(labels, buffer);
  const std::vector<std::size_t> run = runs(soft);
  const double events = static_cast<double>(*std::max_element(run.begin(), run.end()));
  double positives = 0;
  for (std::size_t i = 0; i < soft.size(); ++i) positives += ((labels[i] != 0) + soft[i]) / 2;

  std::vector<bool> is_found(soft.size() + 1);
  double true_positives = 0, flagged = 0, found = 0, area = 0, recall = 0, precision = 1;
  for (std::size_t i = 0; i < falling.size();) {
    const float score = scores[falling[i]];
    for (; i < falling.size() && scores[falling[i]] == score; ++i) {
      const std::size_t row = falling[i];
      true_positives += soft[row];
      ++flagged;
      if (run[row] == 0 || is_found[run[row]]) continue;
      is_found[run[row]] = true;
      ++found;
    }
    const double next_recall = std::min(true_positives / positives, 1.0) * (found / events);
    const double next_precision = true_positives / flagged;
    area += (next_recall - recall) * (next_precision + precision) / 2;
    recall = next_recall;
    precision = next_precision;
  }
  return area;
}

}  // namespace

double vus_pr(std::span<const int> labels, std::span<const float> scores, std::size_t buffer_max) {
  if (labels.size() != scores.size()) throw std::invalid_argument("there must be a label for every score");
  if (std::all_of(labels.begin(), labels.end(), [](int label) { return label == 0; }))
    return std::numeric_limits<double>::quiet_NaN();
  std::vector<std::size_t> falling(scores.size());
  std::iota(falling.begin(), falling.end(), std::size_t{0});
  std::stable_sort(falling.begin(), falling.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  double sum = 0;
  for (std::size_t buffer = 0; buffer <= buffer_max; ++buffer)
    sum += range_auc_pr(labels, scores, falling, buffer);
  return sum / static_cast<double>(buffer_max + 1);
}

}  // namespace lanner::engine
