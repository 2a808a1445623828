#include "engine/detectors/empirical_tails.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/detectors/binned_penalties.hpp"
#include "engine/detectors/references.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/sort/sort.hpp"

namespace lanner::engine {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Step {
  float from;  // up to the next one's
  double penalty;
};

// Both kinds of steps, in order; before the first one nothing is <= x.
std::vector<Step> steps_of(std::span<const float> sorted, const TailPenalty& penalty) {
  const double n = static_cast<double>(sorted.size());
  const auto at = [&](std::size_t not_above, std::size_t not_below) {
    const auto depth = [n](std::size_t count) {
      return std::log((n + 1) / (static_cast<double>(count) + 1));
    };
    return penalty({depth(not_above), depth(not_below)});
  };
  std::vector<Step> steps{{-infinity, at(0, sorted.size())}};
  for (std::size_t i = 0; i < sorted.size();) {
    const float value = sorted[i];
    std::size_t next = i;
    while (next < sorted.size() && sorted[next] == value) ++next;
    steps.push_back({value, at(next, sorted.size() - i)});
    const float above = std::nextafter(value, infinity);
    if (next == sorted.size() || sorted[next] != above)
      steps.push_back({above, at(next, sorted.size() - next)});
    i = next;
  }
  return steps;
}

// The ends stay as they are: they say what has never been seen.
std::vector<Step> without_small_steps(const std::vector<Step>& steps) {
  std::vector<Step> kept{steps.front()};
  for (std::size_t i = 1; i + 1 < steps.size();) {
    double low = steps[i].penalty, high = low;
    std::size_t next = i + 1;
    for (; next + 1 < steps.size(); ++next) {
      const double lower = std::min(low, steps[next].penalty), higher = std::max(high, steps[next].penalty);
      if (higher - lower > step_tolerance) break;
      low = lower;
      high = higher;
    }
    kept.push_back({steps[i].from, (low + high) / 2});
    i = next;
  }
  kept.push_back(steps.back());
  return kept;
}

}  // namespace

void append_steps(density::Histograms& tables, std::span<const float> sorted, const TailPenalty& penalty) {
  const std::vector<Step> steps = without_small_steps(steps_of(sorted, penalty));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (std::isfinite(steps[i].from)) tables.edges.push_back(steps[i].from);
    if (steps[i].from < infinity) tables.penalties.push_back(static_cast<float>(steps[i].penalty));
  }
  // The last bin is closed above, so that what lies beyond the last step is given a bin of its own. Where no
  // float is left for its end (a value at the top of the range), the last bin ends at the last edge itself.
  const float end = std::nextafter(tables.edges.back(), infinity);
  if (std::isfinite(end)) {
    tables.edges.push_back(end);
    tables.penalties.push_back(static_cast<float>(steps.back().penalty));
  } else if (tables.edges.size() - tables.edge_begin.back() == 1) {
    tables.edges.insert(tables.edges.end() - 1, std::nextafter(tables.edges.back(), -infinity));
    tables.penalties.push_back(tables.penalties.back());
  }
  tables.edge_begin.push_back(tables.edges.size());
  tables.penalty_begin.push_back(tables.penalties.size());
}

double skewness(std::span<const float> values) {
  const double n = static_cast<double>(values.size()), first = values.front();
  double sum = 0, squares = 0, cubes = 0;
  for (float value : values) sum += value - first;
  const double mean = sum / n;
  for (float value : values) {
    const double d = value - first - mean;
    squares = fma(d, d, squares);
    cubes = fma(d * d, d, cubes);
  }
  return squares > 0 ? (cubes / n) / std::pow(squares / n, 1.5) : 0;
}

std::shared_ptr<const Fitted> fit_tails(
    const FitRequest& request, const std::function<TailPenalty(std::span<const float> sorted)>& penalty_of) {
  check_training_rows(request.rows);
  density::Histograms tables;
  tables.edge_begin = {0};
  tables.penalty_begin = {0};
  const std::size_t width = request.rows.width;
  sort::sort_columns(
      request.gpu_or_cpu(), request.rows, [&](std::size_t column, std::span<const float> ascending) {
        append_steps(tables, ascending, penalty_of(ascending));
        if (request.progress)
          request.progress(static_cast<double>(column + 1) / static_cast<double>(width), "tails counted");
      });
  make_sums_exact(tables);
  return std::make_shared<BinnedPenalties>(std::move(tables));
}

}  // namespace lanner::engine
