#include "engine/evaluate/metrics.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace lanner::engine {
namespace {

// Calls each(anomalies, normals) for every group of equal scores, highest first.
template <class F>
void for_ties(std::span<const int> labels, std::span<const float> scores, F each) {
  if (labels.size() != scores.size()) throw std::invalid_argument("there must be a label for every score");
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  for (std::size_t i = 0; i < order.size();) {
    double anomalies = 0, normals = 0;
    const float score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) (labels[order[i]] ? anomalies : normals) += 1;
    each(anomalies, normals);
  }
}

}  // namespace

double auc_roc(std::span<const int> labels, std::span<const float> scores) {
  double above = 0, anomalies = 0, normals = 0;
  for_ties(labels, scores, [&](double tied_anomalies, double tied_normals) {
    above += tied_normals * (anomalies + tied_anomalies / 2);
    anomalies += tied_anomalies;
    normals += tied_normals;
  });
  return above / (anomalies * normals);
}

double average_precision(std::span<const int> labels, std::span<const float> scores) {
  double found = 0, seen = 0, sum = 0;
  for_ties(labels, scores, [&](double tied_anomalies, double tied_normals) {
    found += tied_anomalies;
    seen += tied_anomalies + tied_normals;
    sum += tied_anomalies * found / seen;
  });
  return found > 0 ? sum / found : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace lanner::engine
