// What can be set.
#include <vector>

#include "engine/detectors/ensemble/ensemble.hpp"
#include "engine/detectors/ensemble/fit.hpp"

namespace lanner::engine::ensemble {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"trees", Kind::integer, "200", "Trees of the isolation forest", {}, 1, 10000},
      {"cleaned",
       Kind::number,
       "0.1",
       "Share of the training rows that are left out as suspect, 0 to 0.5",
       {},
       0,
       0.5},
      {"rows",
       Kind::integer,
       "10000",
       "Most training rows that neighbours are searched among; of more, so many are drawn",
       {},
       100,
       10000000},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  Making making;
  making.trees = static_cast<std::size_t>(request.settings.integer("trees"));
  making.cleaned = request.settings.number("cleaned");
  making.rows_most = static_cast<std::size_t>(request.settings.integer("rows"));
  making.seed = request.seed;
  return std::make_shared<Model>(learn(request, making));
}

}  // namespace

Detector detector() {
  return {"ensemble",
          "A forest, neighbours, densities and the covariance, fitted on cleaned rows and averaged.",
          "Kriegel, Kroeger, Schubert & Zimek 2011, Interpreting and Unifying Outlier Scores; Aggarwal & "
          "Sathe 2015; and the members' papers",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::ensemble
