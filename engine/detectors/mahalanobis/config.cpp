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

constexpr float limit = 1e9f;  // deviations; beyond it squares could leave the float range
constexpr double least_shrinkage = 1e-6;

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"covariance",
       Kind::word,
       "robust",
       "robust: of those rows, most of them, that lie closest together; shrunk: of all rows, shrunk towards "
       "equal variances",
       {"robust", "shrunk"}},
      {"support",
       Kind::number,
       "0.75",
       "Share of the rows that the robust covariance starts from, 0.5 to 1: what is left may be anomalous",
       {},
       0.5,
       1},
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
  const bool robust = request.settings.is("covariance", "robust");
  mlp::Standardisation input = standardisation_of(rows, limit);
  Covariance covariance =
      robust ? minimum_covariance_determinant(rows, input, request.settings.number("support"))
             : covariance_of(rows, input);
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
