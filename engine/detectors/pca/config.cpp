// What can be set, and fitting: the principal axes, and the network that measures by them.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/detectors/covariance.hpp"
#include "engine/detectors/networks.hpp"
#include "engine/detectors/pca/pca.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/standardisation.hpp"

namespace lanner::engine::pca {
namespace {

constexpr float limit = 1e9f;  // deviations; beyond it squares could leave the float range
constexpr double share_of_variance = 0.9;
// Halfway from each axis's own variance to the mean of all.
constexpr double shrinkage = 0.5;

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"measure",
       Kind::word,
       "distance",
       "The distance along the axes, each by its shrunken variance; or the error of reconstructing a row "
       "from "
       "the major axes",
       {"distance", "reconstruction"}},
      {"components",
       Kind::count_or_share,
       "auto",
       "Major axes: so many, or as many as hold this share of the variance; auto is all for distance, 0.9 "
       "for "
       "reconstruction",
       {"auto"},
       1,
       4096},
  };
  return table;
}

bool reconstructs(const Settings& settings) {
  return settings.is("measure", "reconstruction");
}

std::size_t components(const Settings& settings, const std::vector<double>& variances) {
  const std::size_t all = variances.size();
  double wanted = share_of_variance;
  if (settings.is("components", "auto")) {
    if (!reconstructs(settings)) return all;
  } else {
    wanted = settings.number("components");
  }
  if (wanted >= 1) return std::min(static_cast<std::size_t>(wanted), all);
  const double total = std::accumulate(variances.begin(), variances.end(), 0.0);
  double held = 0;
  std::size_t count = 0;
  while (count < all && held < wanted * total) held += variances[count++];
  return std::max<std::size_t>(count, 1);
}

mlp::Layer matrix(std::size_t inputs, std::size_t outputs) {
  return {inputs, outputs, std::vector<float>(inputs * outputs), std::vector<float>(outputs),
          mlp::Activation::identity};
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const std::size_t width = request.rows.width;
  mlp::Standardisation input = standardisation_of(request.rows, limit);
  Covariance covariance = covariance_of(request.rows, input);
  const std::vector<std::size_t> constants = constant_features(request.rows);
  for (std::size_t j : constants) covariance.values[j * width + j] = 0;
  if (request.progress) request.progress(0.5, "covariance estimated");
  const bool of_reconstruction = reconstructs(request.settings);
  if (!of_reconstruction) shrink(covariance, shrinkage);
  const Axes axes = principal_axes(covariance);
  const std::size_t kept = components(request.settings, axes.variances);

  // A constant is on no axis but its own.
  mlp::Layer to_axes = matrix(width, kept + (of_reconstruction ? 0 : constants.size()));
  for (std::size_t c = 0; c < kept; ++c) {
    const double length = of_reconstruction ? 1 : std::sqrt(axes.variances[c]);
    if (!(length > 0)) continue;
    for (std::size_t j = 0; j < width; ++j)
      to_axes.weight[c * width + j] = static_cast<float>(axes.directions[c * width + j] / length);
    for (std::size_t j : constants) to_axes.weight[c * width + j] = 0;
  }
  for (std::size_t o = kept; o < to_axes.outputs; ++o) to_axes.weight[o * width + constants[o - kept]] = 1;
  mlp::Network network{{std::move(to_axes)}, std::move(input)};
  if (of_reconstruction) {
    mlp::Layer back = matrix(kept, width);
    for (std::size_t c = 0; c < kept; ++c)
      for (std::size_t j = 0; j < width; ++j)
        back.weight[j * kept + c] = static_cast<float>(axes.directions[c * width + j]);
    network.layers.push_back(std::move(back));
    set_apart(network, constants);
  }
  if (request.progress) request.progress(1, "axes found");
  if (of_reconstruction) return std::make_shared<Reconstruction>(std::move(network));
  return std::make_shared<SquaredLength>(std::move(network));
}

std::shared_ptr<const Fitted> load(const TensorReader& reader, const Settings& settings) {
  if (reconstructs(settings)) return std::make_shared<Reconstruction>(load_network(reader));
  return std::make_shared<SquaredLength>(load_network(reader));
}

}  // namespace

Detector detector() {
  return {"pca",
          "How far a row is from the centre along the training rows' principal axes.",
          "Shyu, Chen, Sarinnapakorn & Chang 2003, A Novel Anomaly Detection Scheme Based on Principal "
          "Component Classifier",
          parameters(),
          fit,
          load};
}

}  // namespace lanner::engine::pca
