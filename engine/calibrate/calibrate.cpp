// Calibration: sort, trim what is suspected to be contamination, fit the tail to the rest.
#include "engine/calibrate/calibrate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "engine/calibrate/pareto.hpp"
#include "engine/calibrate/trim.hpp"
#include "kernels/sort/sort.hpp"
#include "kernels/sort/sort_key.hpp"

namespace lanner::engine {

tail::Calibration calibrate(Device& device, std::span<const float> scores, const CalibrationOptions& options,
                            CalibrationReport* report) {
  if (scores.empty()) throw std::invalid_argument("calibration needs at least one score");
  if (!std::all_of(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); }))
    throw std::invalid_argument("calibration scores must be finite");
  tail::Calibration calibration;
  // 0 added, so that no -0 stands in the model file, whose bytes must not depend on the order of equal
  // scores.
  for (const float score : scores) calibration.scores.push_back(score + 0.0f);
  auto& sorted = calibration.scores;
  sort::sort_ascending(device, sorted);

  Trim trim;
  if (options.trim) trim = suspected(sorted);
  const auto gone = sorted.end() - static_cast<std::ptrdiff_t>(trim.suspects - trim.kept_back);
  sorted.erase(gone, sorted.end());

  std::string about = "no tail: not asked for";
  if (options.extrapolate) calibration.pareto = fit_pareto(sorted, about);
  if (report) *report = {scores.size(), trim.trimmed(), about};
  return calibration;
}

// p-values fall as scores rise, so that it is found by halving.
float least_score(Device& device, const tail::Calibration& calibration, double p_value) {
  const auto resident = tail::make_tail(device, calibration);
  Stream stream = device.stream();
  const auto reached = [&](std::uint32_t key) {
    const float score = sort::value_of(key);
    double p = 1;
    std::uint8_t extrapolated = 0;
    tail::p_values(stream, *resident, {&score, 1}, {&p, 1}, {&extrapolated, 1});
    return p <= p_value;
  };
  std::uint32_t least = sort::key_of(std::numeric_limits<float>::lowest());
  std::uint32_t most = sort::key_of(std::numeric_limits<float>::max());
  if (!reached(most)) return std::numeric_limits<float>::infinity();
  while (least < most) {
    const std::uint32_t middle = least + (most - least) / 2;
    if (reached(middle))
      most = middle;
    else
      least = middle + 1;
  }
  return sort::value_of(least);
}

double least_p_value(const tail::Calibration& calibration) {
  return calibration.pareto.fitted ? 0 : 1 / (static_cast<double>(calibration.scores.size()) + 1);
}

}  // namespace lanner::engine
