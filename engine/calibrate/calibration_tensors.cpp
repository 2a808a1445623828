#include "engine/calibrate/calibration_tensors.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lanner::engine {

tail::Calibration calibration_of(std::vector<float> scores, std::span<const double> pareto,
                                 const std::string& name) {
  const bool finite =
      std::all_of(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); });
  if (scores.empty() || !finite || !std::is_sorted(scores.begin(), scores.end()))
    throw InvalidModel(name + ".scores: found scores that are not finite and ascending");
  const bool well_formed =
      pareto.size() == 5 && (pareto[0] == 0 || pareto[0] == 1) &&
      std::all_of(pareto.begin(), pareto.end(), [](double value) { return std::isfinite(value); }) &&
      pareto[3] > 0 && pareto[4] >= 0 && pareto[4] <= 1;
  if (!well_formed)
    throw InvalidModel(name + ".pareto: found no tail (fitted, threshold, shape, scale, exceedance)");
  return {std::move(scores), {pareto[0] == 1, pareto[1], pareto[2], pareto[3], pareto[4]}};
}

std::array<double, 5> numbers_of(const tail::Pareto& pareto) {
  return {pareto.fitted ? 1.0 : 0.0, pareto.threshold, pareto.shape, pareto.scale, pareto.exceedance};
}

void save_calibration(const tail::Calibration& calibration, TensorWriter& writer) {
  const auto pareto = numbers_of(calibration.pareto);
  writer.add("calibration.scores", {calibration.scores.size()}, std::span(calibration.scores));
  writer.add("calibration.pareto", {pareto.size()}, std::span<const double>(pareto));
}

std::optional<tail::Calibration> load_calibration(const TensorReader& reader) {
  if (!reader.has("calibration.scores")) return std::nullopt;
  return calibration_of(reader.floats("calibration.scores"), reader.doubles("calibration.pareto"),
                        "calibration");
}

}  // namespace lanner::engine
