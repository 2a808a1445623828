// What can be set, and fitting: the covariance, and the matrix that whitens by it.
#include <algorithm>
#include <vector>

#include "engine/detectors/covariance.hpp"
#include "engine/detectors/mahalanobis/mahalanobis.hpp"
#include "engine/detectors/networks.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/standardisation.hpp"

namespace lanner::engine::mahalanobis {
namespace {

constexpr float limit = 1e9f;              // deviations; beyond it squares could leave the float range
constexpr std::size_t rows_a_feature = 5;  // what a robust estimate needs
constexpr double least_shrinkage = 1e-6;

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"covariance",
       Kind::word,
       "auto",
       "robust: of those rows, rather more than half, that lie closest together; shrunk: of all rows, shrunk "
       "towards equal variances; auto is robust where there are at least 5 rows a feature",
       {"auto", "robust", "shrunk"}},
      {"shrinkage",
       Kind::number,
       "auto",
       "How far towards equal variances, 0 to 1; auto is what Ledoit & Wolf 2004 derive from the rows",
       {"auto"},
       0,
       1},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const Rows rows = request.rows;
  const bool enough = rows.count >= rows_a_feature * rows.width;
  const bool robust = !request.settings.is("covariance", "shrunk") && enough;
  if (request.settings.is("covariance", "robust") && !enough)
    throw std::invalid_argument("covariance: found robust, allowed shrunk for fewer than " +
                                std::to_string(rows_a_feature) + " rows a feature (there are " +
                                std::to_string(rows.count) + " rows, " + std::to_string(rows.width) +
                                " features)");
  mlp::Standardisation input = standardisation_of(rows, limit);
  Covariance covariance = robust ? minimum_covariance_determinant(rows, input) : covariance_of(rows, input);
  if (request.progress) request.progress(0.5, "covariance estimated");
  const double share = request.settings.is("shrinkage", "auto")
                           ? (robust ? 0 : ledoit_wolf(rows, input, covariance))
                           : request.settings.number("shrinkage");
  shrink(covariance, std::max(share, least_shrinkage));

  mlp::Layer layer{rows.width, rows.width, {}, std::vector<float>(rows.width), mlp::Activation::identity};
  for (double weight : whitening(covariance)) layer.weight.push_back(static_cast<float>(weight));
  // The centre: the standardisation's, and the robust one where it differs.
  for (std::size_t j = 0; j < rows.width; ++j)
    input.shift[j] = static_cast<float>(static_cast<double>(input.shift[j]) +
                                        covariance.location[j] / static_cast<double>(input.scale[j]));
  mlp::Network network{{std::move(layer)}, std::move(input)};
  if (request.progress) request.progress(1, "covariance inverted");
  return std::make_shared<SquaredLength>(std::move(network));
}

}  // namespace

Detector detector() {
  return {"mahalanobis",
          "How far a row is from the centre of the training rows, by their covariance.",
          "Mahalanobis 1936, On the Generalized Distance in Statistics; Ledoit & Wolf 2004; Rousseeuw 1984; "
          "Hubert, Rousseeuw & Verdonck 2012",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return std::make_shared<SquaredLength>(load_network(reader));
          }};
}

}  // namespace lanner::engine::mahalanobis
