#include "engine/calibrate/pareto.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace lanner::engine {
namespace {

constexpr std::size_t scores_min = 100, tail_min = 25, tail_max = 1000, distinct_min = 10;

struct Estimate {
  double shape = 0, scale = 0;
};

/// excesses: ascending, positive. Their estimator averages the scale-like parameter over a grid, weighted by
/// the profile likelihood: no iteration that could fail.
Estimate zhang_stephens(std::span<const double> excesses) {
  const double n = static_cast<double>(excesses.size());
  const auto grid = static_cast<std::size_t>(30 + std::floor(std::sqrt(n)));
  const double quarter = excesses[static_cast<std::size_t>(n / 4 + 0.5) - 1];
  const auto shape_of = [&](double theta) {
    double sum = 0;
    for (const double excess : excesses) sum += std::log1p(-theta * excess);
    return sum / n;
  };
  std::vector<double> thetas(grid), likelihoods(grid);
  for (std::size_t j = 0; j < grid; ++j) {
    const double step = 1 - std::sqrt(static_cast<double>(grid) / (static_cast<double>(j) + 0.5));
    thetas[j] = 1 / excesses.back() + step / (3 * quarter);
    const double shape = shape_of(thetas[j]);
    likelihoods[j] = n * (std::log(-thetas[j] / shape) - shape - 1);
  }
  double theta = 0;
  for (std::size_t j = 0; j < grid; ++j) {
    double others = 0;
    for (const double likelihood : likelihoods) others += std::exp(likelihood - likelihoods[j]);
    theta += thetas[j] / others;
  }
  const double shape = shape_of(theta);
  return {shape, -shape / theta};
}

}  // namespace

tail::Pareto fit_pareto(std::span<const float> scores, std::string& about) {
  const std::size_t n = scores.size();
  if (n < scores_min) {
    about = "no tail: fewer than 100 calibration scores";
    return {};
  }
  const std::size_t wanted = std::clamp(n / 10, tail_min, tail_max);
  const double threshold = scores[n - 1 - wanted];
  std::vector<double> excesses;
  std::size_t distinct = 0;
  for (std::size_t i = n - wanted; i < n; ++i) {
    const double excess = scores[i] - threshold;
    if (!(excess > 0)) continue;
    distinct += excesses.empty() || excess > excesses.back();
    excesses.push_back(excess);
  }
  if (distinct < distinct_min) {
    about = "no tail: fewer than 10 different scores above the threshold";
    return {};
  }
  Estimate estimate = zhang_stephens(excesses);
  const bool usable = std::isfinite(estimate.shape) && std::isfinite(estimate.scale) && estimate.scale > 0;
  if (!usable || estimate.shape < 0) {
    double sum = 0;
    for (const double excess : excesses) sum += excess;
    estimate = {0, sum / static_cast<double>(excesses.size())};
  } else if (estimate.shape > 1) {
    estimate = {1, excesses[excesses.size() / 2]};
  }
  tail::Pareto pareto;
  pareto.fitted = true;
  pareto.threshold = threshold;
  pareto.shape = estimate.shape;
  pareto.scale = estimate.scale;
  pareto.exceedance = static_cast<double>(excesses.size()) / static_cast<double>(n);
  char text[160];
  std::snprintf(text, sizeof text, "generalised Pareto over %zu scores above %.6g: shape %.3f, scale %.6g",
                excesses.size(), threshold, pareto.shape, pareto.scale);
  about = text;
  return pareto;
}

}  // namespace lanner::engine
